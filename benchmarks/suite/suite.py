"""Runs the suite: see --help and ../README.md."""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import cases
import curves
import smoke
from processes import SPOKEN, NCHAN_MODULES, SERVERS


def available(programs):
    """The servers that have been built or installed."""
    def there(kind):
        program = SERVERS[kind][0].format(programs=programs)
        if kind == "nchan" and not os.path.exists(NCHAN_MODULES[-1]):
            return False
        if kind == "Node ws" and subprocess.run(["node", "-e", "require('ws')"], capture_output=True).returncode != 0:
            return False
        if kind == "downlink io_uring" and shutil.which(program) and subprocess.run([program, "check"]).returncode != 0:
            return False
        return shutil.which(program) is not None
    return [kind for kind in SERVERS if there(kind)]


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()}


def run(options):
    """Yields the growing result, so that what has been measured is kept whatever comes."""
    programs = options.programs
    kinds = [kind for kind in available(programs) if not options.servers or kind in options.servers.split(",")]
    result = {"before": machine(), "servers": kinds, "rounds": options.rounds, "cases": [], "memory": [], "curves": []}
    if "comparisons" in options.parts:
        for case in cases.compare_all(programs, kinds, options.rounds, options.only, options.cut):
            result["cases"].append(case)
            yield result
    if "memory" in options.parts:
        for transport in ("websocket", "sse"):
            speaking = [kind for kind in kinds if transport in SPOKEN.get(kind, [])]
            result["memory"].append(cases.idle_memory(programs, speaking, transport, 10_000 // options.cut))
            yield result
    if "curves" in options.parts:
        for curve in curves.all_curves(programs, max(options.rounds // 3, 1), options.only, options.cut):
            result["curves"].append(curve)
            yield result
    result["after"] = machine()
    yield result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="where the suite's programs were built")
    parser.add_argument("--output", default=".", help="where results.json goes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", default="comparisons,memory,curves")
    parser.add_argument("--only", default="", help="only comparisons and curves whose name contains this")
    parser.add_argument("--servers", help="only these, comma-separated")
    parser.add_argument("--cut", type=int, default=1, help="only one in so many subscribers")
    parser.add_argument("--smoke", action="store_true", help="a few subscribers, and a look at the results")
    options = parser.parse_args()
    if options.smoke:
        return smoke.check(options)
    output = pathlib.Path(options.output, "results.json")
    for result in run(options):
        output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
