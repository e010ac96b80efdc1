#!/usr/bin/env bash
# Builds dist/*.deb and dist/*.rpm of ./ribtap, with man pages and completions. nfpm
# is built from its module at a pinned version.
#
#   packages.sh VERSION [deb|rpm]…
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1#v}; shift
[ $# -gt 0 ] || set -- deb rpm
nfpm=v2.43.0
[ -x "bin/nfpm-$nfpm" ] || { GOBIN="$PWD/bin" go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$nfpm" && mv bin/nfpm "bin/nfpm-$nfpm"; }
# A checkout without tags is before every version.
case "$version" in [0-9]*.[0-9]*) ;; *) version="0.0.0~$version" ;; esac
# Not in a version of rpm: -, which would be the release.
export VERSION=${version//-/.} ARCH
ARCH=$(go env GOARCH)
rm -rf dist
mkdir -p dist/man dist/completion
cp ribtap dist/ribtap
./ribtap man dist/man
gzip -9n dist/man/*.1
./ribtap completion bash >dist/completion/ribtap.bash
./ribtap completion zsh >dist/completion/_ribtap
./ribtap completion fish >dist/completion/ribtap.fish
for kind; do "bin/nfpm-$nfpm" package --config deploy/package/nfpm.yaml --packager "$kind" --target dist/; done
rm -rf dist/man dist/completion dist/ribtap
