package machine_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/imds"
)

const (
	zone      = "us-west-2a"
	region    = "us-west-2"
	hostName  = "ip-10-0-0-2.us-west-2.compute.internal"
	nodeName  = "i-0123456789abcdef0" // by the feature gate that these nodes have
	guestIP   = "10.0.0.2"
	routerIP  = "10.0.0.1"
	kubeMinor = "1.35"
)

// payload returns the directory of the built payload, or skips.
func payload(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if testing.Short() {
		t.Skip("boots an instance")
	}
	dir, err := filepath.Abs("../../bin/payload")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"node/machine-init", "node/containerd", "kubernetes/" + kubeMinor + "/kube"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Fatalf("the payload is not built: %v (hack/build-node-payload.sh)", err)
		}
	}
	return dir
}

// A world is a router namespace with the link-local services of a VPC, and a
// guest namespace behind it.
type world struct {
	router, guest string // paths
	dir           string
	instance      imds.Instance
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "ekster-machine-") // not a tmpfs: overlayfs wants a disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(dir)
		left, err := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir))
		if err != nil || len(left) > 0 {
			t.Errorf("cgroups are left: %v, %v", left, err)
		}
	})
	w := &world{dir: dir, router: namespace(t, dir+"/router"), guest: namespace(t, dir+"/guest")}
	in(t, w.router, func() error {
		guest, err := netns.GetFromPath(w.guest)
		if err != nil {
			return err
		}
		defer guest.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "guest"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(guest)}); err != nil {
			return err
		}
		return addresses("guest", routerIP+"/24", "lo", "169.254.169.254/32", "lo", "198.18.0.1/32")
	})
	in(t, w.guest, func() error {
		if err := addresses("eth0", guestIP+"/24"); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(routerIP)})
	})
	return w
}

func addresses(pairs ...string) error {
	for n := 0; n < len(pairs); n += 2 {
		link, err := netlink.LinkByName(pairs[n])
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(pairs[n+1])
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	return nil
}

// namespace makes a network namespace that is held by a file.
func namespace(t *testing.T, file string) string {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is spoilt
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), file, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(file, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return file
}

func within(path string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(path)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func in(t *testing.T, path string, f func() error) {
	t.Helper()
	if err := within(path, f); err != nil {
		t.Fatal(err)
	}
}

// dial connects from the router.
func (w *world) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = within(w.router, func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// serve serves h at the address in the router.
func (w *world) serve(t *testing.T, address string, h http.Handler) {
	t.Helper()
	in(t, w.router, func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: h}
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		return nil
	})
}

// metadata serves w.instance at the address of IMDS.
func (w *world) metadata(t *testing.T) {
	w.instance = imds.Instance{
		ID: "i-0123456789abcdef0", Type: "m5.2xlarge", ImageID: "ami-0123", Account: "111122223333",
		Region: region, Zone: zone, ZoneID: "usw2-az1", Hostname: hostName, PrivateIP: guestIP, TokensRequired: true,
		ProfileARN: "arn:aws:iam::111122223333:instance-profile/p", Role: "node-role",
		Credentials: func(context.Context, string) (imds.Credentials, error) {
			return imds.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", Token: "session",
				Expires: time.Now().Add(time.Hour)}, nil
		},
	}
	w.serve(t, "169.254.169.254:80", imds.New(imds.Config{Instance: func(_ context.Context, a netip.Addr) (imds.Instance, bool) {
		return w.instance, a.String() == guestIP
	}}))
}

// poll waits for the condition, and fails the test with its last error.
func poll(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	if err := pollFor(limit, condition); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// until waits for the condition, outside of the test's goroutine.
func until(condition func() error) error { return pollFor(20*time.Second, condition) }

func pollFor(limit time.Duration, condition func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-end:
			return err
		case <-tick.C:
		}
	}
}

func logTail(t *testing.T, file string, n int) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Log(err)
		return
	}
	t.Logf("%s:\n%s", file, bytes.TrimSpace(raw[max(0, len(raw)-n):]))
}
