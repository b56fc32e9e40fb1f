"""How costs grow: one curve for each function. A point holds medians and quartiles of several bursts, by turns."""

import pathlib
import re

from cases import by_turns, note
from figures import quartiles
from processes import Field

BOTH = ["limit A", "downlink"]


def kernel_bytes():
    """What the kernel holds in small objects, sockets among them, for the whole machine."""
    return int(re.search(r"Slab:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) * 1024


def publish_ns(load):
    """What one publish took in downlink since the last time this was asked for."""
    total, count, *_ = map(float, load.do("control stats")["answer"].split())
    return total / max(count, 1)


def point(x, figures):
    """From lists of dictionaries, a server's bursts each."""
    servers = {kind: {key: quartiles([each[key] for each in bursts]) for key in bursts[0]}
               for kind, bursts in figures.items()}
    for kind, bursts in figures.items():
        if kind != "limit A" and "limit A" in figures:
            ratios = [a["cpu_ns"] / b["cpu_ns"] for a, b in zip(bursts, figures["limit A"])]
            servers[kind]["ratio"] = quartiles(ratios)
    note(f"  {x}: " + ", ".join(f"{kind} {got['cpu_ns']['median']:.0f} ns" for kind, got in servers.items()))
    return {"x": x, "servers": servers}


def burst(command):
    def measure(load):
        got = load.do(command)
        return {"cpu_ns": got["cpu_ns"] / got["deliveries"], "bytes": got["bytes"] / got["deliveries"],
                "p50_us": got["p50_us"], "p99_us": got["p99_us"]}
    return measure


def with_publish(measure):
    def both(load):
        if not load.name.startswith("downlink"):
            return measure(load)
        publish_ns(load)
        return measure(load) | {"publish_ns": publish_ns(load)}
    return both


def subscribers(programs, rounds, cut):
    """Eight messages at four a second."""
    for count in [100 // min(cut, 10), 300, 1000, 3000, 5000, 10_000, 15_000] if cut == 1 else [10, 100, 1000]:
        with Field(BOTH, "websocket", programs, 10) as up:
            before = {kind: server.rss() for kind, server in up.servers.items()}
            kernel = {}
            for kind, load in up.loads.items():
                slab = kernel_bytes()
                load.do(f"connect {count - 10}" if count > 10 else "connect 0")
                kernel[kind] = (kernel_bytes() - slab) / 2 / count  # half of it is the clients'
            memory = {kind: (server.rss() - before[kind]) / count for kind, server in up.servers.items()}
            each = point(count, by_turns(up.loads, rounds, with_publish(burst("paced 8 250 128"))))
            for kind in BOTH:
                each["servers"][kind] |= {"memory": memory[kind], "kernel": kernel[kind]}
            yield each


def sizes(programs, rounds, cut):
    with Field(BOTH, "websocket", programs, 1000 // cut) as up:
        for size in (64, 256, 1024, 4096, 16_384, 65_536):
            yield point(size, by_turns(up.loads, rounds, burst(f"burst 12 1 {size}")))


def channels(programs, rounds, cut):
    """One message to each channel at a time; each subscriber is in one of them."""
    for count in (1, 10, 100, 1000):
        with Field(BOTH, "websocket", programs, 10_000 // cut, count) as up:
            yield point(count, by_turns(up.loads, rounds, with_publish(burst("burst 4 1 128"))))


def shards(programs, rounds, cut):
    """Both may use all cores. The publisher is on the first shard's thread: to publish a message by itself it has to
    wake the second one's, which sleeps, through the kernel; 64 right after each other wake it once."""
    def measure(load):
        got = with_publish(burst("burst 10 1 128"))(load)
        load.do("burst 256 64 128")
        return got | {"publish_64_ns": publish_ns(load)}
    with Field(["downlink", "downlink, 2 shards"], "websocket", programs, 5000 // cut, core=None) as up:
        figures = by_turns(up.loads, rounds, measure)
        for count, kind in enumerate(figures, 1):
            yield point(count, {kind: figures[kind]})


def storm(programs, rounds, cut):
    """SSE clients that come back with a cursor 1,000 messages old. A figure is one client's, with all it missed."""
    for count in (500 // cut, 5000 // cut):
        with Field(BOTH, "sse", programs, 1) as up:
            for load in up.loads.values():
                load.do("burst 1500 50 128")

            def measure(load):
                got = load.do(f"storm {count} 1000")
                load.do(f"close {count}")
                return {"cpu_ns": got["cpu_ns"] / count, "wall_ms": got["wall_ns"] / 1e6}
            yield point(count, by_turns(up.loads, rounds, measure))


def churn(programs, rounds, cut):
    """200 WebSocket clients come and go again beside those that stay. A figure is one client's."""
    def measure(load):
        opened = load.do("connect 200")
        closed = load.do("close 200")
        return {"cpu_ns": (opened["cpu_ns"] + closed["cpu_ns"]) / 200}
    for count in (100, 1000, 5000, 10_000):
        with Field(BOTH, "websocket", programs, count // cut) as up:
            yield point(count // cut, by_turns(up.loads, rounds, measure))


def timer(programs, rounds, cut):
    """A 1 ms timer of the application's while messages come faster than they can be sent to 10,000. The server comes
    before the machine's other work, so that it is the library that is measured and not who gets the core."""
    with Field(["downlink"], "sse", programs, 10_000 // cut, first=True) as up:
        load = up.loads["downlink"]
        load.do("control timer on")
        for _ in range(rounds):
            load.do("paced 500 5 128")
        p50, p99 = map(float, load.do("control stats")["answer"].split()[2:])
        note(f"  timer late by {p50} ms at the median, {p99} ms at p99")
        yield {"x": 10_000 // cut, "servers": {"downlink": {"p50_ms": p50, "p99_ms": p99}}}


CURVES = {
    "subscribers": ("subscribers, 4 messages a second", subscribers),
    "sizes": ("bytes of a message, 1,000 subscribers", sizes),
    "channels": ("channels of 10,000 subscribers", channels),
    "shards": ("shards, 5,000 subscribers", shards),
    "storm": ("clients reconnecting 1,000 messages behind", storm),
    "churn": ("clients that stay while 200 come and go", churn),
    "timer": ("subscribers during unbroken fan-out", timer),
}


def all_curves(programs, rounds, wanted="", cut=1):
    for name, (axis, curve) in CURVES.items():
        if wanted not in name:
            continue
        note(f"curve: {name}")
        yield {"curve": name, "axis": axis, "points": list(curve(programs, rounds, cut))}
