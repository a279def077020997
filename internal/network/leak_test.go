package network

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// hostThings are this process's mounts and the links of its own network namespace.
func hostThings(t *testing.T, prefix string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/"+prefix+"-") {
			b.WriteString(line)
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		b.WriteString(l.Name + "\n")
	}
	return b.String()
}

func TestPurgeLeavesNothing(t *testing.T) {
	h := newHost(t)
	other := newHost(t)
	before := hostThings(t, h.prefix)
	ensure(t, other, twoSubnets())
	ensure(t, h, controlPlane())
	if err := h.EnsureGuest(t.Context(), "i-lonely"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path("i-stale"), nil, 0o444); err != nil { // as after a reboot
		t.Fatal(err)
	}
	if during := hostThings(t, h.prefix); strings.Count(during, h.prefix) < 6 {
		t.Errorf("this test looks in the wrong place: %s", during)
	}
	want := state(t, other)
	if err := h.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := hostThings(t, h.prefix); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if files, _ := filepath.Glob(h.path("*")); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
	if state(t, other) != want {
		t.Error("the other host was touched")
	}
	if err := h.Purge(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// A namespace that a process still holds loses its interfaces at once all the same.
func TestRemovedGuestThatIsHeldHasNoInterfaces(t *testing.T) {
	h := newHost(t)
	ensure(t, h, twoSubnets())
	held, err := openSpace(h.GuestPath("i-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.close()
	if err := h.RemoveGuest(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	links, err := held.links()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) != 1 || links[0].Attrs().Name != "lo" {
		t.Errorf("left: %v", links)
	}
}

// A controller that takes a machine away does so while the one of its VPC may be about to
// plug it in: what that one was told before counts no more.
func TestRemovedGuestDoesNotComeBack(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	ensure(t, h, v)
	if err := h.RemoveGuest(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	ensure(t, h, v)
	if _, err := os.Stat(h.GuestPath("i-1")); !os.IsNotExist(err) {
		t.Errorf("the guest: %v", err)
	}
	if _, err := os.Stat(h.GuestPath("i-2")); err != nil {
		t.Errorf("another guest: %v", err)
	}
}

func TestThreadsComeBack(t *testing.T) {
	h := newHost(t)
	ensure(t, h, twoSubnets())
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			l, err := h.Listen(t.Context(), "vpc-1", "tcp4", "198.18.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			c, err := h.Dial(t.Context(), h.GuestPath("i-1"), "tcp4", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
		wg.Go(func() {
			if err := h.EnsureVPC(t.Context(), twoSubnets()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if ns, err := os.Readlink(task); err == nil && ns != home {
			t.Errorf("%s is %s, not %s", task, ns, home)
		}
	}
}

func TestSocketErrors(t *testing.T) {
	h := newHost(t)
	if _, err := h.Listen(t.Context(), "vpc-none", "tcp4", "198.18.0.1:80"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such VPC: %v", err)
	}
	ensure(t, h, twoSubnets())
	if _, err := h.Dial(t.Context(), h.GuestPath("i-1"), "tcp4", "localhost:80"); err == nil {
		t.Error("a name was accepted, which would be resolved elsewhere")
	}
}
