package vpccni

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func newNamespace(t *testing.T, what string) string {
	t.Helper()
	name := fmt.Sprintf("ekster-test-%d-%s", os.Getpid(), what)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	ns, err := netns.NewNamed(name)
	if err != nil {
		t.Fatalf("namespace %s: %v", name, err)
	}
	ns.Close()
	if err := netns.Set(old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A mount namespace that is being made elsewhere holds the mount for a moment.
		err := netns.DeleteNamed(name)
		for deadline := time.Now().Add(5 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(deadline); {
			<-time.After(10 * time.Millisecond)
			err = os.Remove("/run/netns/" + name)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Errorf("removing namespace %s: %v", name, err)
		}
	})
	return name
}

// in runs f on a thread of the namespace.
func in(t *testing.T, name string, f func() error) {
	t.Helper()
	if err := inNamespace(name, f); err != nil {
		t.Fatalf("in %s: %v", name, err)
	}
}

func inNamespace(name string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		return err
	}
	defer old.Close()
	ns, err := netns.GetFromName(name)
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
