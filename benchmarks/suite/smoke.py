"""A look at the suite itself: whether every transport delivers exactly, and the limit sends what downlink sends."""

from processes import Field

COMMANDS = {
    "websocket": ["connect 10", "burst 8 1 128", "burst 64 16 128", "burst 64 0 300", "burst 2 1 65536",
                  "paced 2 20 64", "close 5"],
    "sse": ["connect 10", "burst 8 1 128", "burst 64 16 128", "burst 64 0 300", "burst 2 1 65536",
            "burst 100 50 128", "storm 10 100", "close 5"],
    "long": ["connect 10", "burst 8 1 128", "burst 2 1 4096"],
    "short": ["publish 20 128", "polls 5 0", "polls 5 10"],
}


def check(options):
    """0 if all is well. Whatever is delivered is checked by `load`, whose first complaint is raised here."""
    wrong = 0
    for transport, commands in COMMANDS.items():
        with Field(["limit A", "limit B", "downlink", "downlink, 2 shards"], transport, options.programs, 20) as up:
            for command in commands:
                got = {kind: load.do(command) for kind, load in up.loads.items()}
                for key in ("clients", "deliveries", "bytes"):
                    values = {kind: each[key] for kind, each in got.items()}
                    # The ids of two servers may differ in length, but not by much.
                    spread = 0.05 if key == "bytes" and transport != "websocket" else 0
                    if max(values.values()) > (1 + spread) * min(values.values()):
                        print(f"{transport}, {command}: {key} differ: {values}")
                        wrong += 1
                if not command.startswith(("close", "connect", "publish")):
                    for kind, each in got.items():
                        if not each["deliveries"] or not each["cpu_ns"]:
                            print(f"{transport}, {command}: {kind} delivered nothing")
                            wrong += 1
    print("the suite works" if wrong == 0 else f"{wrong} findings")
    return wrong > 0
