#!/usr/bin/env bash
# Builds the hub and runs it: examples/run.sh [options of the hub…], see examples/run.sh --help.
# Installs what is missing first (Debian, Ubuntu). Stdout is the hub's own: its first line says where it listens.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/.ci/packages.sh"

need_to_build_examples
install_packages

cd "$root"
{
  cmake --preset release -DDOWNLINK_BUILD_TESTS=OFF
  cmake --build --preset release --target hub --parallel "$(nproc)"
  echo
  echo "Starting the hub. Open the address it prints in a browser; Ctrl-C ends it."
} >&2
exec "$root/build/release/examples/hub" "$@"
