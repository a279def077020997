package vpccni

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace makes a network namespace that a file holds, and gives its path.
// It stays out of /run/netns: whoever runs "ip netns add" first mounts over that.
func newNamespace(t *testing.T, what string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), what)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatalf("namespace %s: %v", what, err)
	}
	t.Cleanup(func() {
		if err := dropNamespace(path); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: dropped by the test
			t.Errorf("removing namespace %s: %v", what, err)
		}
	})
	return path
}

func dropNamespace(path string) error { return unix.Unmount(path, unix.MNT_DETACH) }

// in runs f on a thread of the namespace.
func in(t *testing.T, ns string, f func() error) {
	t.Helper()
	if err := inNamespace(ns, f); err != nil {
		t.Fatalf("in %s: %v", ns, err)
	}
}

func inNamespace(path string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		return err
	}
	defer old.Close()
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return err
	}
	ferr := f()
	if err := netns.Set(old); err != nil {
		return err
	}
	return ferr
}
