#!/usr/bin/env bash
# make-build.sh MINOR...: builds bin/ekster and its payload: the node runtime,
# Kubernetes MINOR..., and the images, which hold a kube-proxy of each version that is
# built. Every part looks whether its inputs have changed: a repeat takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-trimpath

# part NAME COMMAND...: says how long it took, if that was worth noticing.
part() {
	local name=$1 began=$SECONDS
	shift
	"$@"
	[ $((SECONDS - began)) -lt 2 ] || printf '%-24s %4d s\n' "$name" $((SECONDS - began))
}

# -buildvcs=false: the commit would make every commit a new program.
part bin/ekster go build -buildvcs=false -ldflags "-s -w" -o bin/ekster ./cmd/ekster
part "node runtime" hack/build-node-payload.sh
for minor; do
	[ -e "bin/payload/kubernetes/$minor/version" ] || echo "Kubernetes $minor is built from source, once: some four minutes on two cores"
	part "Kubernetes $minor" hack/build-payload.sh "$minor"
done
part images hack/build-images.sh
