package controlplane

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// In a namespace of its own, the API server answers on the host's loopback and on port 443 of its addresses, and
// the Service "kubernetes" leads to the first of them.
func TestNetns(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	cfg, planes := testConfig(t)
	first, second := netip.MustParseAddr("10.33.1.5"), netip.MustParseAddr("10.33.2.5")
	cfg.Netns, cfg.Addresses = newNetns(t, first, second), []netip.Addr{first, second}
	boot(t, planes, cfg)

	api := admin(t, cfg)
	slice := api.want("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", 200, startup)
	endpoint := slice["endpoints"].([]any)[0].(map[string]any)["addresses"].([]any)[0]
	port := slice["ports"].([]any)[0].(map[string]any)["port"]
	if endpoint != first.String() || port != float64(443) {
		t.Errorf("the Service leads to %v:%v, want %v:443", endpoint, port, first)
	}
	api.want("/api/v1/namespaces/default/serviceaccounts/default", 200, startup) // controllers, over its loopback

	inNetns(t, cfg.Netns, func() {
		for _, addr := range cfg.Addresses {
			conn, err := net.Dial("tcp", netip.AddrPortFrom(addr, 443).String())
			if err != nil {
				t.Errorf("inside: %v", err)
				continue
			}
			conn.Close()
		}
	})
}

// newNetns makes a namespace whose addresses lie on its loopback, and returns its path.
func newNetns(t *testing.T, addrs ...netip.Addr) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked(t, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, a := range addrs {
			addr := &netlink.Addr{IPNet: netlink.NewIPNet(net.IP(a.AsSlice()))}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return err
			}
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path
}

func inNetns(t *testing.T, path string, do func()) {
	t.Helper()
	ns, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	locked(t, func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		do()
		return nil
	})
}

// locked runs do on a thread that ends with it, since it changes the thread's namespace.
func locked(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- do()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A socket is found by what it is, in whichever namespace the looking process's main thread has been left.
func TestDuplicateListenerOfANamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	var at netip.AddrPort
	var original net.Listener
	inNetns(t, newNetns(t), func() {
		var err error
		if original, err = net.Listen("tcp4", "0.0.0.0:0"); err != nil {
			t.Error(err)
			return
		}
		at = original.Addr().(*net.TCPAddr).AddrPort()
	})
	if t.Failed() {
		return
	}
	defer original.Close()
	f, err := duplicate(os.Getpid(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	copied, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if copied.Addr().String() != at.String() {
		t.Errorf("it listens on %s, want %s", copied.Addr(), at)
	}
	if _, err := duplicate(os.Getpid(), netip.AddrPortFrom(at.Addr(), at.Port()^1)); !errors.Is(err, errNoListener) {
		t.Errorf("a listener that is not there: %v", err)
	}
}
