#!/usr/bin/env bash
# install-deps.sh installs the Debian packages that building, testing and running
# Ekster needs and that are missing here. With none missing it asks nobody and takes
# no time. On a system without dpkg it only says what is missing.
set -euo pipefail

# package             what shows that it is there   what needs it
needs=(
	"gcc                /usr/bin/gcc                  runc, and the pause program"
	"libc6-dev          /usr/include/stdlib.h         the same"
	"libseccomp-dev     /usr/include/seccomp.h        runc: RuntimeDefault seccomp profiles"
	"pkg-config         /usr/bin/pkg-config           finding libseccomp"
	"git                /usr/bin/git                  Go modules that no proxy has"
	"ca-certificates    /etc/ssl/certs                downloads; machines trust the same authorities"
	"nftables           /usr/sbin/nft                 goes into the kube-proxy image"
	"iproute2           /sbin/ip                      the tests of the network, and people"
	"e2fsprogs          /sbin/mkfs.ext4               the machines' disks"
	"mount              /usr/bin/mount                the kubelet"
)

command -v go >/dev/null || {
	echo "install-deps.sh: there is no go in PATH; Ekster is built with Go 1.26 or later (https://go.dev/dl)" >&2
	exit 1
}

missing=()
for line in "${needs[@]}"; do
	read -r package shows _ <<<"$line"
	[ -e "$shows" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v apt-get >/dev/null; then
	echo "install-deps.sh: missing (by their Debian names): ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
