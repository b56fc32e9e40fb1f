#!/usr/bin/env bash
# pkg_config.sh <pkg-config> <directory of downlink.pc> <compiler> <folder> <source>[=<package>]…
#
# Builds each source as a Makefile would, with what `downlink` and the package beside it say, and runs it.
set -euo pipefail

pkg_config=$1 compiler=$3 folder=$4
export PKG_CONFIG_PATH=$2${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
mkdir -p "$folder"
for entry in "${@:5}"; do
  source=${entry%%=*}
  packages=(downlink)
  if [[ $entry == *=* ]]; then packages+=("${entry#*=}"); fi
  read -r -a flags <<<"$("$pkg_config" --cflags "${packages[@]}")"
  read -r -a libraries <<<"$("$pkg_config" --libs "${packages[@]}")"
  program=$folder/$(basename "$source" .cpp)
  "$compiler" -std=c++20 "${flags[@]}" "$source" "${libraries[@]}" -o "$program"
  "$program"
done
