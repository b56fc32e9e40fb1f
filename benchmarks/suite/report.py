"""Makes the tables (Markdown) and plots (SVG) of the suite's results: report.py results.json DIRECTORY"""

import json
import pathlib
import sys

from figures import quartiles


def ratio(got):
    if "ratio" not in got:
        return ""
    return f"{got['ratio']['median']:.2f} ({got['ratio']['q1']:.2f} to {got['ratio']['q3']:.2f})"


def figure(got, unit):
    return f"{got['figure']['median']:,.0f}" if unit != "µs" else f"{got['figure']['median'] / 1000:,.1f} ms"


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bars(result):
    """Which of the bars downlink reaches."""
    yield "| case | subscribers | downlink, median (quartiles) | bar | |\n| --- | --- | --- | --- | --- |"
    for case in result["cases"]:
        kind = "downlink, 2 shards" if case["reference"] == "downlink" else "downlink"
        got = case["servers"].get(kind, {}).get("ratio")
        if got:
            met = "met" if got["median"] <= case["bar"] else "**missed**"
            yield (f"| {case['name']} | {case['clients']:,} | {ratio(case['servers'][kind])} × {case['reference']} "
                   f"| {case['bar']:.2f} | {met} |")
        yield from io_uring_bar(case)
    for memory in result["memory"]:
        got = memory["servers"].get("downlink")
        if got is not None:
            met = "met" if got <= 700 else "**missed**"
            yield (f"| memory of an idle subscriber, {memory['transport']} | {memory['clients']:,} "
                   f"| {got:,.0f} bytes | 700 | {met} |")
    for curve in result["curves"]:
        if curve["curve"] == "timer":
            got = curve["points"][0]["servers"]["downlink"]["p99_ms"]
            met = "met" if got <= 5 else "**missed**"
            yield (f"| a 1 ms timer during fan-out, p99 | {curve['points'][0]['x']:,} "
                   f"| {got:.1f} ms late | 5 ms | {met} |")
        if curve["curve"] == "shards":
            one, two = (next(iter(point["servers"].values())) for point in curve["points"])
            for name, what in (("publish_ns", "one message"), ("publish_64_ns", "each of 64 messages")):
                got = two[name]["median"] / one[name]["median"]
                met = "met" if got <= 1.3 else "**missed**"
                yield f"| publishing {what} with two shards | | {got:.2f} × one shard | 1.30 | {met} |"


def io_uring_bar(case):
    """The optional way of sending has bars of its own: to the limit, and in windows to the plain way."""
    got = case["servers"].get("downlink io_uring")
    if not got or case["unit"] != "ns of CPU a delivery":
        return
    reference, bar = ("limit A", 0.88) if case["reference"] == "limit A" else ("downlink", 1.0)
    others = case["servers"][reference]["rounds"]
    quotients = quartiles([a / b for a, b in zip(got["rounds"], others)])
    met = "met" if quotients["median"] <= bar else "**missed**"
    yield (f"| {case['name']}, by io_uring | {case['clients']:,} | {ratio({'ratio': quotients})} × {reference} "
           f"| {bar:.2f} | {met} |")


def overview(result):
    """All servers' ratios, those to one limit in one table."""
    for reference in ("limit A", "limit B"):
        columns = [case for case in result["cases"] if case["reference"] == reference and len(case["servers"]) > 3]
        if not columns:
            continue
        yield f"\n### All servers, × {reference}\n"
        yield "| server | " + " | ".join(f"{case['name']}, {case['clients']:,}" for case in columns) + " |"
        yield "| --- |" + " --- |" * len(columns)
        for kind in dict.fromkeys(kind for case in columns for kind in case["servers"]):
            cells = (case["servers"].get(kind) for case in columns)
            yield f"| {kind} | " + " | ".join(ratio(cell) if cell else "" for cell in cells) + " |"


def comparison(case):
    yield f"\n### {case['name']}, {case['clients']:,} subscribers\n"
    columns = [case["unit"], f"× {case['reference']}, median (quartiles)", "of it outside the kernel"]
    delivers = "delivery" in case["unit"]
    if delivers:
        columns += ["bytes a delivery", "latency in the burst, median / p99"]
    yield "| server | " + " | ".join(columns) + " |\n| --- |" + " --- |" * len(columns)
    for kind, got in case["servers"].items():
        part = got.get("user_part")
        cells = [figure(got, case["unit"]), ratio(got), "" if part is None else f"{part:.0%}"]
        if delivers and "bytes" in got:
            cells += [number(got["bytes"]["median"]),
                      " / ".join(f"{got[name]['median'] / 1000:.3g}" for name in ("p50_us", "p99_us")) + " ms"]
        yield f"| {kind} | " + " | ".join(cells) + " |"
    if "unbounded" in case["name"]:
        grown = ", ".join(f"{kind} {grown / 1024:,.0f} KiB" for kind, grown in case["grown"].items())
        yield f"\nResident memory grew in these bursts by: {grown}."


def memory_table(result):
    yield "\n### Resident bytes of an idle subscriber\n"
    yield "| server | " + " | ".join(f"{each['transport']}, {each['clients']:,}" for each in result["memory"]) + " |"
    yield "| --- |" + " --- |" * len(result["memory"])
    kinds = dict.fromkeys(kind for each in result["memory"] for kind in each["servers"])
    for kind in kinds:
        cells = (each["servers"].get(kind) for each in result["memory"])
        yield f"| {kind} | " + " | ".join("" if cell is None else f"{cell:,.0f}" for cell in cells) + " |"


def curve_table(curve):
    columns = {}
    for point in curve["points"]:
        for kind, metrics in point["servers"].items():
            for name in metrics:
                columns.setdefault((kind, name))
    yield f"\n### Curve: {curve['curve']}\n"
    yield f"| {curve['axis']} | " + " | ".join(f"{kind}: {name}" for kind, name in columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for point in curve["points"]:
        cells = []
        for kind, name in columns:
            value = point["servers"].get(kind, {}).get(name)
            if isinstance(value, dict):
                cells.append(f"{number(value['median'])} ({number(value['q1'])} to {number(value['q3'])})")
            else:
                cells.append("" if value is None else number(value))
        yield f"| {point['x']:,} | " + " | ".join(cells) + " |"


def prediction(result):
    """What a million subscribers would take, by arithmetic from the largest point of the curve."""
    points = [curve["points"][-1] for curve in result["curves"] if curve["curve"] == "subscribers"]
    if not points:
        return
    got = points[0]["servers"]["downlink"]
    million = 1_000_000
    packet = got["bytes"]["median"] + 66 + 66  # Ethernet, IP and TCP with time stamps; and an acknowledgement
    yield f"\n### A million subscribers, from the point of {points[0]['x']:,}\n"
    yield "| what | each | a million |\n| --- | --- | --- |"
    for name, what in (("memory", "the server's processes"), ("kernel", "the kernel, idle sockets")):
        yield f"| memory of {what} | {got[name]:,.0f} bytes | {got[name] * million / 2**30:,.1f} GiB |"
    yield (f"| cores at one message a second | {got['cpu_ns']['median']:,.0f} ns a delivery "
           f"| {got['cpu_ns']['median'] * million / 1e9:,.1f} cores |")
    yield (f"| on the wire at one message a second, each in a packet of its own | {packet:,.0f} bytes "
           f"| {packet * 8 * million / 1e9:,.1f} Gbit/s |")


def markdown(result):
    before, after = result["before"], result.get("after", {"load": [0, 0, 0]})
    yield (f"{before['cores']} cores ({before['cpu']}), Linux {before['kernel']}, load {before['load'][0]:.1f} before "
           f"and {after['load'][0]:.1f} after, {result['rounds']} rounds.\n")
    yield "## Bars\n"
    yield from bars(result)
    yield "\n## Comparisons"
    yield from overview(result)
    for case in result["cases"]:
        yield from comparison(case)
    if result["memory"]:
        yield from memory_table(result)
    if result["curves"]:
        yield "\n## Curves"
    for curve in result["curves"]:
        yield from curve_table(curve)
    yield from prediction(result)


def main():
    result = json.loads(pathlib.Path(sys.argv[1]).read_text())
    directory = pathlib.Path(sys.argv[2])
    (directory / "results.md").write_text("\n".join(markdown(result)) + "\n")
    try:
        import plots
    except ImportError:
        return print("no plots, as matplotlib is missing", file=sys.stderr)
    plots.draw(result, directory)


if __name__ == "__main__":
    main()
