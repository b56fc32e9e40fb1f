#!/usr/bin/env bash
# libcxx_16.sh <folder> <cmake's arguments…>: runs the command that follows with Clang 16's libc++, whose package cannot
# be installed beside Clang 19's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/unpack_packages.sh"

folder=$1
shift
unpack_packages "$folder" "" libc++-16-dev libc++abi-16-dev libc++1-16 libc++abi1-16 libunwind-16
llvm=$folder/usr/lib/llvm-16
exec "$@" "-DCMAKE_CXX_FLAGS=-stdlib=libc++ -nostdinc++ -isystem $llvm/include/c++/v1" \
  "-DCMAKE_EXE_LINKER_FLAGS=-L$llvm/lib -Wl,-rpath,$llvm/lib"
