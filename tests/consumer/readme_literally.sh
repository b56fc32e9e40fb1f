#!/usr/bin/env bash
# readme_literally.sh <source tree> <folder>: goes from an empty folder to events over SSE by the README's first program,
# CMakeLists.txt and commands, as they stand there. Only two things are other than the reader's: the repository that the
# README names is a copy of this source tree, and the port is a free one.
set -euo pipefail

root=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder/origin" "$folder/your_server"

fail() { printf '%s\n' "$1" >&2; exit 1; }

# The first block of the README between two fences of a language, and the first indented one after all of them.
block() { awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } inside && /^```/ { exit } inside' "$root/README.md"; }
commands() { awk '/^```cmake/ { seen = 1 } seen && /^    / { inside = 1; sub(/^    /, ""); print; next } inside { exit }
  /^```/ { fence = !fence } !fence && /^##/ { exit }' "$root/README.md"; }

port=$((20000 + RANDOM % 10000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
cd "$folder/your_server"
block cpp | sed "s/8080/$port/" >main.cpp
block cmake >CMakeLists.txt
mapfile -t lines < <(commands | sed "s/8080/$port/")
[[ ${#lines[@]} == 3 ]] || fail "the README has not the three commands that build, run and ask: ${lines[*]}"

declared='GIT_REPOSITORY ([^ )]+) GIT_TAG ([^ )]+)'
[[ $(<CMakeLists.txt) =~ $declared ]] || fail "the README's CMakeLists.txt names no repository and tag"
url=${BASH_REMATCH[1]}
branch=${BASH_REMATCH[2]}

# Nobody's own configuration of git has a say in this.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
tar -C "$root" --exclude=./build --exclude=./.git -c . | tar -C "$folder/origin" -x
git init --quiet --initial-branch "$branch" "$folder/origin"
git -C "$folder/origin" add --all
git -C "$folder/origin" -c user.name=test -c user.email=test@localhost commit --quiet -m test
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$folder/origin.insteadOf" GIT_CONFIG_VALUE_0=$url

git -C "$folder/origin" tag v0.0.0

# Whoever pins a release names a tag.
mkdir "$folder/pinned"
sed "s/GIT_TAG $branch/GIT_TAG v0.0.0/" CMakeLists.txt >"$folder/pinned/CMakeLists.txt"
cp main.cpp "$folder/pinned"
cmake -S "$folder/pinned" -B "$folder/pinned/build"
git -C "$folder/pinned/build/_deps/downlink-src" describe --tags --exact-match

eval "${lines[0]}"
eval "${lines[1]}"
server=$!
trap 'kill "$server"; wait "$server" || true' EXIT

# The reader looks at what comes; this waits for the message, and asks again while the server is not there yet.
for ((tries = 0; tries < 100; ++tries)); do
  kill -0 "$server" || fail "the server has ended"
  answer=$(eval "${lines[2]} --silent --max-time 2") || true
  if grep -qx 'event: price' <<<"$answer" && grep -qx 'data: {"symbol":"BTC","price":42000}' <<<"$answer"; then
    printf '%s\n' "$answer"
    exit 0
  fi
  sleep 0.1
done
fail "the event did not come, but: $answer"
