#!/usr/bin/env bash
# compile_time.sh <bound> <source> <yardstick> <compiler> [flags…]
#
# Compiles both sources by turns and compares their processor time: the source may take at most `bound` times that of
# the yardstick. Machines have quick and slow spells, so each of five times is compared with the yardstick's right before
# and right after it, and what counts is the median of these ratios.
set -euo pipefail

bound=$1 source=$2 yardstick=$3
shift 3
output=$(mktemp)
trap 'rm -f "$output"' EXIT

user_seconds() {
  local TIMEFORMAT=%U
  { time "${@:2}" -O2 -std=c++20 -c "$1" -o "$output" 2>&3; } 3>&2 2>&1
}

times=$(user_seconds "$yardstick" "$@")
for _ in 1 2 3 4 5; do
  times+=" $(user_seconds "$source" "$@") $(user_seconds "$yardstick" "$@")"
done

awk -v times="$times" -v bound="$bound" -v source="${source##*/}" -v yardstick="${yardstick##*/}" 'BEGIN {
  count = split(times, seconds)
  for (i = 2; i < count; i += 2) {
    ratio = 2 * seconds[i] / (seconds[i - 1] + seconds[i + 1])
    for (at = ++ratios; at > 1 && sorted[at - 1] > ratio; --at) sorted[at] = sorted[at - 1]
    sorted[at] = ratio
  }
  median = sorted[(ratios + 1) / 2]
  printf "%s by turns with %s: %s s; ratio %.2f (%.2f to %.2f), at most %.2f\n", yardstick, source, times, median,
    sorted[1], sorted[ratios], bound
  exit !(median <= bound)
}'
