#!/usr/bin/env bash
# build-payload.sh MINOR... (1.35): builds bin/payload/kubernetes/MINOR/{kube,kube-proxy,version} from distro/.
# One source tree serves all versions: a version is a mod file, distro/MINOR.mod (the default one is distro/go.mod).
# What is already built from the same sources, mod file, Go and script is left alone. The same inputs give the
# same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 1.35

tags=grpcnotrace # what Kubernetes' own build sets: without it the linker keeps every method of every type
goversion=$(go env GOVERSION)
root=$PWD

build() { # minor
	local minor=$1 mod=distro/$1.mod
	[ -e "$mod" ] || mod=distro/go.mod
	local version
	version=$(sed -n 's/^\t*\(require \)\?k8s.io\/kubernetes \(v[0-9.]*\).*/\2/p' "$mod")
	case $version in v"$minor".*) ;; *)
		echo "build-payload.sh: no mod file for Kubernetes $minor ($mod is $version)" >&2
		return 1
		;;
	esac

	local hash out=bin/payload/kubernetes/$minor
	hash=$({ echo "$goversion $tags"; cat hack/build-payload.sh "$mod" "${mod%.mod}.sum"
		find distro -name '*.go' ! -name '*_test.go' | sort | xargs cat; } | sha256sum | cut -c1-40)
	local stamped=$version-eks-${hash:0:7}
	[ "$(cat "$out/version" 2>/dev/null)" = "$stamped" ] && return

	local x="" pkg
	for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		x+=" -X $pkg.gitVersion=$stamped -X $pkg.gitMajor=${minor%.*} -X $pkg.gitMinor=${minor#*.}"
		x+=" -X $pkg.gitCommit=$hash -X $pkg.gitTreeState=clean -X $pkg.buildDate=1970-01-01T00:00:00Z"
	done
	echo "building Kubernetes $stamped"
	mkdir -p "$out"
	(cd distro && for cmd in kube kube-proxy; do
		CGO_ENABLED=0 nice -n 5 go build -modfile="${mod#distro/}" -trimpath -buildvcs=false -tags $tags \
			-ldflags "-s -w$x" -o "$root/$out/$cmd.$$" "./$cmd"
		mv "$root/$out/$cmd.$$" "$root/$out/$cmd" # running ones keep the old file
	done)
	echo "$stamped" >"$out/version" # last: it is the stamp
}

for minor; do build "$minor"; done
