# shellcheck shell=bash
# Sourced by examples/run.sh and tests/run.sh: finds out which packages are missing and installs them.
#
#   need 'PACKAGE[|ALTERNATIVE…]' PROBE…   the command PROBE fails when the package is missing
#   want 'PACKAGE[|ALTERNATIVE…]' PROBE…   the same, but the run goes on where the distribution lacks the package
#   install_packages                        installs what is missing; apt is not even started when nothing is

needed_packages=()
wanted_packages=()

probe() { "$@" >/dev/null 2>&1; }
has_header() {
  local header
  for header in "$@"; do
    if [[ -e /usr/include/$header || -e /usr/local/include/$header ]]; then return; fi
  done
  return 1
}

# A Boost whose Asio is new enough: Debian's default one is not.
has_boost() {
  local version
  version=$(sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' /usr/include/boost/version.hpp /usr/local/include/boost/version.hpp \
    2>/dev/null | sort -n | tail -n 1)
  ((${version:-0} >= 107800))
}

need() { probe "${@:2}" || needed_packages+=("$1"); }
want() { probe "${@:2}" || wanted_packages+=("$1"); }

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi; }
fail() { printf '%s: %s\n' "${0##*/}" "$1" >&2; exit 1; }

# The first of the alternatives that apt can install.
choose() {
  local IFS='|' name policy
  for name in $1; do
    policy=$(apt-cache policy "$name" 2>/dev/null) || true
    if [[ $policy == *'Candidate: '[0-9]* ]]; then
      echo "$name"
      return
    fi
  done
  return 1
}

install_packages() {
  if ((${#needed_packages[@]} + ${#wanted_packages[@]} == 0)); then return; fi
  local entry name
  local required=() optional=() names=${needed_packages[*]:-}
  names=${names//|/ or }
  if ! command -v apt-get >/dev/null; then
    if ((${#needed_packages[@]})); then fail "these are missing, named as Debian's packages are: $names"; fi
    return
  fi
  if [[ $(id -u) != 0 ]] && ! sudo -n true 2>/dev/null; then
    if ((${#needed_packages[@]})); then fail "only root can install what is missing: apt-get install $names"; fi
    return
  fi
  echo "Installing what is missing: ${needed_packages[*]:-} ${wanted_packages[*]:-}" >&2
  local log
  log=$(mktemp)
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update >"$log" 2>&1 </dev/null || true
  for entry in "${needed_packages[@]}"; do
    name=$(choose "$entry") || fail "these packages are missing and apt can't get ${entry//|/ or }: $names"
    required+=("$name")
  done
  for entry in "${wanted_packages[@]}"; do
    if name=$(choose "$entry"); then optional+=("$name"); else
      echo "Left out, as this distribution has no package ${entry//|/ or }" >&2
    fi
  done
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends)
  if ((${#required[@]})) && ! as_root "${install[@]}" "${required[@]}" >>"$log" 2>&1 </dev/null; then
    fail "these packages are missing and could not be installed (is the network there? see $log): ${required[*]}"
  fi
  for name in "${optional[@]}"; do
    as_root "${install[@]}" "$name" >>"$log" 2>&1 </dev/null || echo "Left out, as $name could not be installed" >&2
  done
  rm -f "$log"
}

need_to_build_examples() {
  need g++ command -v g++
  need cmake command -v cmake
  need ninja-build command -v ninja
  need libasio-dev has_header asio.hpp
  need 'libllhttp-dev|node-llhttp' has_header llhttp.h ../share/include/llhttp/llhttp.h
  need zlib1g-dev has_header zlib.h
  want libssl-dev has_header openssl/ssl.h
  need libcli11-dev has_header CLI/CLI.hpp
  need nlohmann-json3-dev has_header nlohmann/json.hpp
}
