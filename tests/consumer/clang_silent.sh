#!/usr/bin/env bash
# clang_silent.sh <compiler> <folder> <header> <flags…> -- <source>…
#
# Fails where the compiler warns of the header or of a source. What all sources include is compiled once, ahead of them.
set -euo pipefail

compiler=$1 folder=$2 header=$3
shift 3
flags=(-std=c++20 -Werror)
while [[ $1 != -- ]]; do
  flags+=("$1")
  shift
done
shift

mkdir -p "$folder"
"$compiler" "${flags[@]}" -fpch-instantiate-templates -x c++-header "$header" -o "$folder/header.pch"
"$compiler" "${flags[@]}" -fsyntax-only -include-pch "$folder/header.pch" "$@"
