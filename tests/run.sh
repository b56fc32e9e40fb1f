#!/usr/bin/env bash
# Builds and runs the tests: tests/run.sh [--quick]
#
# In full: the presets release, asan-ubsan, tsan and, where there is Clang 19, fuzz (a minute for each target). Quick:
# release alone, without what is labelled slow or browser.
# Installs what is missing first (Debian, Ubuntu). Ends with the sum of all runs and with 0 if everything passed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/.ci/packages.sh"

presets=(release asan-ubsan tsan fuzz)
selection=()
case "$#:${1:-}" in
  0:) ;;
  1:--quick) presets=(release) selection=(--label-exclude '^(slow|browser)$') ;;
  *) echo "usage: tests/run.sh [--quick]" >&2; exit 2 ;;
esac

has_fuzzer() { compgen -G '/usr/lib/llvm-19/lib/clang/19/lib/*/libclang_rt.fuzzer*.a'; }

need_to_build_examples
need catch2 has_header catch2/catch.hpp catch2/catch_all.hpp
need 'libboost1.81-dev|libboost1.83-dev|libboost-dev' has_boost
need libssl-dev has_header openssl/ssl.h
need openssl command -v openssl
need curl command -v curl
want liburing-dev has_header liburing.h
want git command -v git
need pkg-config command -v pkg-config
want python3 command -v python3
want valgrind command -v valgrind
want ccache command -v ccache
if [[ ${1:-} != --quick ]]; then
  want clang-16 command -v clang++-16
  want clang-19 command -v clang++-19
  want libc++-19-dev test -e /usr/lib/llvm-19/lib/libc++.so
  want libclang-rt-19-dev has_fuzzer
  need 'chromium|chromium-browser' eval 'command -v chromium || command -v chromium-browser || command -v google-chrome'
  need nodejs command -v node
  need npm command -v npm
  need 'nginx-light|nginx-core|nginx' test -x /usr/sbin/nginx
  need haproxy test -x /usr/sbin/haproxy
  want caddy command -v caddy
  want doxygen command -v doxygen
fi
install_packages

cd "$root"
# Other checkouts of the same code share the compiler's results.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
summary=() total=0 failed=0 broken=0

# The first lines that each failed test has printed, out of CTest's log on standard input.
print_failures() {
  awk '/^ *[0-9]+\/[0-9]+ Test +#/ { lines = /\*\*\*/ ? 40 : 0 } /^ +Start +[0-9]+: / { next } /^[0-9]+% tests passed/ { exit } lines-- > 0'
}

for preset in "${presets[@]}"; do
  if [[ $preset == fuzz ]] && ! { command -v clang++-19 && has_fuzzer; } >/dev/null; then
    summary+=("fuzz: left out, as this machine has no clang-19 with libclang-rt-19-dev")
    continue
  fi
  printf '\n=== %s ===\n' "$preset"
  if ! { cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$(nproc)"; } >"$logs/build" 2>&1; then
    cat "$logs/build"
    summary+=("$preset: does not build")
    broken=$((broken + 1))
    continue
  fi
  grep -E '^-- downlink: ' "$logs/build" || true
  status=0
  ctest --preset "$preset" -j2 "${selection[@]}" 2>&1 | tee "$logs/ctest" || status=$?
  line=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+' "$logs/ctest" | tail -n 1) || true
  summary+=("$preset: ${line:-ran no test}")
  while read -r name; do summary+=("  $name"); done < <(grep -E '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*' "$logs/ctest")
  if [[ $line =~ ,\ ([0-9]+)\ tests?\ failed\ out\ of\ ([0-9]+) ]]; then
    failed=$((failed + BASH_REMATCH[1]))
    total=$((total + BASH_REMATCH[2]))
    if ((status != 0 && BASH_REMATCH[1] == 0)); then broken=$((broken + 1)); fi
    print_failures <"$logs/ctest" >>"$logs/failures"
  else
    broken=$((broken + 1))
  fi
done

# A preset that did not come to its end counts as one failed test more.
failed=$((failed + broken))
total=$((total + broken))
if [[ -s $logs/failures ]]; then
  printf '\n=== failures ===\n'
  cat "$logs/failures"
fi
printf '\n=== sum ===\n'
printf '%s\n' "${summary[@]}"
printf '%d%% tests passed, %d tests failed out of %d\n' $(((total - failed) * 100 / total)) "$failed" "$total"
exit $((failed > 0))
