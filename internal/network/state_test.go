package network

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write testdata/*.golden")

func addressOf(s string) *netlink.Addr { return &netlink.Addr{IPNet: ipNet(prefix(s))} }

// state is a host's whole effect on the kernel as text, without numbers that
// depend on how it came about.
func state(t testing.TB, h *Host) string {
	t.Helper()
	paths, err := filepath.Glob(h.path("*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "# %s\n", strings.TrimPrefix(filepath.Base(path), h.prefix+"-"))
		if ok, _ := isNamespace(path); !ok {
			fmt.Fprintln(&b, "not a namespace")
			continue
		}
		sp, err := openSpace(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range describe(t, sp) {
			fmt.Fprintln(&b, line)
		}
		sp.close()
		rules, err := exec.Command("ip", "netns", "exec", filepath.Base(path), "nft", "list", "ruleset").CombinedOutput()
		if err != nil {
			t.Fatalf("nft: %v: %s", err, rules)
		}
		b.Write(regexp.MustCompile(appliedPrefix+"[0-9a-f]+").ReplaceAll(rules, []byte(appliedPrefix+"…")))
	}
	return b.String()
}

func describe(t testing.TB, sp *space) []string {
	t.Helper()
	var lines []string
	names := map[int]string{}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	links, err := sp.links()
	must(err)
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		mac := a.HardwareAddr.String()
		if a.Alias != "" {
			mac = "(any)" // the router's end has a random one
		}
		lines = append(lines, fmt.Sprintf("link %s mtu %d up=%t %s %q", a.Name, a.MTU, a.Flags&net.FlagUp != 0, mac, a.Alias))
	}
	addrs, err := sp.nl.AddrList(nil, netlink.FAMILY_V4)
	must(err)
	for _, a := range addrs {
		lines = append(lines, fmt.Sprintf("address %s dev %s", a.IPNet, names[a.LinkIndex]))
	}
	routes, err := sp.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	must(err)
	table := func(n int) string {
		if n > deviceTables {
			return "of " + names[n-deviceTables]
		}
		return fmt.Sprint(n)
	}
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		if r.Type == unix.RTN_BLACKHOLE {
			lines = append(lines, fmt.Sprintf("route %s blackhole", r.Dst))
			continue
		}
		lines = append(lines, fmt.Sprintf("route %s via %s dev %s table %s metric %d", r.Dst, r.Gw, names[r.LinkIndex], table(r.Table), r.Priority))
	}
	rules, err := sp.nl.RuleList(netlink.FAMILY_V4)
	must(err)
	for _, r := range rules {
		if r.Protocol == routeProtocol {
			lines = append(lines, fmt.Sprintf("rule %d from %s table %s", r.Priority, r.Src, table(r.Table)))
		}
	}
	neighs, err := sp.nl.NeighList(0, netlink.FAMILY_V4)
	must(err)
	for _, n := range neighs {
		if n.State == netlink.NUD_PERMANENT {
			lines = append(lines, fmt.Sprintf("neighbour %s %s dev %s", n.IP, n.HardwareAddr, names[n.LinkIndex]))
		}
	}
	slices.Sort(lines)
	return lines
}

// everyRule shows every kind of rule.
func everyRule() VPC {
	v := twoSubnets()
	v.SecurityGroups = []SecurityGroup{
		{ID: "sg-nodes", Ingress: []Rule{
			{Protocol: "-1", Groups: []string{"sg-nodes"}, Description: "nodes among each other"},
			{Protocol: "tcp", FromPort: 10250, ToPort: 10250, Groups: []string{"sg-gone"}, Description: `a "quoted"` + "\nname"},
			{Protocol: "tcp", FromPort: 30000, ToPort: 32767, CIDRs: []netip.Prefix{prefix("10.0.0.0/20"), prefix("192.168.1.7/32")}},
			{Protocol: "udp", FromPort: 53, ToPort: 53, CIDRs: everywhere},
			{Protocol: "tcp", FromPort: 0, ToPort: 65535, CIDRs: []netip.Prefix{prefix("172.16.0.0/12")}},
			{Protocol: "icmp", FromPort: 8, ToPort: -1, CIDRs: everywhere},
			{Protocol: "icmp", FromPort: 3, ToPort: 4, CIDRs: everywhere},
			{Protocol: "icmp", FromPort: -1, ToPort: -1, CIDRs: []netip.Prefix{prefix("10.0.2.13/32")}},
			{Protocol: "50", CIDRs: everywhere, Description: "ESP"},
			{Protocol: "-1", CIDRs: []netip.Prefix{prefix("::/0")}, Description: "IPv6 matches nothing"},
		}, Egress: []Rule{{Protocol: "-1", CIDRs: everywhere}}},
		{ID: "sg-shut"},
		{ID: "sg-unused", Ingress: []Rule{{Protocol: "-1", CIDRs: everywhere}}},
	}
	v.Interfaces[0].SecurityGroups = []string{"sg-shut", "sg-nodes"}
	v.Interfaces[1].SecurityGroups = []string{"sg-nodes"}
	v.Interfaces[1].Addresses = append(v.Interfaces[1].Addresses, addr("10.0.1.20"), addr("10.0.1.21"))
	v.Interfaces[2].SecurityGroups = []string{"sg-shut"}
	v.Interfaces[2].SourceDestCheck = false
	return v
}

func TestState(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft, to print rules")
	}
	empty := VPC{ID: "vpc-1", CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}}
	secondary := twoSubnets()
	plugged := eni("eni-0123456789abcdef0", "subnet-b", "i-1", "eth1", "10.0.2.99", "sg-open")
	plugged.Configure = false
	secondary.Interfaces = append(secondary.Interfaces, plugged)
	for _, c := range []struct {
		name string
		vpcs []VPC
	}{
		{"empty", []VPC{empty}},
		{"two-subnets", []VPC{twoSubnets()}},
		{"every-rule", []VPC{everyRule()}},
		{"control-plane", []VPC{controlPlane()}},
		{"second-interface", []VPC{secondary}},
		{"all-unplugged", []VPC{controlPlane(), empty}},
		{"control-plane-of-one", []VPC{controlPlane(), func() VPC { v := controlPlane(); v.Interfaces = v.Interfaces[3:4]; return v }()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			for _, v := range c.vpcs {
				ensure(t, h, v)
			}
			golden(t, c.name, state(t, h))
		})
	}
	t.Run("removed", func(t *testing.T) {
		h := newHost(t)
		v := controlPlane()
		ensure(t, h, v)
		if err := h.RemoveVPC(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
		golden(t, "vpc-removed", state(t, h))
		for _, guest := range []string{"i-1", "i-2", "i-3", "cp-1"} {
			if err := h.RemoveGuest(t.Context(), guest); err != nil {
				t.Fatal(err)
			}
		}
		if left := state(t, h); left != "" {
			t.Errorf("left: %s", left)
		}
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-update writes it): -want +got\n%s", file, diff)
	}
}

// Whichever step fails, before or after it was done: a new daemon's EnsureVPC, or
// removal, ends as if none had.
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
		again := &Host{prefix: h.prefix, log: h.log}
		ensure(t, again, before)
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
			again := &Host{prefix: h.prefix, log: h.log}
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
	again := &Host{prefix: h.prefix, log: slog.New(slog.DiscardHandler)}
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
		{"guest removed", func(h *Host) error { return h.RemoveGuest(context.Background(), "cp-1") }},
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
