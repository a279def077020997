#!/usr/bin/env bash
# host-leftovers.sh [STATE_DIR]: lists what the daemon of a state directory
# (/var/lib/ekster) has on this host: processes, mounts, network namespaces, links, nft
# tables, cgroups, loop devices, files. After `ekster down --purge` that is nothing, and
# the exit code 0; otherwise it is a line for each, and 1. It changes nothing. As root.
#
# Everything carries a prefix that is made from the path of the state directory
# (internal/daemon/settings.go), so what is left is found when the directory is gone.
set -euo pipefail

state=$(realpath -m "${1:-/var/lib/ekster}")

# prefix_of is FNV-1a of a path, 32 bits, of which the lower 16 are used.
prefix_of() {
	local LC_ALL=C i sum=2166136261
	for ((i = 0; i < ${#1}; i++)); do
		sum=$(((sum ^ $(printf '%d' "'${1:i:1}")) * 16777619 & 0xffffffff))
	done
	printf 'ek%04x' $((sum & 0xffff))
}
prefix=$(prefix_of "$state")
if [ -r "$state/config.json" ]; then
	prefix=$(sed -n 's/.*"prefix": *"\([^"]*\)".*/\1/p' "$state/config.json")
fi

left=0
say() {
	echo "$*"
	left=1
}

# Whoever called this script names the directory too.
callers=" "
for ((pid = $$; pid > 1; pid = $(sed 's/.*) . \([0-9]*\) .*/\1/' "/proc/$pid/stat"))); do callers+="$pid "; done

# belongs DIR: the process is in one of the daemon's cgroups, names a path in the state
# directory (children carry it in their environment), or has a file in it open.
belongs() {
	grep -qsF -- "/ekster-$prefix" "$1/cgroup" ||
		grep -qszF -- "$state/" "$1/cmdline" "$1/environ" ||
		grep -qszxF -- "$state" "$1/cmdline" ||
		[ -n "$(find "$1/fd" -lname "$state/*" -print -quit 2>/dev/null)" ]
}
for dir in /proc/[0-9]*; do
	pid=${dir#/proc/}
	[[ $callers != *" $pid "* ]] && belongs "$dir" || continue
	args=$(tr '\0' ' ' 2>/dev/null <"$dir/cmdline" || true)
	[ -z "$args" ] || say "process $pid: ${args:0:150}" # a zombie has no arguments
done

while read -r line; do say "mount $line"; done < <(
	awk -v s="$state" -v n="/run/netns/$prefix-" '$5 == s || index($5, s "/") == 1 || index($5, n) == 1 { print $5 }' /proc/self/mountinfo
)
shopt -s nullglob
for f in /run/netns/"$prefix"-*; do say "namespace $f"; done
for f in /sys/fs/cgroup{,/*}/ekster-"$prefix"; do [ ! -e "$f" ] || say "cgroup $f"; done
for f in /sys/class/net/*"$prefix"*; do say "link ${f##*/}"; done
for f in /sys/block/loop*/loop/backing_file; do
	! grep -qF -- "$state/" "$f" || say "loop device $(cut -d/ -f4 <<<"$f") of $(cat "$f")"
done
if command -v nft >/dev/null; then
	while read -r line; do say "nft $line"; done < <(nft list tables 2>/dev/null | grep -E "ekster|$prefix" || true)
fi
[ ! -e "$state" ] || say "files $state ($(du -sh "$state" 2>/dev/null | cut -f1))"
exit $left
