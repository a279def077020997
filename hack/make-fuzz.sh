#!/usr/bin/env bash
# make-fuzz.sh TIME [PATTERN] runs every fuzz target for TIME (10m, 1000x), one after another and each on
# one core at the lowest priority, so that the machine stays usable. PATTERN narrows them by
# package and name: 'authz' or 'awsapi/wire.FuzzForm'. A finding is kept under the package's testdata/fuzz, where go
# test tries it from then on; what is merely interesting is kept in Go's cache, and the next run goes on from there.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

time=$1
pattern=${2:-}
ran=0
while IFS=: read -r file _ line; do
	name=${line#func }
	name=${name%%(*}
	package=./${file%/*}
	[[ "$package.$name" == *"$pattern"* ]] || continue
	ran=$((ran + 1))
	echo "== $package.$name for $time"
	nice -n 19 go test "$package" -run '^$' -fuzz "^$name\$" -fuzztime "$time" -parallel 1 </dev/null
done < <(grep -rnE --include='*_test.go' '^func Fuzz[A-Za-z0-9]*\(' internal cmd hack images | sort)
[ "$ran" -gt 0 ] || { echo "make-fuzz.sh: no target matches '$pattern'" >&2; exit 2; }
