#!/usr/bin/env bash
# Runs each fuzz target for a while, two at a time: tests/fuzz/run.sh [SECONDS [TARGET…]]
#
# SECONDS for each target, an hour where it is not given. Needs clang-19 and libclang-rt-19-dev. New inputs are kept in
# build/fuzz and nothing is written into the tree; a finding's input is build/fuzz/tests/fuzz/TARGET-crash-… Ends with
# each target's executions, and with 0 if there was no finding.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=${1:-3600}
shift || true
if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: tests/fuzz/run.sh [SECONDS [TARGET…]]" >&2
  exit 2
fi

cd "$root"
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --parallel "$(nproc)" --target fuzz

built=$root/build/fuzz/tests/fuzz
targets=("$@")
if ((${#targets[@]} == 0)); then
  for program in "$built"/fuzz_*; do
    if [[ -x $program && -f $program ]]; then targets+=("${program##*/fuzz_}"); fi
  done
fi

run() {
  local target=$1 options=()
  if [[ -e tests/fuzz/$target.dict ]]; then options+=("-dict=tests/fuzz/$target.dict"); fi
  mkdir -p "$built/$target"
  "$built/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    "${options[@]}" "-artifact_prefix=$built/$target-" "$built/$target" "tests/fuzz/corpus/$target" \
    >"$built/$target.log" 2>&1
}

pids=()
for i in "${!targets[@]}"; do
  if ((i >= 2)); then wait "${pids[i - 2]}" || true; fi
  run "${targets[i]}" &
  pids+=($!)
done

status=0
for i in "${!targets[@]}"; do
  outcome="no finding"
  if ! wait "${pids[i]}"; then
    outcome="FINDING, see $built/${targets[i]}.log"
    status=1
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$built/${targets[i]}.log")
  printf '%-20s %12s executions, %s\n' "${targets[i]}" "${executions:-?}" "$outcome"
done
exit "$status"
