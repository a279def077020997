#!/usr/bin/env bash
# build-vpc-cni.sh builds AWS's own VPC CNI, unmodified, from its Go module (images/vpc-cni) into the OCI layout
# bin/payload/vpc-cni: `ekster image load` puts it where nodes pull it. No cluster needs it, and it takes some minutes,
# so that nothing calls this but who wants to run it, and TestUpstreamVPCCNI finds it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

command -v iptables >/dev/null || { echo "build-vpc-cni.sh: iptables is missing, which goes into the image (apt-get install iptables)" >&2; exit 1; }
out=bin/payload/vpc-cni
cni=github.com/aws/amazon-vpc-cni-k8s
plugins=github.com/containernetworking/plugins/plugins
version() { (cd images/vpc-cni && go list -m -f "{{.$1}}" $cni); }
stamp=$( { go env GOVERSION; cat images/vpc-cni/go.mod images/vpc-cni/go.sum hack/build-vpc-cni.sh hack/build-vpc-cni/*.go; } | sha256sum)
[ "$(cat $out/stamp 2>/dev/null)" != "$stamp" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/app" "$work/init"
# build FILE PACKAGE, with the names that upstream's Dockerfiles give the programs.
build() { (cd images/vpc-cni && nice -n 5 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$work/$1" "$2"); }
build app/aws-k8s-agent $cni/cmd/aws-k8s-agent
build app/aws-cni $cni/cmd/routed-eni-cni-plugin
build app/egress-cni $cni/cmd/egress-cni-plugin
build app/aws-vpc-cni $cni/cmd/aws-vpc-cni
build app/grpc-health-probe $cni/cmd/grpc-health-probe
build init/aws-vpc-cni-init $cni/cmd/aws-vpc-cni-init
for p in main/loopback meta/portmap meta/bandwidth ipam/host-local; do
	build "init/${p#*/}" "$plugins/$p"
done
install -m 644 "$(version Dir)"/misc/{10-aws.conflist,eni-max-pods.txt} "$work/app"
rm -rf $out
nice -n 5 go run -buildvcs=false ./hack/build-vpc-cni -programs "$work" -version "$(version Version)-eksbuild.1" -out $out
echo "$stamp" >$out/stamp
