#!/usr/bin/env bash
# newer_versions.sh <source tree> <folder>: builds and runs the tests of the headers, the log, the shards and the
# endpoints with the versions of Asio, llhttp and Catch2 that Debian 13 has.
set -euo pipefail
root=$1
folder=$2
source "$root/tests/consumer/unpack_packages.sh"

unpack_packages "$folder/packages" trixie libasio-dev libllhttp-dev libllhttp9.2 source:catch2
options=(-G "$CMAKE_GENERATOR" -DCMAKE_BUILD_TYPE= "-DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-}"
  "-DCMAKE_PREFIX_PATH=$folder/packages/usr;$folder/catch2_installed" -DCMAKE_CXX_FLAGS=-O0)
cmake -S "$folder/packages/catch2" -B "$folder/catch2" "${options[@]}" -DCATCH_DEVELOPMENT_BUILD=OFF \
  -DCMAKE_UNITY_BUILD=ON "-DCMAKE_INSTALL_PREFIX=$folder/catch2_installed" -DCATCH_INSTALL_DOCS=OFF
cmake --build "$folder/catch2" --target install
cmake -S "$root" -B "$folder/build" "${options[@]}" "-DDOWNLINK_ASIO_INCLUDE_DIR=$folder/packages/usr/include" \
  -DDOWNLINK_BOOST=OFF -DDOWNLINK_BUILD_TESTS=ON -DDOWNLINK_BUILD_EXAMPLES=OFF -DDOWNLINK_FETCH_DEPENDENCIES=OFF \
  -DDOWNLINK_WARNINGS_AS_ERRORS=ON
programs=(wire_tests channel_tests session_tests net_tests)
cmake --build "$folder/build" --target "${programs[@]}"

fail() { echo "$1" >&2; exit 1; }
cd "$folder/build/tests"
ldd wire_tests | grep -F "$folder/packages/usr/lib" | grep -q 'libllhttp\.so\.9' || fail "this is not llhttp 9"
./wire_tests --libidentify | grep -Eq '^version: +3' || fail "this is not Catch2 3"
grep -q "isystem $folder/packages/usr/include " ../compile_commands.json || fail "this is not Debian 13's Asio"
grep -q 'ASIO_VERSION 1030' "$folder/packages/usr/include/asio/version.hpp" || fail "this is not Asio 1.30"
for program in "${programs[@]}"; do "./$program"; done
