#!/usr/bin/env bash
# make-check.sh: what can be checked without root, in under a minute once caches are
# warm: format, lint (go vet is a part of it), and every test with -short, among them
# those of the repository itself (internal/*_test.go: layers, package comments, …).
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

began=$SECONDS
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'not formatted (make fmt):\n%s\n' "$unformatted" >&2
	exit 1
fi
hack/make-lint.sh
echo "format and lint: $((SECONDS - began)) s"

began=$SECONDS
go test -short -vet=off ./... | grep -v '\[no test files\]'
echo "tests without root: $((SECONDS - began)) s"
