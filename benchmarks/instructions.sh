#!/usr/bin/env bash
# Counts the user-space instructions of a delivery and of a poll with callgrind: benchmarks/instructions.sh PROGRAM
#
# PROGRAM is benchmark_instructions. The count is the same on any machine with the same compiler and libraries, to within
# one in a hundred, however busy it is. Ends with 1 where a case takes more than its bound.
set -euo pipefail

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# kind, messages in flight, rounds, bound, what is counted
measure() {
  local kind=$1 in_flight=$2 rounds=$3 bound=$4 what=$5 count instructions
  count=$(valgrind --tool=callgrind --callgrind-out-file="$work/out" --toggle-collect=measured_part \
    "$program" "$kind" "$in_flight" "$rounds" 2>"$work/log") || { cat "$work/log" >&2; exit 1; }
  instructions=$(sed -n 's/^.*Collected : *\([0-9]*\).*$/\1/p' "$work/log")
  awk -v i="$instructions" -v n="$count" -v bound="$bound" -v what="$what" 'BEGIN {
    printf "%s: %.1f instructions, at most %d (%d counted)\n", what, i / n, bound, n
    exit !(n > 0 && i / n <= bound)
  }' || status=1
}

for transport in websocket sse; do
  measure "$transport" 1 50 120 "a $transport delivery, one at a time"
  measure "$transport" 64 4 15 "a $transport delivery, 64 in flight"
done
measure polls 1 20 12000 "a long poll, with its answer"
measure polls 0 20 14000 "a short poll that brings nothing new"
exit "$status"
