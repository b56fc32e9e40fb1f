# shellcheck shell=bash
# Sourced by tests that need what cannot be installed beside what is.
#
#   unpack_packages DIRECTORY SUITE PACKAGE…   unpacks Debian packages there and installs nothing
#
# SUITE is the release that they are taken from, or "" for this system's own. `source:NAME` is a package's sources, which
# land in DIRECTORY/NAME. What has been unpacked before stays and is not asked for again. Ends the test with 77, which
# is to be skipped, where this is no Debian or its packages cannot be had.

skip() { echo "skipped: $1" >&2; exit 77; }

unpack_packages() {
  local directory=$1 suite=$2 options=() site release name
  local packages=("${@:3}")
  if [[ -e $directory/complete && $(<"$directory/complete") == "$suite ${packages[*]}" ]]; then return; fi
  command -v apt-get >/dev/null || skip "this system has no apt to get ${packages[*]} with"
  rm -rf "$directory"
  mkdir -p "$directory/packages"
  if [[ -n $suite ]]; then
    # The system's own mirror, and lists of our own.
    read -r site release < <(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' \
      'Created-By: Packages' 'Origin: Debian' 'Component: main' | grep -vE -- '-(updates|security|backports)' | head -n 1) || true
    [[ -n ${release:-} ]] || skip "apt knows no Debian to get ${packages[*]} from"
    mkdir -p "$directory"/apt/{lists,cache}/partial
    printf '%s\n' "deb $site $suite main" "deb-src $site $suite main" >"$directory/apt/sources.list"
    options=(-o "Dir::Etc::SourceList=$directory/apt/sources.list" -o Dir::Etc::SourceParts=-
      -o "Dir::State::Lists=$directory/apt/lists" -o "Dir::Cache=$directory/apt/cache" -o APT::Sandbox::User=)
    apt-get "${options[@]}" --quiet=2 update || skip "Debian's $suite cannot be reached"
  fi
  for name in "${packages[@]}"; do
    (
      cd "$directory/packages" || exit
      if [[ $name == source:* ]]; then
        apt-get "${options[@]}" --quiet=2 --download-only source "${name#source:}"
      else
        apt-get "${options[@]}" --quiet=2 download "$name"
      fi
    ) || skip "$name cannot be had"
    if [[ $name == source:* ]]; then
      mkdir "$directory/${name#source:}"
      tar -C "$directory/${name#source:}" --strip-components 1 -xf "$directory/packages/${name#source:}"_*.orig.tar.?z
    fi
  done
  for name in "$directory"/packages/*.deb; do dpkg-deb --extract "$name" "$directory"; done
  rm -rf "$directory/packages" "$directory/apt"
  echo "$suite ${packages[*]}" >"$directory/complete"
}
