"""The plots: a bar for each server's ratio in each comparison, and a line for each server in each curve."""

import re

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "downlink", "figure.autolayout": True})

import matplotlib.pyplot as plt

LABELS = {
    "cpu_ns": "ns of CPU", "p50_us": "µs, median latency", "p99_us": "µs, p99 of latency", "publish_ns": "ns a publish",
    "memory": "bytes resident each", "kernel": "bytes in the kernel each", "wall_ms": "ms till all have everything",
}


def save(directory, name):
    plt.savefig(directory / (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".svg"), metadata={"Date": None})
    plt.close()


def comparison(case, directory):
    """Whiskers are quartiles; the line is the bar that downlink is held to."""
    servers = {kind: got["ratio"] for kind, got in case["servers"].items() if "ratio" in got}
    if not servers:
        return
    medians = [ratio["median"] for ratio in servers.values()]
    errors = [[ratio["median"] - ratio["q1"] for ratio in servers.values()],
              [ratio["q3"] - ratio["median"] for ratio in servers.values()]]
    colours = ["tab:orange" if kind.startswith("downlink") else "tab:grey" for kind in servers]
    plt.figure(figsize=(7, 1 + 0.35 * len(servers)))
    plt.barh(list(servers), medians, xerr=errors, color=colours, ecolor="black", capsize=2)
    plt.axvline(case["bar"], color="tab:red", linewidth=1)
    plt.gca().invert_yaxis()
    if max(medians) > 5:
        plt.xscale("log")
    plt.xlabel(f"{case['unit']}, × {case['reference']}")
    plt.title(f"{case['name']}, {case['clients']:,} subscribers", fontsize=10)
    save(directory, f"{case['name']} {case['clients']}")


def curve(curve, directory):
    metrics = dict.fromkeys(name for point in curve["points"] for got in point["servers"].values() for name in got)
    metrics = [name for name in metrics if name in LABELS]
    if len(curve["points"]) < 3 or not metrics:
        return
    figure, axes = plt.subplots(1, len(metrics), figsize=(4 * len(metrics), 3.2), squeeze=False)
    for axis, name in zip(axes[0], metrics):
        for kind in dict.fromkeys(kind for point in curve["points"] for kind in point["servers"]):
            points = [(point["x"], point["servers"][kind][name]) for point in curve["points"]
                      if name in point["servers"].get(kind, {})]
            if not points:
                continue
            x = [at for at, _ in points]
            whole = [got if isinstance(got, dict) else dict.fromkeys(("q1", "median", "q3"), got) for _, got in points]
            line, = axis.plot(x, [got["median"] for got in whole], marker="o", markersize=3, label=kind)
            axis.fill_between(x, [got["q1"] for got in whole], [got["q3"] for got in whole],
                              color=line.get_color(), alpha=0.2)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(curve["axis"], fontsize=8)
        axis.set_ylabel(LABELS[name], fontsize=8)
        axis.legend(fontsize=7)
    save(directory, f"curve {curve['curve']}")


def draw(result, directory):
    for case in result["cases"]:
        comparison(case, directory)
    for each in result["curves"]:
        curve(each, directory)
