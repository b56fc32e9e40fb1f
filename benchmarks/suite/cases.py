"""The comparisons. A figure is one burst's; servers take turns burst by burst, in another order each round."""

import random
import sys

from figures import quartiles
from processes import SERVER_CORE, SPOKEN, Field, Load, Server


def by_turns(loads, rounds, measure):
    """What measure(load) says in each round of each server, after one round that does not count."""
    figures = {kind: [] for kind in loads}
    for number in range(rounds + 1):
        order = list(loads)
        random.shuffle(order)
        for kind in order:
            figure = measure(loads[kind])
            if number > 0:
                figures[kind].append(figure)
    return figures


def compared(figures, reference):
    """Medians and quartiles of each server's figures, and of their ratios to the reference of the same round; and the
    part of its CPU time that a server spent outside the kernel, which says something over all rounds alone."""
    result = {}
    for kind, bursts in figures.items():
        values = [burst["figure"] for burst in bursts]
        user, ticks = (sum(burst[name] for burst in bursts) for name in ("user_ticks", "ticks"))
        result[kind] = {"figure": quartiles(values), "rounds": values, "user_part": user / ticks if ticks else None}
        result[kind] |= {name: quartiles([burst[name] for burst in bursts]) for name in ("bytes", "p50_us", "p99_us")}
        if reference in figures:
            references = [burst["figure"] for burst in figures[reference]]
            result[kind]["ratio"] = quartiles([a / b for a, b in zip(values, references)])
    return result


def taken(got, figure):
    """A burst's figure, and what else is told of it."""
    each = {"figure": figure, "bytes": got["bytes"] / max(got["deliveries"], 1)}
    each["ticks"] = got["user_ticks"] + got["system_ticks"]
    return each | {name: got[name] for name in ("user_ticks", "p50_us", "p99_us")}


def cpu_per_delivery(command):
    def measure(load):
        got = load.do(command)
        return taken(got, got["cpu_ns"] / got["deliveries"])
    return measure


def handshakes(count):
    def measure(load):
        opened = load.do(f"connect {count}")
        load.do(f"close {count}")
        return taken(opened, opened["cpu_ns"] / count)
    return measure


def percentile(name, command):
    def measure(load):
        got = load.do(command)
        return taken(got, got[name])
    return measure


LIMITS = ["limit A", "limit B", "downlink", "downlink io_uring"]
CPU, HANDSHAKE, LATENCY = "ns of CPU a delivery", "ns of CPU a handshake", "µs"


def case(name, measure, reference, bar, unit=CPU, servers=None):
    return {"name": name, "measure": measure, "reference": reference, "bar": bar, "unit": unit, "servers": servers}


def windows(transport, bar):
    """One message at a time for all servers, and windows for those that send a window at once."""
    def in_flight(what, command):
        return case(f"{transport}, {what}", cpu_per_delivery(command), "limit B", 1.25,
                    servers=["limit B", "downlink", "downlink io_uring"])
    return [
        case(f"{transport}, one message at a time", cpu_per_delivery("burst 40 1 128"), "limit A", bar),
        in_flight("64 messages in flight", "burst 256 64 128"),
        in_flight("128 messages in flight", "burst 512 128 128"),
        in_flight("unbounded window", "burst 1024 0 128"),
    ]


def windows_of_all(transport):
    """For servers that make a call for each message, with so few subscribers that it doesn't take all day."""
    return [case(f"{transport}, 64 messages in flight", cpu_per_delivery("burst 256 64 128"), "limit B", 1.25)]


# Servers that are up at once with so many subscribers, and what is measured on them. `core` None lets them use all.
FIELDS = [
    {"transport": "websocket", "clients": 1000, "cases": windows("WebSocket", 1.07)},
    {"transport": "sse", "clients": 1000, "cases": windows("SSE", 1.04)},
    {"transport": "websocket", "clients": 200, "cases": windows_of_all("WebSocket")},
    {"transport": "sse", "clients": 200, "cases": windows_of_all("SSE")},
    {"transport": "websocket", "clients": 5000, "cases": [
        case("WebSocket, one message at a time", cpu_per_delivery("burst 10 1 128"), "limit A", 1.04)]},
    {"transport": "sse", "clients": 5000, "servers": LIMITS, "cases": [
        case("SSE, one message at a time", cpu_per_delivery("burst 10 1 128"), "limit A", 1.04)]},
    {"transport": "websocket", "clients": 5000, "servers": ["limit A", "downlink"], "cases": [
        case("latency at 5 messages a second, p50", percentile("p50_us", "paced 8 200 128"), "limit A", 1.1, LATENCY),
        case("latency at 5 messages a second, p99", percentile("p99_us", "paced 8 200 128"), "limit A", 1.25, LATENCY)]},
    {"transport": "websocket", "clients": 100, "cases": [
        case("WebSocket handshake", handshakes(500), "limit A", 1.25, HANDSHAKE)]},
    {"transport": "sse", "clients": 100, "cases": [
        case("SSE handshake", handshakes(500), "limit A", 1.25, HANDSHAKE)]},
    {"transport": "websocket", "clients": 1000, "servers": ["downlink", "downlink, 2 shards"], "core": None,
     "cases": [case("two shards on two threads", cpu_per_delivery("burst 40 1 128"), "downlink", 1.1)]},
    {"transport": "long", "clients": 1000, "cases": [
        case("long polling, answer and next request", cpu_per_delivery("burst 20 1 128"), "limit A", 1.10)]},
    {"transport": "short", "clients": 100, "publish": 100, "servers": ["limit A", "downlink"], "cases": [
        case("short polling, nothing new", cpu_per_delivery("polls 50 0"), "limit A", 1.3, "ns of CPU an answer"),
        case("short polling, ten messages", cpu_per_delivery("polls 50 10"), "limit A", 1.3, "ns of CPU an answer")]},
]


def note(text):
    print(text, file=sys.stderr, flush=True)


def compare_all(programs, available, rounds, wanted="", cut=1):
    """Every case whose name contains `wanted`, with a `cut`th of the subscribers."""
    for field in FIELDS:
        clients = max(field["clients"] // cut, 10)
        cases = [each for each in field["cases"] if wanted in f"{each['name']}, {clients}"]
        kinds = [kind for kind in field.get("servers", SPOKEN)
                 if field["transport"] in SPOKEN.get(kind, [field["transport"]]) and kind in available]
        if not cases:
            continue
        with Field(kinds, field["transport"], programs, clients, core=field.get("core", SERVER_CORE)) as up:
            for load in up.loads.values():
                if "publish" in field:
                    load.do(f"publish {field['publish']} 128")
            for each in cases:
                loads = {kind: load for kind, load in up.loads.items() if kind in (each["servers"] or kinds)}
                before = {kind: up.servers[kind].rss() for kind in loads}
                figures = by_turns(loads, rounds, each["measure"])
                grown = {kind: up.servers[kind].rss() - before[kind] for kind in loads}
                result = {key: each[key] for key in ("name", "reference", "bar", "unit")}
                result |= {"transport": field["transport"], "clients": clients, "grown": grown,
                           "servers": compared(figures, each["reference"])}
                note(summary(result))
                yield result


def summary(result):
    lines = [f"{result['name']}, {result['clients']} clients, {result['unit']}"]
    for kind, got in result["servers"].items():
        ratio = got.get("ratio", {"median": 0, "q1": 0, "q3": 0})
        lines.append(f"  {kind:20} {got['figure']['median']:10.1f}   {ratio['median']:.3f} "
                     f"({ratio['q1']:.3f} to {ratio['q3']:.3f}) × {result['reference']}")
    return "\n".join(lines)


def idle_memory(programs, kinds, transport, count):
    """Resident bytes of a server for each idle subscriber past the first hundred, which make it grow its buffers."""
    result = {}
    for kind in kinds:
        server = Server(kind, programs)
        load = None
        try:
            load = Load(server, transport, programs)
            load.do("connect 100")
            before = server.rss()
            load.do(f"connect {count}")
            result[kind] = (server.rss() - before) / count
        finally:
            if load:
                load.stop()
            server.stop()
    note(f"bytes of an idle subscriber, {transport}, {count}: {result}")
    return {"transport": transport, "clients": count, "servers": result}
