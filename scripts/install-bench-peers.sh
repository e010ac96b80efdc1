#!/usr/bin/env bash
# Installs the programs that make bench-system measures beside ribtap: pmacct
# (pmbmpd) and bgpdump from Debian, and GoBMP, which is built from its module in
# a temporary one and put into $BENCH_PEERS (default bin/peers). What is there
# already is not fetched again. No daemon is left running.
set -euo pipefail
cd "$(dirname "$0")/.."

gobmp_version=v1.1.0
packages=(pmacct bgpdump)
dir=${BENCH_PEERS:-$PWD/bin/peers}

say() { echo "install-bench-peers.sh: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else say "needs root for: $*"; exit 1; fi; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  local missing=() p policy=/usr/sbin/policy-rc.d made='' rc=0
  for p in "${packages[@]}"; do installed "$p" || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  as_root apt-get -qq -o DPkg::Lock::Timeout=300 update
  if [ ! -e "$policy" ]; then # start nothing
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" || rc=$?
  [ -z "$made" ] || as_root rm -f "$policy"
  return "$rc"
}

# Not by go install MODULE@VERSION: a module of ours pins the version and its
# sums are checked in the same way, but nothing asks which others there are.
build_gobmp() {
  local stamp=$dir/.gobmp-$gobmp_version
  if [ -x "$dir/gobmp" ] && [ -e "$stamp" ]; then return; fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$dir"
  printf 'module peers\n\ngo 1.25\n\nrequire github.com/sbezverk/gobmp %s\n' "$gobmp_version" > "$work/go.mod"
  printf 'package peers\n\nimport _ "github.com/sbezverk/gobmp/cmd/gobmp"\n' > "$work/peers.go"
  (cd "$work" && go mod tidy && CGO_ENABLED=0 go build -o "$dir/gobmp" github.com/sbezverk/gobmp/cmd/gobmp)
  rm -f "$dir"/.gobmp-*
  touch "$stamp"
  say "built GoBMP $gobmp_version"
}

command -v apt-get >/dev/null || { say "this is not a Debian system: install ${packages[*]} by hand"; exit 1; }
install_packages
build_gobmp
say "pmbmpd, bgpdump and $dir/gobmp are there"
