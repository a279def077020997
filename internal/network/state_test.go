package network

import (
	"flag"
	"fmt"
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
		b.WriteString(rulesOf(t, path))
	}
	return b.String()
}

// rulesOf is what nft prints of a namespace.
func rulesOf(t testing.TB, path string) string {
	t.Helper()
	rules, err := exec.Command("ip", "netns", "exec", filepath.Base(path), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, rules)
	}
	return regexp.MustCompile(appliedPrefix+"[0-9a-f]+").ReplaceAllString(string(rules), appliedPrefix+"…")
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
	lines = append(lines, describe6(t, sp, names)...)
	rules, err := sp.nl.RuleList(netlink.FAMILY_V4)
	must(err)
	for _, r := range rules {
		if r.Protocol == routeProtocol {
			lines = append(lines, fmt.Sprintf("rule %d from %s mark %#x table %s", r.Priority, r.Src, r.Mark, table(r.Table)))
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

// describe6 is what there is of IPv6: ours, and not what the kernel adds to every link.
func describe6(t testing.TB, sp *space, names map[int]string) (lines []string) {
	t.Helper()
	addrs, err := sp.nl.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, _ := netip.AddrFromSlice(a.IP); InternetPrefix6.Contains(ip) || ip == routerAddress6 {
			lines = append(lines, fmt.Sprintf("address %s dev %s", a.IPNet, names[a.LinkIndex]))
		}
	}
	routes, err := sp.nl.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Type == unix.RTN_BLACKHOLE {
			lines = append(lines, fmt.Sprintf("route %s blackhole", r.Dst))
			continue
		}
		lines = append(lines, fmt.Sprintf("route %s via %s dev %s metric %d", r.Dst, r.Gw, names[r.LinkIndex], r.Priority))
	}
	neighs, err := sp.nl.NeighList(0, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range neighs {
		if n.State == netlink.NUD_PERMANENT {
			lines = append(lines, fmt.Sprintf("neighbour %s %s dev %s", n.IP, n.HardwareAddr, names[n.LinkIndex]))
		}
	}
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
			{Protocol: "tcp", FromPort: 22, ToPort: 22, PrefixLists: []string{"pl-office"}},
		}, Egress: []Rule{{Protocol: "-1", CIDRs: everywhere}}},
		{ID: "sg-shut"},
		{ID: "sg-unused", Ingress: []Rule{{Protocol: "-1", CIDRs: everywhere}}},
	}
	v.PrefixLists = []PrefixList{{ID: "pl-office", CIDRs: []netip.Prefix{
		prefix("192.0.2.128/25"), prefix("192.0.2.0/25"), prefix("192.0.2.7/32"), prefix("198.51.100.0/24"), prefix("255.255.255.0/24"),
	}}}
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
	one, two := peers()
	for _, c := range []struct {
		name string
		vpcs []VPC
	}{
		{"empty", []VPC{empty}},
		{"two-subnets", []VPC{twoSubnets()}},
		{"every-rule", []VPC{everyRule()}},
		{"nat-gateway", []VPC{natGateway()}},
		{"network-acl", []VPC{withACL()}},
		{"endpoints", []VPC{withEndpoints()}},
		{"peers", []VPC{one, two, one}},
		{"ipv6", []VPC{dualStack()}},
		{"nat-instance", []VPC{natInstance()}},
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
			if page, ok := pages[c.name]; ok {
				document(t, c.name, page, rulesOf(t, h.RouterPath("vpc-1")))
			}
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

// pages are the cases that docs/network shows to readers, and what they show.
var pages = map[string][2]string{
	"two-subnets": {"Public and private subnets", `A VPC with an internet gateway: i-1 and i-2 have public addresses in subnet-a, whose route table leads to the gateway;
i-3 is in subnet-b, which has the local route alone. One security group allows everything.

A packet's way: *source* (may the interface use this address?), *routes* (where does the subnet's route table send it? the answer is its
mark), then *egress* and *ingress* for what is forwarded, or *services* for what the router serves itself. *outward* and *inward*
exchange private and public addresses.`},
	"every-rule": {"Security group rules", `Every kind of rule: by group, by range, by prefix list, ports, ICMP types, other protocols. A chain of a group is there once,
and each interface jumps to those of its groups. Sets named for groups hold the addresses of their interfaces.`},
	"nat-gateway": {"A NAT gateway", `subnet-b's default route leads to nat-1. Its packets get the gateway's mark, with which they are let out
and translated to the gateway's one address. Nothing comes in by it.`},
	"nat-instance": {"A NAT instance", `subnet-b's default route leads to eni-1, the interface of i-1, whose source/destination check is off. Its packets get the
interface's mark, with which they are routed to i-1, whatever their destination; the groups of eni-1 decide whether they get there. What i-1 makes of
them comes back in as its own.`},
	"network-acl": {"A network ACL", `subnet-b has an ACL: one address denied, port 80 from subnet-a, port 443 out, and answers to high ports. Its chains see
every packet, answers too (*acl*), also those of the router's own services (*acl-services*, *acl-answers*); what stays in the subnet returns at once.`},
	"endpoints": {"Endpoints of AWS services", `An interface endpoint at 10.0.2.99 behind security group sg-https, and the image registry by way of the endpoints of ECR and S3,
in a subnet without a way out.`},
	"ipv6": {"IPv6", `Two subnets with IPv6: subnet-a is routed to the internet gateway, subnet-b to an egress-only one, which lets out and, since it
drops answers to what has come in, nothing in. Sets whose names end in -6 are of IPv6; a list is of one family. eni-1 has whole ranges, too. There
is no translation.`},
	"peers": {"A peered VPC", `pcx-1 leads to 10.1.0.0/16 in another VPC. subnet-a routes to it, subnet-b does not. What comes from a peer goes to the VPC's
own interfaces only (*nobody passes through the VPC*).`},
}

// document keeps a page of docs/network as it is to be.
func document(t *testing.T, name string, page [2]string, rules string) {
	t.Helper()
	text := "<!-- Written by TestState of internal/network; go test ./internal/network -run TestState -update -->\n# " + page[0] + "\n\n" + page[1] +
		"\n\nThe router's rules, as `nft list ruleset` prints them:\n\n```\n" + strings.TrimSpace(rules) + "\n```\n"
	compare(t, filepath.Join("..", "..", "docs", "network", name+".md"), text)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	compare(t, filepath.Join("testdata", name+".golden"), got)
}

// compare compares a file with what it is to be, or writes it.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
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
