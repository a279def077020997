#!/usr/bin/env bash
# log-sources.sh writes internal/cli/logsources.txt: which source files, of those that
# log, are of which part of a control plane, for `ekster logs cluster NAME PART`. All parts
# are one process and share its log, whose lines name a source file without its folder. A
# name that packages of several owners have, or of none, is left out: its lines are
# anybody's. To be run when distro/ goes to another version; nothing else needs it.
set -euo pipefail
cd "$(dirname "$0")/../distro"

# owner PACKAGE: the part whose own it is. What is in several programs, as client-go is, has none.
owners='
	function owner(p) {
		if (p ~ /^k8s\.io\/kubernetes\/(pkg\/controller|cmd\/kube-controller-manager)(\/|$)/ || p ~ /^k8s\.io\/(controller-manager|endpointslice)(\/|$)/) return "kube-controller-manager"
		if (p ~ /^k8s\.io\/kubernetes\/(pkg\/scheduler|cmd\/kube-scheduler)(\/|$)/) return "kube-scheduler"
		if (p ~ /^k8s\.io\/kubernetes\/(pkg\/(controlplane|kubeapiserver|registry)|cmd\/kube-apiserver|plugin\/pkg)(\/|$)/ || p ~ /^k8s\.io\/(kube-aggregator|apiextensions-apiserver)(\/|$)/ ||
			p ~ /^k8s\.io\/apiserver\/pkg\/(admission|audit|authentication|authorization|endpoints|registry|storage|quota|reconcilers|util\/(flowcontrol|peerproxy|webhook|notfoundhandler))(\/|$)/) return "kube-apiserver"
		return "-"
	}'

list=$(mktemp)
trap 'rm -f "$list"' EXIT
files='{{if not .Standard}}{{$dir := .Dir}}{{$path := .ImportPath}}{{range .GoFiles}}{{$dir}}/{{.}} {{$path}}{{"\n"}}{{end}}{{end}}'
go list -deps -tags grpcnotrace -f "$files" k8s.io/kubernetes/cmd/kube-{apiserver,controller-manager,scheduler}/app |
	awk 'NF == 2' | sort -u >"$list"
cut -d' ' -f1 "$list" | xargs grep -lE 'klog|[lL]ogger|HandleError' |
	awk "$owners"' NR == FNR { package[$1] = $2; next } { o = owner(package[$1]); f = $1; sub(/.*\//, "", f); if (f in of && of[f] != o) of[f] = "-"; else of[f] = o }
		END { for (f in of) if (of[f] != "-") print of[f], f }' "$list" - |
	LC_ALL=C sort >../internal/cli/logsources.txt
