#!/usr/bin/env bash
# make-lint.sh [PACKAGE...] runs golangci-lint, built from the module hack/tools, so
# that everybody has the same version (docs/decisions/0009-golangci-lint.md).
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

tool=$PWD/bin/tools/golangci-lint
want=$(go env GOVERSION; sha256sum hack/tools/go.mod hack/tools/go.sum)
if [ "$(cat "$tool.stamp" 2>/dev/null)" != "$want" ]; then
	echo "building golangci-lint, once: some two minutes on two cores"
	mkdir -p "${tool%/*}"
	(cd hack/tools && go build -ldflags "-s -w" -o "$tool" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	echo "$want" >"$tool.stamp"
fi
[ $# -gt 0 ] || set -- ./...
GOLANGCI_LINT_CACHE=$PWD/.cache/golangci-lint "$tool" run "$@"
