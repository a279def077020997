package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// denied is how long a packet that must not arrive is waited for.
const denied = 250 * time.Millisecond

// requireRoot skips what needs network namespaces, and what is left out for speed.
func requireRoot(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("works on real network namespaces, which takes time")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
}

// newHost has a prefix of its own; nothing with it is left when the test ends.
func newHost(t testing.TB) *Host {
	t.Helper()
	requireRoot(t)
	random := make([]byte, 3)
	rand.Read(random)
	h, err := New("t"+hex.EncodeToString(random), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.fault = nil
		if err := h.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(h.path("*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return h
}

func ensure(t testing.TB, h *Host, v VPC) {
	t.Helper()
	if err := h.EnsureVPC(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var everywhere = []netip.Prefix{prefix("0.0.0.0/0")}

// open accepts everything, both ways.
func open(id string) SecurityGroup {
	all := []Rule{{Protocol: "-1", CIDRs: everywhere, Description: "all"}}
	return SecurityGroup{ID: id, Ingress: all, Egress: all}
}

// public gives an interface a public address.
func public(i Interface, address string) Interface {
	i.Public = addr(address)
	return i
}

// eni is an interface of an instance: configured, as a primary one.
func eni(id, subnet, guest, device, address string, groups ...string) Interface {
	mac := net.HardwareAddr{0x0a, 0xff, 0, 0, 0, 0}
	ip := addr(address).As4()
	copy(mac[2:], ip[:])
	return Interface{
		ID: id, Subnet: subnet, Guest: guest, Device: device, MAC: mac, Addresses: []netip.Addr{addr(address)},
		SecurityGroups: groups, SourceDestCheck: true, Configure: true,
	}
}

// twoSubnets has i-1 and i-2 in public subnet-a, i-3 in private subnet-b; all open.
func twoSubnets() VPC {
	return VPC{
		ID: "vpc-1", CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}, Internet: true,
		Subnets: []Subnet{
			{ID: "subnet-a", CIDR: prefix("10.0.1.0/24"), Routes: []Route{{prefix("0.0.0.0/0"), Internet}}},
			{ID: "subnet-b", CIDR: prefix("10.0.2.0/24")},
		},
		Interfaces: []Interface{
			public(eni("eni-1", "subnet-a", "i-1", "eth0", "10.0.1.11", "sg-open"), "198.19.0.11"),
			public(eni("eni-2", "subnet-a", "i-2", "eth0", "10.0.1.12", "sg-open"), "198.19.0.12"),
			eni("eni-3", "subnet-b", "i-3", "eth0", "10.0.2.13", "sg-open"),
		},
		SecurityGroups: []SecurityGroup{open("sg-open")},
	}
}

// serve answers each connection in the namespace with the address it came from.
func serve(t testing.TB, h *Host, guest, address string) {
	t.Helper()
	l, err := h.Listen(t.Context(), guest, "tcp4", address)
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

// ask connects and returns what serve answers.
func ask(t testing.TB, h *Host, guest, address string, timeout time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	c, err := h.Dial(ctx, h.GuestPath(guest), "tcp4", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func mustReach(t testing.TB, h *Host, guest, address string) {
	t.Helper()
	if _, err := ask(t, h, guest, address, 5*time.Second); err != nil {
		t.Errorf("%s does not reach %s: %v", guest, address, err)
	}
}

func mustNotReach(t testing.TB, h *Host, guest, address string) {
	t.Helper()
	_, err := ask(t, h, guest, address, denied)
	if err == nil {
		t.Errorf("%s reaches %s", guest, address)
		return
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s to %s: %v, want silence", guest, address, err)
	}
}

func TestGuestsOfOneVPCReachEachOther(t *testing.T) {
	h := newHost(t)
	ensure(t, h, twoSubnets())
	serve(t, h, "i-2", "10.0.1.12:80")
	serve(t, h, "i-3", "10.0.2.13:80")
	for _, address := range []string{"10.0.1.12:80", "10.0.2.13:80"} {
		got, err := ask(t, h, "i-1", address, 5*time.Second)
		if err != nil || got != "10.0.1.11" {
			t.Errorf("i-1 to %s: seen as %q, %v", address, got, err)
		}
	}
}

func TestVPCsWithTheSameAddressesDoNotMeet(t *testing.T) {
	h := newHost(t)
	one, other := twoSubnets(), twoSubnets()
	other.ID = "vpc-2"
	for i := range other.Interfaces {
		n := &other.Interfaces[i]
		n.ID, n.Guest = strings.Replace(n.ID, "eni-", "eni-9", 1), strings.Replace(n.Guest, "i-", "i-9", 1)
	}
	ensure(t, h, one)
	ensure(t, h, other)
	serve(t, h, "i-2", "10.0.1.12:80")
	mustReach(t, h, "i-1", "10.0.1.12:80")
	// There is a 10.0.1.12 in the other VPC, too, but nobody listens there.
	if _, err := ask(t, h, "i-91", "10.0.1.12:80", 5*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("i-91 of vpc-2: %v, want its own VPC's 10.0.1.12 to refuse", err)
	}
}

func TestSecurityGroups(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	out := []Rule{{Protocol: "-1", CIDRs: everywhere}}
	v.SecurityGroups = []SecurityGroup{
		{ID: "sg-client", Egress: out},
		{ID: "sg-shy", Egress: []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{prefix("10.0.1.0/24")}}}},
		{ID: "sg-web", Ingress: []Rule{
			{Protocol: "tcp", FromPort: 80, ToPort: 81, CIDRs: []netip.Prefix{prefix("10.0.1.0/24")}},
			{Protocol: "tcp", FromPort: 8080, ToPort: 8080, Groups: []string{"sg-client"}},
		}},
	}
	v.Interfaces[0].SecurityGroups = []string{"sg-client"}
	v.Interfaces[1].SecurityGroups = []string{"sg-web"}
	v.Interfaces[2].SecurityGroups = []string{"sg-shy"}
	ensure(t, h, v)
	for _, port := range []string{"80", "81", "82", "8080"} {
		serve(t, h, "i-2", "10.0.1.12:"+port)
	}
	serve(t, h, "i-1", "10.0.1.11:80")

	mustReach(t, h, "i-1", "10.0.1.12:80")
	mustReach(t, h, "i-1", "10.0.1.12:81")
	mustNotReach(t, h, "i-1", "10.0.1.12:82")   // no rule for the port
	mustReach(t, h, "i-1", "10.0.1.12:8080")    // by reference to its group
	mustNotReach(t, h, "i-3", "10.0.1.12:8080") // not in the group, and egress is for port 80
	mustNotReach(t, h, "i-3", "10.0.1.12:80")   // egress lets it out, ingress is for 10.0.1.0/24
	mustNotReach(t, h, "i-2", "10.0.1.11:80")   // no egress at all

	// i-3 joins the referenced group: that alone lets it in.
	v.Interfaces[2].SecurityGroups = []string{"sg-client"}
	ensure(t, h, v)
	mustReach(t, h, "i-3", "10.0.1.12:8080")
	mustNotReach(t, h, "i-3", "10.0.1.12:80")
}

// A connection that a rule for everybody has let in, where everybody is let out, is not
// tracked: it ends with the rule.
func TestRemovedRuleEndsUntrackedConnections(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	all := []Rule{{Protocol: "-1", CIDRs: everywhere}}
	v.SecurityGroups = []SecurityGroup{
		{ID: "sg-client", Egress: all},
		{ID: "sg-open", Ingress: []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: everywhere}, {Protocol: "tcp", FromPort: 81, ToPort: 81, CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}}}, Egress: all},
	}
	v.Interfaces[0].SecurityGroups = []string{"sg-client"}
	ensure(t, h, v)
	talk := map[string]func() error{}
	for _, port := range []string{"80", "81"} {
		l, err := h.Listen(t.Context(), "i-2", "tcp4", "10.0.1.12:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				io.Copy(c, c)
			}
		}()
		c, err := h.Dial(t.Context(), h.GuestPath("i-1"), "tcp4", "10.0.1.12:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		talk[port] = func() error {
			c.SetDeadline(time.Now().Add(denied))
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 1))
			return err
		}
		if err := talk[port](); err != nil {
			t.Fatalf("port %s: %v", port, err)
		}
	}
	v.SecurityGroups[1].Ingress = nil
	ensure(t, h, v)
	if err := talk["80"](); err == nil {
		t.Error("the rule for everybody is gone, and its connection goes on")
	}
	if err := talk["81"](); err != nil {
		t.Errorf("a tracked connection broke: %v", err)
	}
}

func TestRemovedRuleKeepsEstablishedConnections(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	v.SecurityGroups[0].Ingress = []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}}}
	ensure(t, h, v)
	serve(t, h, "i-2", "10.0.1.12:80")
	c, err := h.Dial(t.Context(), h.GuestPath("i-1"), "tcp4", "10.0.1.12:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v.SecurityGroups[0].Ingress = nil
	ensure(t, h, v)
	mustNotReach(t, h, "i-1", "10.0.1.12:80")
	buf := make([]byte, 64)
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(buf); err != nil {
		t.Errorf("the established connection broke: %v", err)
	}
	if _, err := c.Write([]byte("still here")); err != nil {
		t.Errorf("the established connection broke: %v", err)
	}
}

func TestRouterServices(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-shut"})
	v.Interfaces[1].SecurityGroups = []string{"sg-shut"}
	ensure(t, h, v)
	serve(t, h, "vpc-1", "169.254.169.254:80")
	serve(t, h, "vpc-1", "169.254.169.254:81")
	serve(t, h, "vpc-1", "198.18.0.1:443")
	serve(t, h, "vpc-1", "0.0.0.0:22")

	for _, guest := range []string{"i-1", "i-2", "i-3"} {
		mustReach(t, h, guest, "169.254.169.254:80") // whatever the groups say
	}
	mustNotReach(t, h, "i-1", "169.254.169.254:81")
	mustReach(t, h, "i-1", "198.18.0.1:443")
	mustNotReach(t, h, "i-2", "198.18.0.1:443") // no egress rule
	mustNotReach(t, h, "i-3", "198.18.0.1:443") // no route out of its subnet
	mustNotReach(t, h, "i-1", "10.0.1.1:22")    // the gateway is nobody's host

	mustNotReach(t, h, "i-1", "10.0.2.99:80") // nobody has that address

	if got, err := ask(t, h, "i-3", "169.254.169.254:80", 5*time.Second); err != nil || got != "10.0.2.13" {
		t.Errorf("the metadata service sees i-3 as %q, %v", got, err)
	}
	dns, err := h.ListenPacket(t.Context(), "vpc-1", "udp4", "169.254.169.253:53")
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	c, err := h.Dial(t.Context(), h.GuestPath("i-2"), "udp4", "169.254.169.253:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("?"))
	dns.SetDeadline(time.Now().Add(5 * time.Second))
	if _, from, err := dns.ReadFrom(make([]byte, 8)); err != nil || !strings.HasPrefix(from.String(), "10.0.1.12:") {
		t.Errorf("the DNS server sees i-2 as %v, %v", from, err)
	}

	// The subnet gets a route to the internet; a more specific blackhole takes it back.
	v.Subnets[1].Routes = []Route{{prefix("0.0.0.0/0"), Internet}}
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443") // the gateway does not know its address
	v.Interfaces[2].Public = addr("198.19.0.13")
	ensure(t, h, v)
	mustReach(t, h, "i-3", "198.18.0.1:443")
	v.Subnets[1].Routes = append(v.Subnets[1].Routes, Route{prefix("198.18.0.0/24"), Blackhole})
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
}
