#!/usr/bin/env bash
# make-root-tests.sh host|e2e [go test flags]: runs tests that need root, one package
# after another, since each starts many processes of its own. Tests are built by the
# user who calls and only run as root, so that Go's caches stay that user's.
#
#   host   the packages whose tests look whether they are root or have time, and distro's
#   e2e    test/, and the OIDC provider that it starts
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

as_root=()
[ "$(id -u)" = 0 ] || as_root=(-exec "sudo -E env PATH=$PATH")

# with_skipped lists the tests that were skipped, and why, before go test's last word on a package.
with_skipped() {
	awk '/^ *--- SKIP/ { skipped = skipped $0 ":" before "\n" }
		/^(ok|FAIL)[ \t]/ && skipped { printf "skipped:\n%s", skipped; skipped = "" }
		{ print; before = $0; fflush() }'
}

what=$1
shift
case $what in
host)
	(cd distro && go test -tags grpcnotrace -count=1 "${as_root[@]}" "$@" ./...)
	packages=$(grep -rlE --include='*_test.go' 'os\.Geteuid\(\)|testing\.Short\(\)' cmd internal hack images |
		xargs -n1 dirname | sort -u | sed 's#^#./#')
	# shellcheck disable=SC2086 # one argument a package
	go test -p 1 -count=1 -timeout 20m "${as_root[@]}" "$@" $packages
	;;
e2e)
	# Somebody else's OIDC provider, which is no part of this module.
	(cd test/oidc && go build -buildvcs=false -o ../../bin/test-oidc .)
	# Only packages with tests, so that the last line is one that says that tests ran; and -v,
	# since the steps say how long they took.
	packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./test/...)
	# shellcheck disable=SC2086
	go test -v -p 1 -count=1 -timeout 40m "${as_root[@]}" "$@" $packages | with_skipped
	;;
*)
	echo "make-root-tests.sh: host or e2e, not $what" >&2
	exit 2
	;;
esac
