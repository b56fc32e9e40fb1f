#!/usr/bin/env bash
# Builds and runs the benchmark suite: benchmarks/run.sh [--quick] [options of suite.py…]
#
# Compares downlink with bare epoll and with other servers, and leaves results.md, results.json and plots (SVG) in
# build/suite. Takes a quarter of an hour; --quick, with a third of the rounds and a tenth of the subscribers, less.
# Installs what is missing first (Debian, Ubuntu, npm), and ends by itself, with everything that it started.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/.ci/packages.sh"

options=()
if [[ ${1:-} == --quick ]]; then
  shift
  options=(--rounds 5 --cut 10)
fi

has_nchan() { [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]]; }
# Of the package, or of another Python that comes first in the path.
has_matplotlib() { /usr/bin/python3 -c 'import matplotlib'; }

need_to_build_examples
need libssl-dev has_header openssl/sha.h
need util-linux eval 'command -v taskset && command -v setpriv'
need python3 test -x /usr/bin/python3
want python3-matplotlib has_matplotlib
want liburing-dev has_header liburing.h
want libnginx-mod-nchan has_nchan
want libboost-dev has_header boost/beast.hpp
want libwebsocketpp-dev has_header websocketpp/server.hpp
want nodejs command -v node
want npm command -v npm
# nginx's package starts a server of its own, which nobody asked for: it is stopped again, unless it was there before.
had_nginx=$(command -v nginx || true)
install_packages
if [[ -z $had_nginx && -e /run/nginx.pid ]]; then as_root nginx -s quit || true; fi

cd "$root"
output=$root/build/suite
mkdir -p "$output"
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
{
  cmake --preset release -DDOWNLINK_BUILD_TESTS=OFF -DDOWNLINK_BUILD_BENCHMARKS=ON
  for target in suite_load suite_limit suite_downlinks suite_peers; do
    cmake --build --preset release --target "$target" --parallel "$(nproc)"
  done
} >&2

if command -v npm >/dev/null && ! [[ -e $output/node_modules/ws ]]; then
  npm install --silent --no-audit --no-fund --omit=optional --prefix "$output" ws@8.23.0 >&2 ||
    echo "Node's ws is left out, as npm could not install it" >&2
fi
export NODE_PATH=$output/node_modules PYTHONDONTWRITEBYTECODE=1

suite=$root/benchmarks/suite
/usr/bin/python3 "$suite/suite.py" --programs "$root/build/release/benchmarks/suite" --output "$output" \
  "${options[@]}" "$@"
rm -f "$output"/*.svg
/usr/bin/python3 "$suite/report.py" "$output/results.json" "$output"
echo "$output/results.md"
