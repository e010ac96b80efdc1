#!/usr/bin/env bash
# Installs what the integration tests run: BGP speakers and the programs that
# read back what ribtap writes. Only Debian packages; no daemon is left running.
# A second call with everything present does not use the network.
#
# A newer generation of the speakers is unpacked, not installed, into
# $RIBTAP_SPEAKERS (default /opt/ribtap-speakers); nothing of the machine's own
# packages changes. Where it cannot be had, the tests that need it fail and say so.
set -euo pipefail

packages=(tshark bgpdump kcat sqlite3 iproute2 bird2 frr gobgpd exabgp openbgpd postgresql-15 chromium fonts-dejavu-core prometheus mmdebstrap systemd stayrtr)
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)   # Apache Kafka
command -v mvn >/dev/null || packages+=(maven)                       # its jars
newer=(frr bird2 gobgpd)     # unpacked from the newer release, with their libraries
apart=(bird3)                # conflicts with bird2: a folder of its own
release=trixie
root=${RIBTAP_SPEAKERS:-/opt/ribtap-speakers}

say() { echo "install-test-deps.sh: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "needs root for: $*"; fi; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# quiet_daemons runs a command while invoke-rc.d is told to start nothing.
quiet_daemons() {
  local policy=/usr/sbin/policy-rc.d made= rc=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=1
  fi
  "$@" || rc=$?
  [ -z "$made" ] || as_root rm -f "$policy"
  return "$rc"
}

install_packages() {
  local missing=() p
  for p in "${packages[@]}"; do installed "$p" || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || { say "all ${#packages[@]} packages present"; return; }
  as_root apt-get -qq -o DPkg::Lock::Timeout=300 update
  # tshark asks whether everybody may capture; the tests only read files.
  echo 'wireshark-common wireshark-common/install-setuid boolean false' | as_root debconf-set-selections || true
  quiet_daemons as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
  say "installed ${missing[*]}"
}

# apt_newer runs apt-get against the newer release alone, with lists, cache and
# package state of its own.
apt_newer() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::State::status=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

unpack_newer() {
  [ ! -e "$root/.complete" ] || { say "newer speakers present in $root"; return; }
  local uri skip debs deb d
  # The archive is the one from which this machine already takes Debian.
  uri=$(apt-get indextargets --format '$(REPO_URI) $(LABEL) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "Debian" && $3 !~ /-/ { print $1; exit }')
  [ -n "$uri" ] || die "no Debian archive is configured, so the newer speakers cannot be fetched"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/{lists/partial,cache/archives/partial,debs}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release main" > "$work/sources.list"
  apt_newer update
  # Daemons and tools that a speaker run by hand in a chroot never calls.
  skip='^(systemd|libsystemd-shared|cron.*|perl.*|libperl.*|adduser|passwd|login.*|dpkg|tar|debconf|init-system-helpers|procps|lsof|logrotate|ucf|mount|iproute2|sensible-utils|openssl-provider-legacy|python3.*|libpython3.*|tzdata|media-types)$'
  as_root rm -rf "$root"
  as_root mkdir -p "$root"
  as_root chown "$(id -u):$(id -g)" "$root"
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root/apart"
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
  cd "$work/debs"
  mapfile -t debs < <(apt_newer -s install --no-install-recommends "${newer[@]}" | awk '/^Inst/ { print $2 }' | grep -Ev "$skip")
  [ ${#debs[@]} -gt 0 ] || die "$release offers none of ${newer[*]}"
  apt_newer download "${debs[@]}"
  for deb in *.deb; do dpkg-deb -x "$deb" "$root"; done
  rm -f ./*.deb
  for d in "${apart[@]}"; do
    apt_newer download "$d"
    dpkg-deb -x "$d"_*.deb "$root/apart/$d"
  done
  # What a chroot needs to look up names and to write.
  mkdir -p "$root"/{tmp,proc,dev,etc,run,var/run,var/tmp}
  chmod 1777 "$root/tmp"
  cp /etc/hosts "$root/etc/hosts"
  grep -E '^(root|frr|bird):' /etc/passwd > "$root/etc/passwd"
  grep -E '^(root|frr|frrvty|bird):' /etc/group > "$root/etc/group"
  touch "$root/.complete"
  say "unpacked ${newer[*]} ${apart[*]} of $release under $root"
}

command -v apt-get >/dev/null || die "this is not a Debian system: install ${packages[*]} by hand and run make test-unit race test-integration"
install_packages
unpack_newer
