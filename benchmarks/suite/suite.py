"""Runs the suite: see --help and ../README.md."""

import argparse
import json
import os
import pathlib
import platform
import shutil

import cases
from processes import SPOKEN, NCHAN_MODULES, SERVERS


def available(programs):
    """The servers that have been built or installed."""
    def there(kind):
        program = SERVERS[kind][0].format(programs=programs)
        if kind == "nchan" and not any(map(os.path.exists, NCHAN_MODULES)):
            return False
        return shutil.which(program) is not None
    return [kind for kind in SERVERS if there(kind)]


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="where the suite's programs were built")
    parser.add_argument("--output", default=".", help="where results.json goes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="only comparisons whose name contains this")
    parser.add_argument("--servers", help="only these, comma-separated")
    options = parser.parse_args()

    kinds = [kind for kind in available(options.programs) if not options.servers or kind in options.servers.split(",")]
    result = {"before": machine(), "servers": kinds, "rounds": options.rounds}
    output = pathlib.Path(options.output, "results.json")
    result["cases"] = []
    for case in cases.compare_all(options.programs, kinds, options.rounds, options.only):
        result["cases"].append(case)
        output.write_text(json.dumps(result, indent=1))
    if options.only in "idle memory":
        result["memory"] = [
            cases.idle_memory(options.programs, [kind for kind in kinds if transport in SPOKEN.get(kind, [])], transport, 10_000)
            for transport in ("websocket", "sse")]
    result["after"] = machine()
    output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
