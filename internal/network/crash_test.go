package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// another is the same host to another daemon, which knows nothing of this one's.
func another(t *testing.T, h *Host) *Host {
	t.Helper()
	again, err := New(h.prefix, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// Whichever step fails, before or after it was done, on the way to one VPC or from that
// to another: a new daemon's EnsureVPC of the latter ends as if none had.
func TestEveryStepMayFail(t *testing.T) {
	// An address moves, an interface comes, one goes, and one is made anew; a guest with
	// one interface gets two, one with two is left with one.
	two := controlPlane()
	two.Interfaces = two.Interfaces[1:]
	before, after := two, two
	before.Interfaces, after.Interfaces = slices.Clone(two.Interfaces), slices.Clone(two.Interfaces)
	moving := addr("10.0.1.60")
	before.Interfaces[0].Addresses = append(slices.Clone(two.Interfaces[0].Addresses), moving)
	before.Interfaces[2].ID = "eni-old"
	before.Interfaces[3].Guest = "i-3" // and so plugged into another guest later
	after.Interfaces[2].Addresses = append(slices.Clone(two.Interfaces[2].Addresses), moving)
	before.Subnets = append(slices.Clone(two.Subnets), Subnet{ID: "subnet-c", CIDR: prefix("10.0.3.0/24")})
	before.Interfaces[3].Device = "eth1"

	reference := newHost(t)
	ensure(t, reference, before)
	ensure(t, reference, after)
	want := state(t, reference)

	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("done=%t", done), func(t *testing.T) {
			t.Parallel()
			failEachStep(t, done, want, before, after)
		})
	}
}

func failEachStep(t *testing.T, done bool, want string, before, after VPC) {
	killed := errors.New("killed")
	for n := 0; ; n++ {
		h := newHost(t)
		step, hit := 0, ""
		h.fault = func(what string, is bool) error {
			if is != done {
				return nil
			}
			step++
			if step == n+1 {
				hit = what
				return killed
			}
			return nil
		}
		err := h.EnsureVPC(t.Context(), before)
		if err == nil {
			err = h.EnsureVPC(t.Context(), after)
		}
		if hit == "" {
			if err != nil {
				t.Fatal(err)
			}
			if n < 40 {
				t.Errorf("only %d steps were tried", n)
			}
			break
		}
		if !errors.Is(err, killed) {
			t.Fatalf("step %q failed and the error is %v", hit, err)
		}
		again := another(t, h)
		ensure(t, again, after)
		if diff := cmp.Diff(want, state(t, again)); diff != "" {
			t.Errorf("after %q failed (done: %t): -want +got\n%s", hit, done, diff)
		}
		if err := again.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryStepOfARemovalMayFail(t *testing.T) {
	for _, done := range []bool{false, true} {
		for n := 0; ; n++ {
			h := newHost(t)
			ensure(t, h, controlPlane())
			step, hit := 0, false
			h.fault = func(_ string, is bool) error {
				if is == done {
					if step++; step == n+1 {
						hit = true
						return errors.New("killed")
					}
				}
				return nil
			}
			remove := func(h *Host) error {
				err := h.RemoveGuest(t.Context(), "cp-1")
				if err == nil {
					err = h.RemoveVPC(t.Context(), "vpc-1")
				}
				return err
			}
			err := remove(h)
			if hit == (err == nil) {
				t.Fatalf("step %d failed: %t, error: %v", n, hit, err)
			}
			again := another(t, h)
			if err := remove(again); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"cp-1", "vpc-1"} {
				if _, err := os.Stat(h.path(name)); !os.IsNotExist(err) {
					t.Errorf("%s after step %d: %v", name, n, err)
				}
			}
			if !hit {
				break
			}
		}
	}
}

func TestARepeatChangesNothing(t *testing.T) {
	h := newHost(t)
	ensure(t, h, controlPlane())
	want := state(t, h)
	again := another(t, h)
	again.fault = func(what string, _ bool) error { return fmt.Errorf("%s: nothing was to be done", what) }
	v := controlPlane()
	slices.Reverse(v.Interfaces)
	ensure(t, again, v)
	if diff := cmp.Diff(want, state(t, h)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasBrokenIsMended(t *testing.T) {
	v := controlPlane()
	router := func(f func(*space) error) func(*Host) error { return inSpace("vpc-1", f) }
	for _, c := range []struct {
		name    string
		disturb func(*Host) error
	}{
		{"link removed", router(func(sp *space) error { return delLink(sp, "eni-1") })},
		{"link removed in the guest", inSpace("i-1", func(sp *space) error { return delLink(sp, "eth0") })},
		{"link down", router(func(sp *space) error {
			l, err := sp.nl.LinkByName("eni-cpb")
			if err != nil {
				return err
			}
			return sp.nl.LinkSetDown(l)
		})},
		{"routes removed", router(func(sp *space) error {
			return sp.nl.RouteDel(&netlink.Route{Dst: ipNet(prefix("10.0.1.11/32")), Scope: netlink.SCOPE_LINK})
		})},
		{"rules flushed", func(h *Host) error {
			return exec.Command("ip", "netns", "exec", filepath.Base(h.RouterPath("vpc-1")), "nft", "flush", "ruleset").Run()
		}},
		{"guest unmounted", func(h *Host) error { return unix.Unmount(h.GuestPath("cp-1"), unix.MNT_DETACH) }},
		{"router unmounted", func(h *Host) error { return unix.Unmount(h.RouterPath("vpc-1"), unix.MNT_DETACH) }},
		{"guest removed by somebody else", func(h *Host) error { return another(t, h).RemoveGuest(context.Background(), "cp-1") }},
		{"router unmounted and held", func(h *Host) error {
			sp, err := openSpace(h.RouterPath("vpc-1"))
			if err != nil {
				return err
			}
			t.Cleanup(sp.close)
			return unix.Unmount(h.RouterPath("vpc-1"), unix.MNT_DETACH)
		}},
		{"reboot", func(h *Host) error {
			for _, name := range []string{"vpc-1", "i-1", "i-2", "i-3", "cp-1"} {
				if err := unix.Unmount(h.path(name), unix.MNT_DETACH); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			ensure(t, h, v)
			want := state(t, h)
			if err := c.disturb(h); err != nil {
				t.Fatal(err)
			}
			ensure(t, h, v)
			if diff := cmp.Diff(want, state(t, h)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func inSpace(name string, f func(*space) error) func(*Host) error {
	return func(h *Host) error {
		sp, err := openSpace(h.path(name))
		if err != nil {
			return err
		}
		defer sp.close()
		return f(sp)
	}
}

func delLink(sp *space, name string) error {
	l, err := sp.nl.LinkByName(name)
	if err != nil {
		return err
	}
	return sp.nl.LinkDel(l)
}
