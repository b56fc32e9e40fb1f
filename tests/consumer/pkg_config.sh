#!/usr/bin/env bash
# pkg_config.sh <pkg-config> <directory of downlink.pc> <compiler> <source> <program>: builds as a Makefile would, runs.
set -euo pipefail

export PKG_CONFIG_PATH=$2${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
read -r -a flags <<<"$("$1" --cflags downlink)"
read -r -a libraries <<<"$("$1" --libs downlink)"
"$3" -std=c++20 "${flags[@]}" "$4" "${libraries[@]}" -o "$5"
"$5"
