#!/usr/bin/env bash
# Puts golangci-lint of the given version into ./bin. An installed one of the
# same version is linked; else it is built from source, which takes some minutes.
#
# usage: scripts/install-lint.sh v2.12.2
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?usage: install-lint.sh VERSION}
has() { [ -x "$1" ] && "$1" version 2>/dev/null | grep -qF "version ${version#v} "; }

mkdir -p bin
if ! has bin/golangci-lint; then
  rm -f bin/golangci-lint
  for dir in "$(go env GOBIN)" "$(go env GOPATH)/bin" /usr/local/bin /usr/bin; do
    if [ -n "$dir" ] && has "$dir/golangci-lint"; then
      ln -s "$dir/golangci-lint" bin/golangci-lint
      break
    fi
  done
fi
if ! has bin/golangci-lint; then
  echo "install-lint.sh: building golangci-lint $version" >&2
  GOBIN="$PWD/bin" CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
fi
rm -f bin/.golangci-lint-*
touch "bin/.golangci-lint-$version"
