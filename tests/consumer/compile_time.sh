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

ratios=()
before=$(user_seconds "$yardstick" "$@")
for _ in 1 2 3 4 5; do
  time=$(user_seconds "$source" "$@")
  after=$(user_seconds "$yardstick" "$@")
  ratios+=("$(awk "BEGIN { printf \"%.2f\", 2 * $time / ($before + $after) }")")
  echo "${source##*/}: $time s, ${yardstick##*/}: $before s before and $after s after, ratio ${ratios[-1]}"
  before=$after
done

median=$(printf '%s\n' "${ratios[@]}" | sort -n | sed -n 3p)
echo "median $median, at most $bound"
awk "BEGIN { exit !($median <= $bound) }"
