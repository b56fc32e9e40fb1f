#!/usr/bin/env bash
# compile_time.sh <bound> <source> <yardstick> <compiler> [flags…]
#
# Compiles both sources by turns, five times each, and compares the least processor time of either: whatever else the
# machine does only ever adds to it. The first may take at most `bound` times that of the second.
set -euo pipefail

bound=$1 source=$2 yardstick=$3
shift 3
output=$(mktemp)
trap 'rm -f "$output"' EXIT

user_seconds() {
  local TIMEFORMAT=%U
  { time "${@:2}" -O2 -std=c++20 -c "$1" -o "$output" 2>&3; } 3>&2 2>&1
}
least() { printf '%s\n' "$@" | sort -n | head -n 1; }

source_times=() yardstick_times=()
for _ in 1 2 3 4 5; do
  source_times+=("$(user_seconds "$source" "$@")")
  yardstick_times+=("$(user_seconds "$yardstick" "$@")")
done

awk -v a="$(least "${source_times[@]}")" -v b="$(least "${yardstick_times[@]}")" -v bound="$bound" \
  -v source="${source##*/}" -v yardstick="${yardstick##*/}" 'BEGIN {
    printf "%s: %.2f s, %s: %.2f s, ratio %.2f, at most %.2f\n", source, a, yardstick, b, a / b, bound
    exit !(a <= bound * b)
  }'
