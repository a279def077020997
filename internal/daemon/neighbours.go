package daemon

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// taken says whether another daemon on this host has these names: namespaces or cgroups of
// that prefix, or somebody who listens in the network of that loopback. One that is down
// has none, and is not seen.
func taken(s Settings) (bool, error) {
	for _, pattern := range []string{"/run/netns/" + s.Prefix + "-*", "/sys/fs/cgroup/ekster-" + s.Prefix, "/sys/fs/cgroup/*/ekster-" + s.Prefix} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, err
	}
	return anyWithin(s.Loopback, string(raw))
}

// anyWithin says whether one of the sockets of /proc/net/tcp has its own end in the network.
func anyWithin(network netip.Prefix, table string) (bool, error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasSuffix(f[0], ":") {
			continue // the heading
		}
		host, _, _ := strings.Cut(f[1], ":")
		raw, err := hex.DecodeString(host)
		if err != nil || len(raw) != 4 {
			return false, fmt.Errorf("/proc/net/tcp: address %q", f[1])
		}
		// The kernel prints the address as a number in its own byte order, which here is little-endian.
		if network.Contains(netip.AddrFrom4([4]byte{raw[3], raw[2], raw[1], raw[0]})) {
			return true, nil
		}
	}
	return false, nil
}
