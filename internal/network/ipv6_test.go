package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dualStack has i-1 in public subnet-a, i-3 in subnet-b behind an egress-only internet
// gateway, and i-2, without IPv6, in subnet-a.
func dualStack() VPC {
	v := twoSubnets()
	all := prefix("::/0")
	v.CIDRs = append(v.CIDRs, prefix("2001:db8:100::/56"))
	v.EgressOnly = []string{"eigw-1"}
	v.Subnets[0].CIDR6, v.Subnets[1].CIDR6 = prefix("2001:db8:100:1::/64"), prefix("2001:db8:100:2::/64")
	v.Subnets[0].Routes = append(v.Subnets[0].Routes, Route{all, Internet})
	v.Subnets[1].Routes = append(v.Subnets[1].Routes, Route{all, "eigw-1"})
	v.Interfaces[0].Addresses6 = []netip.Addr{addr("2001:db8:100:1::11"), addr("2001:db8:100:1::12")}
	v.Interfaces[0].Prefixes = []netip.Prefix{prefix("2001:db8:100:1:f::/80"), prefix("10.0.1.64/28")}
	v.Interfaces[2].Addresses6 = []netip.Addr{addr("2001:db8:100:2::13")}
	both := []Rule{{Protocol: "-1", CIDRs: append([]netip.Prefix{all}, everywhere...)}}
	v.SecurityGroups = []SecurityGroup{
		{ID: "sg-open", Ingress: []Rule{
			{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{all}},
			{Protocol: "tcp", FromPort: 81, ToPort: 81, Groups: []string{"sg-open"}},
			{Protocol: "tcp", FromPort: 82, ToPort: 82, PrefixLists: []string{"pl-six"}},
			{Protocol: "icmpv6", FromPort: 128, ToPort: -1, CIDRs: []netip.Prefix{all}},
			{Protocol: "tcp", FromPort: 83, ToPort: 83, CIDRs: everywhere},
		}, Egress: both},
	}
	v.PrefixLists = []PrefixList{{ID: "pl-six", CIDRs: []netip.Prefix{prefix("2001:db8:100:2::/65"), prefix("2001:db8:100:2:8000::/65")}}}
	return v
}

// serve6 answers each connection in the namespace with the address it came from.
func serve6(t *testing.T, h *Host, guest, address string) {
	t.Helper()
	l, err := h.Listen(t.Context(), guest, "tcp6", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
				io.Copy(io.Discard, c)
			}()
		}
	}()
}

// ask6 says who the other end has seen; "" is silence.
func ask6(t *testing.T, h *Host, guest, address string, timeout time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	c, err := h.Dial(ctx, h.GuestPath(guest), "tcp6", address)
	if err != nil {
		var silence net.Error
		if !errors.As(err, &silence) || !silence.Timeout() {
			t.Errorf("%s to %s: %v, want silence", guest, address, err)
		}
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil {
		t.Errorf("%s to %s: %v", guest, address, err)
	}
	return string(buf[:n])
}

func TestIPv6(t *testing.T) {
	h := newHost(t)
	v := dualStack()
	ensure(t, h, v)
	for port := 80; port <= 84; port++ {
		serve6(t, h, "i-1", fmt.Sprintf("[::]:%d", port))
	}
	serve6(t, h, "i-3", "[::]:80")
	serve6(t, h, internetGuest, "[2001:db8::2]:80")
	try := func(from, to, seen string) {
		t.Helper()
		timeout := 5 * time.Second
		if seen == "" {
			timeout = denied
		}
		if got := ask6(t, h, from, to, timeout); got != seen {
			t.Errorf("%s to %s: seen as %q, want %q", from, to, got, seen)
		}
	}
	one, three := "2001:db8:100:1::11", "2001:db8:100:2::13"
	try("i-3", "["+one+"]:80", three)
	try("i-3", "[2001:db8:100:1::12]:80", three) // its second address
	try("i-3", "["+one+"]:81", three)            // by group
	try("i-3", "["+one+"]:82", three)            // by prefix list
	try("i-3", "["+one+"]:83", "")               // IPv4 alone may
	try("i-3", "["+one+"]:84", "")               // no rule
	try("i-3", "[2001:db8:100:1::99]:80", "")    // nobody
	try("i-3", "[2001:db8::2]:80", three)        // out by the egress-only gateway
	try(internetGuest, "["+three+"]:80", "")     // and not in
	try(internetGuest, "["+one+"]:80", "2001:db8::2")
	try(internetGuest, "["+one+"]:81", "")

	// Interfaces gain and lose addresses while they are plugged in.
	v.Interfaces[0].Addresses6 = []netip.Addr{addr(one), addr("2001:db8:100:1::77")}
	ensure(t, h, v)
	try("i-3", "[2001:db8:100:1::77]:80", three)
	try("i-3", "[2001:db8:100:1::12]:80", "")

	// Without an internet gateway nothing comes in, and the egress-only one still lets out.
	v.Internet, v.Subnets[0].Routes = false, nil
	v.Interfaces[0].Public, v.Interfaces[1].Public = netip.Addr{}, netip.Addr{}
	ensure(t, h, v)
	try(internetGuest, "["+one+"]:80", "")
	try("i-3", "[2001:db8::2]:80", three)

	// A subnet that loses its range has no IPv6 any more.
	before := state(t, h)
	ensure(t, h, v)
	if after := state(t, h); after != before {
		t.Errorf("a repeat changes something:\n%s\nwas\n%s", after, before)
	}
	v.Interfaces[0].Addresses6, v.Interfaces[0].Prefixes, v.Subnets[0].CIDR6, v.Subnets[0].Routes = nil, nil, netip.Prefix{}, nil
	ensure(t, h, v)
	if left := state(t, h); left == before {
		t.Error("nothing has changed")
	}
}

// What has a range may use its addresses, and is sent what is for them.
func TestRangesOfAnInterface(t *testing.T) {
	h := newHost(t)
	v := dualStack()
	ensure(t, h, v)
	sp, err := openSpace(h.GuestPath("i-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	six := addressOf("2001:db8:100:1:f::5/128")
	six.Flags = unix.IFA_F_NODAD
	if err := errors.Join(sp.nl.AddrReplace(lo, six), sp.nl.AddrReplace(lo, addressOf("10.0.1.70/32"))); err != nil {
		t.Fatal(err)
	}
	serve6(t, h, "i-1", "[2001:db8:100:1:f::5]:80")
	serve6(t, h, "i-3", "[::]:81")
	serve(t, h, "i-1", "10.0.1.70:83")
	if got := ask6(t, h, "i-3", "[2001:db8:100:1:f::5]:80", 5*time.Second); got != "2001:db8:100:2::13" {
		t.Errorf("a range's address sees %q", got)
	}
	mustReach(t, h, "i-3", "10.0.1.70:83")
	dial := func(network, from, to string) error {
		var c net.Conn
		err := within(h.GuestPath("i-1"), func() (err error) {
			local, err := net.ResolveTCPAddr(network, from)
			if err != nil {
				return err
			}
			c, err = (&net.Dialer{LocalAddr: local, Timeout: 5 * time.Second}).Dial(network, to)
			return err
		})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial("tcp6", "[2001:db8:100:1:f::5]:0", "[2001:db8:100:2::13]:81"); err != nil {
		t.Errorf("from an address of the range, which is in the group: %v", err)
	}
}

func TestPeersOfIPv6(t *testing.T) {
	h := newHost(t)
	one, two := peers()
	for i, v := range []*VPC{&one, &two} {
		p := prefix(fmt.Sprintf("2001:db8:%d00::/56", i+1))
		v.CIDRs = append(v.CIDRs, p)
		v.Subnets[0].CIDR6 = netip.PrefixFrom(p.Addr(), 64)
		v.Interfaces[0].Addresses6 = []netip.Addr{addr(fmt.Sprintf("2001:db8:%d00::5", i+1))}
		v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-six", Ingress: []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{prefix("::/0")}}},
			Egress: []Rule{{Protocol: "-1", CIDRs: []netip.Prefix{prefix("::/0")}}}})
		v.Interfaces[0].SecurityGroups = []string{"sg-six"}
	}
	one.Peers[0].CIDRs, two.Peers[0].CIDRs = two.CIDRs, one.CIDRs
	one.Subnets[0].Routes = append(one.Subnets[0].Routes, Route{two.CIDRs[1], Target(one.Peers[0].ID)})
	two.Subnets[0].Routes = append(two.Subnets[0].Routes, Route{one.CIDRs[1], Target(two.Peers[0].ID)})
	for _, v := range []VPC{one, two, one} {
		ensure(t, h, v)
	}
	serve6(t, h, two.Interfaces[0].Guest, "[::]:80")
	if got := ask6(t, h, one.Interfaces[0].Guest, "[2001:db8:200::5]:80", 5*time.Second); got != "2001:db8:100::5" {
		t.Errorf("the peer sees %q", got)
	}
}

// Metadata and DNS are the router's own, whatever routes and groups say; nothing else is.
func TestServicesByIPv6(t *testing.T) {
	h := newHost(t)
	v := dualStack()
	v.SecurityGroups[0].Egress, v.Subnets[0].Routes, v.Subnets[1].Routes = nil, nil, nil
	ensure(t, h, v)
	for _, at := range []string{"[fd00:ec2::254]:80", "[fd00:ec2::254]:81", "[fd00:ec2::253]:53", "[fd00:ec2::253]:80"} {
		serve6(t, h, v.ID, at)
	}
	for to, seen := range map[string]string{
		"[fd00:ec2::254]:80": "2001:db8:100:2::13", "[fd00:ec2::253]:53": "2001:db8:100:2::13", "[fd00:ec2::254]:81": "", "[fd00:ec2::253]:80": "",
	} {
		timeout := 5 * time.Second
		if seen == "" {
			timeout = denied
		}
		if got := ask6(t, h, "i-3", to, timeout); got != seen {
			t.Errorf("%s: seen as %q, want %q", to, got, seen)
		}
	}
	// Not even without the source/destination check does anybody ask for another.
	v.Interfaces[2].SourceDestCheck = false
	ensure(t, h, v)
	sp, err := openSpace(h.GuestPath("i-3"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	other := addressOf("2001:db8:100:1::11/128")
	other.Flags = unix.IFA_F_NODAD
	if err := sp.nl.AddrReplace(lo, other); err != nil {
		t.Fatal(err)
	}
	err = within(h.GuestPath("i-3"), func() error {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: other.IP}, Timeout: denied}).Dial("tcp6", "[fd00:ec2::254]:80")
		if err == nil {
			c.Close()
		}
		return err
	})
	var silence net.Error
	if !errors.As(err, &silence) || !silence.Timeout() {
		t.Errorf("the metadata of another: %v, want silence", err)
	}
}
