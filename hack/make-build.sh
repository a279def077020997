#!/usr/bin/env bash
# make-build.sh MINOR...: builds bin/ekster and its payload: the node runtime,
# Kubernetes MINOR..., and the images, which hold a kube-proxy of each version that is
# built. Every part looks whether its inputs have changed: a repeat takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

# clock NAME: the line that says how long a part has been taking, until it is ended.
clock() {
	local began=$SECONDS
	while sleep 1; do printf '\r\033[K%-24s %4d s' "$1" $((SECONDS - began)); done
}

ticking=
# stop ends the clock and takes its line away.
stop() {
	[ -z "$ticking" ] || { kill "$ticking" && wait "$ticking" || true; } 2>/dev/null
	[ -z "$ticking" ] || printf '\r\033[K'
	ticking=
}
trap stop EXIT

# part NAME COMMAND...: on a terminal a line shows how long it has been taking; otherwise one
# says that it has begun. Its own words are shown when they come, and at the end the time, if
# that was worth noticing.
part() {
	local name=$1 began=$SECONDS
	shift
	if [ -t 1 ]; then
		clock "$name" 2>/dev/null &
		ticking=$!
		"$@" 2>&1 | while IFS= read -r line; do printf '\r\033[K%s\n' "$line"; done
		stop
	else
		echo "building $name"
		"$@"
	fi
	[ $((SECONDS - began)) -lt 2 ] || printf '%-24s %4d s\n' "$name" $((SECONDS - began))
}

first=
for minor; do
	[ -e "bin/payload/kubernetes/$minor/version" ] || first+=" $minor"
done
[ -z "$first" ] || echo "Kubernetes$first is built from source, once: some five minutes a version on two cores, and ten for the rest"

# -buildvcs=false: the commit would make every commit a new program.
part bin/ekster go build -buildvcs=false -ldflags "-s -w" -o bin/ekster ./cmd/ekster
part "node runtime" hack/build-node-payload.sh
for minor; do
	part "Kubernetes $minor" hack/build-payload.sh "$minor"
done
part images hack/build-images.sh
