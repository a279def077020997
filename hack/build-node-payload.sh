#!/bin/sh
# Builds what an instance boots with into bin/payload/node: containerd, its
# shim and runc from their Go modules (runtime/), machine-init and machine-sshd from this
# module. A stamp of the inputs makes a second run cheap; machine-init goes
# through the Go build cache each time its sources differ.
#
# seccomp needs libseccomp's headers; without them runc would refuse every
# pod that asks for RuntimeDefault, so their absence is an error.
set -eu
cd "$(dirname "$0")/.."
out=${1:-bin/payload/node}
mkdir -p "$out"
go_version=$(go env GOVERSION)

# stamp NAME INPUT...: true when NAME was last built from the same inputs.
stamp() {
	name=$1
	shift
	now=$( { echo "$go_version"; cat "$@" hack/build-node-payload.sh; } | sha256sum)
	[ -x "$out/$name" ] && [ "$(cat "$out/.$name.stamp" 2>/dev/null)" = "$now" ]
}
done_with() { echo "$now" >"$out/.$1.stamp"; }

# build DIR NAME PACKAGE TAGS LDFLAGS: build aside, then rename: a running
# instance may have the old file mapped.
build() {
	(cd "$1" && nice -n 5 go build -trimpath -tags "$4" -ldflags "-s -w $5" -o "$OLDPWD/$out/.$2.new" "$3")
	mv -f "$out/.$2.new" "$out/$2"
}

# module_version DIR MODULE
module_version() { (cd "$1" && go list -m -f '{{.Version}}' "$2"); }

mod="runtime/containerd/go.mod runtime/containerd/go.sum"
cd_module=github.com/containerd/containerd/v2
# Left out: what an instance cannot use, so that it neither costs memory nor start-up time.
cd_tags="urfave_cli_no_docs no_btrfs no_devmapper no_zfs no_aufs"
for name in containerd containerd-shim-runc-v2; do
	stamp $name $mod && continue
	v=$(module_version runtime/containerd $cd_module)
	CGO_ENABLED=0 build runtime/containerd $name $cd_module/cmd/$name "$cd_tags" "-X $cd_module/version.Version=$v"
	done_with $name
done

if ! stamp runc runtime/runc/go.mod runtime/runc/go.sum; then
	pkg-config --exists libseccomp || {
		echo "building runc: libseccomp's headers are missing (apt-get install libseccomp-dev)" >&2
		exit 1
	}
	v=$(module_version runtime/runc github.com/opencontainers/runc)
	CGO_ENABLED=1 build runtime/runc runc github.com/opencontainers/runc "seccomp urfave_cli_no_docs netgo osusergo" \
		"-linkmode external -extldflags -static -X main.version=${v#v}"
	done_with runc
fi

if ! stamp machine-init go.mod $(find cmd/machine-init internal/nodeconfig internal/durable internal/machine/spec -name '*.go' ! -name '*_test.go' | sort); then
	CGO_ENABLED=0 build . machine-init ./cmd/machine-init "" ""
	done_with machine-init
fi

if ! stamp machine-sshd go.mod cmd/machine-sshd/*.go; then
	CGO_ENABLED=0 build . machine-sshd ./cmd/machine-sshd "" ""
	done_with machine-sshd
fi
