#!/usr/bin/env bash
# Writes the golden files of every package that has an -update flag, and the Go
# code of the API's schema.
# With --check it fails when that changes a file.
set -euo pipefail
cd "$(dirname "$0")/.."

# A package without the flag would refuse it, so only those that define it run;
# those behind a build tag write recordings of real daemons, which differ.
mapfile -t dirs < <(grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . | xargs -r grep -LE '^//go:build' | xargs -r -n1 dirname | sort -u)
[ ${#dirs[@]} -gt 0 ] || { echo "golden.sh: no package has golden files" >&2; exit 1; }

if [ "${1:-}" != --check ]; then
  go test -count=1 "${dirs[@]}" -update
  go run ./internal/protogen
  exit 0
fi
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
go run ./internal/protogen -out "$generated"
if ! diff -r "$generated/api/ribtapv1" api/ribtapv1 >&2; then
  echo "golden.sh: api/ribtapv1 is not what api/proto says" >&2
  exit 1
fi
# The listing takes untracked files in, so that it works before the first commit too.
state() { { git ls-files; git ls-files --others --exclude-standard; } | grep -E '(testdata|fixtures)/' | sort -u | tr '\n' '\0' | xargs -0 -r sha256sum 2>/dev/null; }
before=$(state)
go test -count=1 "${dirs[@]}" -update
after=$(state)
if [ "$before" != "$after" ]; then
  echo "golden.sh: golden files are not what the code writes:" >&2
  diff <(echo "$before") <(echo "$after") >&2 || true
  exit 1
fi
echo "golden.sh: goldens of ${#dirs[@]} packages are what the code writes"
