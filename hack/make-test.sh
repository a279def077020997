#!/usr/bin/env bash
# make-test.sh: everything that CI runs, on a machine that has root (or sudo), Go and
# gcc. Two Kubernetes versions are built, since some tests are about the way from one to
# the next; a third one is used if `make payload` has built it. The first stage that fails
# ends it. Times are printed when a stage begins, so that the last lines are go test's own.
set -euo pipefail
cd "$(dirname "$0")/.."

times=""
# stage NAME COMMAND...
stage() {
	local name=$1 began=$SECONDS
	shift
	printf '\n== %s%s\n' "$name" "${times:+   ($SECONDS s so far:$times)}"
	"$@"
	times+="${times:+,} $name $((SECONDS - began)) s"
}

stage packages hack/install-deps.sh
stage build make --no-print-directory build-tested
stage check hack/make-check.sh
stage host hack/make-root-tests.sh host
stage e2e hack/make-root-tests.sh e2e
