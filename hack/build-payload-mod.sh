#!/usr/bin/env bash
# build-payload-mod.sh VERSION... (v1.35.4): writes the mod file with which distro/ builds that Kubernetes version.
# Kubernetes' own requirements are taken as they are; its staging modules, which it replaces by folders that the
# published module does not contain, are replaced by the same modules as published (v1.M.P -> v0.M.P); and etcd's
# server is taken in the version of etcd's client that this Kubernetes uses.
set -euo pipefail
cd "$(dirname "$0")/../distro"
default=1.35

for version; do
	minor=${version#v} minor=${minor%.*}
	file=$minor.mod
	[ "$minor" = $default ] && file=go.mod
	upstream=$(cd / && go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
	etcd=$(sed -n 's/.*go.etcd.io\/etcd\/client\/v3 //p' "$upstream")
	{
		sed -n '/^module/d; /^replace/q; /^\/\//d; p' "$upstream" |
			sed -E "s#^(\tk8s.io/[a-z-]+) v0\.0\.0( .*)?\$#\1 v0.${version#v1.}\2#" |
			sed "1i // Written by hack/build-payload-mod.sh: Kubernetes $version.\nmodule ekster.dev/ekster/distro"
		printf 'require (\n\tk8s.io/kubernetes %s\n\tgo.etcd.io/etcd/server/v3 %s\n)\n' "$version" "$etcd"
		sed -n '/^replace/,$p' "$upstream" | sed -E "s#=> .*/#=> k8s.io/#; s#(=> k8s.io/.*)#\1 v0.${version#v1.}#"
	} >"$file"
	[ -e go.mod ] || cp "$file" go.mod
	go mod tidy -modfile="$file"
done
