#!/usr/bin/env bash
# Counts the user-space instructions of a delivery with callgrind: benchmarks/instructions.sh PROGRAM
#
# PROGRAM is benchmark_instructions. The count is the same on any machine with the same compiler and libraries, to within
# one in a hundred, however busy it is. Ends with 1 where a case takes more than its bound.
set -euo pipefail

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# transport, messages in flight, rounds, bound
measure() {
  local transport=$1 in_flight=$2 rounds=$3 bound=$4 deliveries instructions
  deliveries=$(valgrind --tool=callgrind --callgrind-out-file="$work/out" --toggle-collect=measured_part \
    "$program" "$transport" "$in_flight" "$rounds" 2>"$work/log") || { cat "$work/log" >&2; exit 1; }
  instructions=$(sed -n 's/^.*Collected : *\([0-9]*\).*$/\1/p' "$work/log")
  awk -v i="$instructions" -v d="$deliveries" -v bound="$bound" -v transport="$transport" -v n="$in_flight" 'BEGIN {
    printf "%-9s %3d in flight: %6.1f instructions a delivery, at most %d (%d deliveries)\n", transport, n, i / d, bound, d
    exit !(d > 0 && i / d <= bound)
  }' || status=1
}

for transport in websocket sse; do
  measure "$transport" 1 50 120
  measure "$transport" 64 4 15
done
exit "$status"
