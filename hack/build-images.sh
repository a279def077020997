#!/usr/bin/env bash
# build-images.sh builds the images of the payload (images/, cmd/vpc-cni, cmd/eks-pod-identity-agent and the
# kube-proxies of bin/payload/kubernetes) into the OCI layout bin/payload/images.
# It takes no arguments. When nothing that goes into them has changed, it does
# nothing: bin/payload/images/stamp says what they were built from.
set -euo pipefail
cd "$(dirname "$0")/.."

out=bin/payload/images
stamp() {
	{
		go env GOVERSION
		# Content where it is ours and small, size and time where it is a big program.
		find images hack/build-images hack/build-images.sh internal/image internal/vpccni cmd/vpc-cni cmd/eks-pod-identity-agent -type f ! -name '*_test.go' \
			-print0 | sort -z | xargs -0 sha256sum
		sha256sum go.sum
		cat bin/payload/kubernetes/*/version 2>/dev/null || true
		stat -L -c '%n %s %Y' "$(command -v nft)" bin/payload/kubernetes/*/kube-proxy 2>/dev/null || true
	} | sha256sum | cut -d' ' -f1
}

want=$(stamp)
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$want" ]; then
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
flags=(-trimpath -buildvcs=false -ldflags "-s -w")
nice -n 5 go build "${flags[@]}" -o "$work/hello" ./images/hello
nice -n 5 go build "${flags[@]}" -o "$work/aws-identity" ./images/aws-identity
nice -n 5 go build "${flags[@]}" -o "$work/vpc-cni" ./cmd/vpc-cni
nice -n 5 go build "${flags[@]}" -o "$work/eks-pod-identity-agent" ./cmd/eks-pod-identity-agent
(cd images/coredns && nice -n 5 go build "${flags[@]}" -o "$work/coredns" .)
(cd images/metrics-server && nice -n 5 go build "${flags[@]}" -o "$work/metrics-server" .)
"${CC:-cc}" -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables \
	-Wl,--build-id=none,-z,noseparate-code -s -o "$work/pause" images/pause/pause.c
nice -n 5 go run -buildvcs=false ./hack/build-images -programs "$work" -kubernetes bin/payload/kubernetes -out "$out"
echo "$want" >"$out/stamp"
