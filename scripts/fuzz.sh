#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other.
#
# usage: scripts/fuzz.sh [DURATION]     (default 30s each)
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
n=0
while IFS=: read -r file target; do
  echo "== ${file%/*} $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./${file%/*}"
  n=$((n + 1))
done < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]+' | sed 's/:func /:/')
echo "fuzz.sh: $n targets, $time each"
