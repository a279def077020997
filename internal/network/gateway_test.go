package network

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// askFrom is ask from the namespace at path, as the internet's.
func askFrom(t testing.TB, h *Host, path, address string, timeout time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	c, err := h.Dial(ctx, path, "tcp4", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// seenAs checks under which address guest is seen at address.
func seenAs(t testing.TB, h *Host, guest, address, want string) {
	t.Helper()
	got, err := ask(t, h, guest, address, 5*time.Second)
	if err != nil || got != want {
		t.Errorf("%s at %s: seen as %q, %v; want %s", guest, address, got, err, want)
	}
}

// natGateway is twoSubnets whose private subnet-b goes out by a NAT gateway.
func natGateway() VPC {
	v := twoSubnets()
	v.NATGateways = []NATGateway{{ID: "nat-1", Public: addr("198.19.1.1")}}
	v.Subnets[1].Routes = []Route{{prefix("0.0.0.0/0"), "nat-1"}}
	return v
}

func TestInternetSeesPublicAddresses(t *testing.T) {
	h := newHost(t)
	v := natGateway()
	ensure(t, h, v)
	serve(t, h, "vpc-1", "198.18.0.1:443")
	serve(t, h, internetGuest, "198.18.0.2:80")
	for _, place := range []string{"198.18.0.1:443", "198.18.0.2:80"} {
		seenAs(t, h, "i-1", place, "198.19.0.11")
		seenAs(t, h, "i-3", place, "198.19.1.1") // by the NAT gateway
	}

	// A public address is reached from the internet, a NAT gateway's leads nowhere.
	serve(t, h, "i-2", "10.0.1.12:80")
	serve(t, h, "i-3", "10.0.2.13:80")
	if got, err := askFrom(t, h, h.InternetPath(), "198.19.0.12:80", 5*time.Second); err != nil || got != "198.18.0.2" {
		t.Errorf("from the internet: seen as %q, %v", got, err)
	}
	for _, a := range []string{"198.19.1.1:80", "10.0.2.13:80", "10.0.1.12:80"} {
		if _, err := askFrom(t, h, h.InternetPath(), a, denied); err == nil {
			t.Errorf("the internet reaches %s", a)
		}
	}
	// So is a secondary address's.
	v.Interfaces[1].Addresses = append(v.Interfaces[1].Addresses, addr("10.0.1.22"))
	v.Interfaces[1].SecondaryPublic = map[netip.Addr]netip.Addr{addr("10.0.1.22"): addr("198.19.0.22")}
	ensure(t, h, v)
	sp, err := openSpace(h.GuestPath("i-2"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.nl.AddrReplace(lo, addressOf("10.0.1.22/32")); err != nil {
		t.Fatal(err)
	}
	serve(t, h, "i-2", "10.0.1.22:80")
	if got, err := askFrom(t, h, h.InternetPath(), "198.19.0.22:80", 5*time.Second); err != nil || got != "198.18.0.2" {
		t.Errorf("a secondary address from the internet: seen as %q, %v", got, err)
	}

	// From inside, another's public address is a way over the internet, and back.
	seenAs(t, h, "i-1", "198.19.0.12:80", "198.19.0.11")
	seenAs(t, h, "i-3", "198.19.0.12:80", "198.19.1.1")

	// The security group decides as ever.
	v.SecurityGroups[0].Ingress = []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}}}
	ensure(t, h, v)
	if _, err := askFrom(t, h, h.InternetPath(), "198.19.0.12:80", denied); err == nil {
		t.Error("the internet reaches a closed port")
	}

	// Without the route to the NAT gateway, and without a gateway at all, there is no way out.
	v.Subnets[1].Routes = nil
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
	v.Subnets[0].Routes, v.Internet = nil, false
	ensure(t, h, v)
	mustNotReach(t, h, "i-1", "198.18.0.1:443")
	if err := h.RemoveVPC(t.Context(), "vpc-1"); err != nil {
		t.Fatal(err)
	}
	if ok, err := isNamespace(h.InternetPath()); ok || err != nil {
		t.Errorf("the internet is still there: %v", err)
	}
}

func TestTwoVPCsMeetOnTheInternet(t *testing.T) {
	h := newHost(t)
	one, other := twoSubnets(), twoSubnets() // with the same private addresses
	other.ID = "vpc-2"
	for i := range other.Interfaces {
		n := &other.Interfaces[i]
		n.ID, n.Guest = strings.Replace(n.ID, "eni-", "eni-9", 1), strings.Replace(n.Guest, "i-", "i-9", 1)
	}
	other.Interfaces[0].Public, other.Interfaces[1].Public = addr("198.19.2.11"), addr("198.19.2.12")
	ensure(t, h, one)
	ensure(t, h, other)
	serve(t, h, "i-92", "10.0.1.12:80")
	seenAs(t, h, "i-1", "198.19.2.12:80", "198.19.0.11")
}

// peers are vpc-1, 10.0.0.0/16, with i-1 to i-3, and vpc-2, 10.1.0.0/16, with i-4; both
// route to each other.
func peers() (VPC, VPC) {
	one := twoSubnets()
	one.Peers = []Peer{{"pcx-1", "vpc-2", []netip.Prefix{prefix("10.1.0.0/16")}}}
	one.Subnets[0].Routes = append(one.Subnets[0].Routes, Route{prefix("10.1.0.0/16"), "pcx-1"})
	two := VPC{
		ID: "vpc-2", CIDRs: []netip.Prefix{prefix("10.1.0.0/16")},
		Subnets:        []Subnet{{ID: "subnet-c", CIDR: prefix("10.1.1.0/24"), Routes: []Route{{prefix("10.0.0.0/16"), "pcx-1"}}}},
		Interfaces:     []Interface{eni("eni-4", "subnet-c", "i-4", "eth0", "10.1.1.14", "sg-peer")},
		SecurityGroups: []SecurityGroup{open("sg-peer")},
		Peers:          []Peer{{"pcx-1", "vpc-1", []netip.Prefix{prefix("10.0.0.0/16")}}},
	}
	return one, two
}

func TestPeers(t *testing.T) {
	h := newHost(t)
	one, two := peers()
	ensure(t, h, one) // vpc-2 is not there yet
	ensure(t, h, two)
	ensure(t, h, one)
	serve(t, h, "i-4", "10.1.1.14:80")
	serve(t, h, "i-1", "10.0.1.11:80")
	serve(t, h, "i-3", "10.0.2.13:80")
	serve(t, h, "vpc-1", "198.18.0.1:443")
	seenAs(t, h, "i-1", "10.1.1.14:80", "10.0.1.11")
	seenAs(t, h, "i-4", "10.0.1.11:80", "10.1.1.14")
	mustNotReach(t, h, "i-3", "10.1.1.14:80")   // its subnet has no route
	mustNotReach(t, h, "i-4", "10.0.2.13:80")   // no route back
	mustNotReach(t, h, "i-4", "198.18.0.1:443") // no way through the peer's gateway
	two.Subnets[0].Routes = append(two.Subnets[0].Routes, Route{prefix("0.0.0.0/0"), "pcx-1"})
	ensure(t, h, two)
	mustNotReach(t, h, "i-4", "198.18.0.1:443")
	mustNotReach(t, h, "i-4", "198.18.0.2:80")

	// The other side's security group sees the private address.
	two.SecurityGroups[0].Ingress = []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDRs: []netip.Prefix{prefix("10.0.1.12/32")}}}
	ensure(t, h, two)
	mustNotReach(t, h, "i-1", "10.1.1.14:80")
	mustReach(t, h, "i-2", "10.1.1.14:80")

	// A router that goes and comes back is connected again.
	if err := h.RemoveVPC(t.Context(), "vpc-2"); err != nil {
		t.Fatal(err)
	}
	ensure(t, h, one)
	mustNotReach(t, h, "i-2", "10.1.1.14:80")
	ensure(t, h, two)
	ensure(t, h, one)
	mustReach(t, h, "i-2", "10.1.1.14:80")
}

// withACL is natGateway whose subnet-b has a network ACL: port 80 from subnet-a, port 443
// to anywhere, and answers to high ports, but for 10.0.1.12, which is denied first.
func withACL() VPC {
	v := natGateway()
	v.Subnets[1].ACL = &ACL{
		Ingress: []ACLRule{
			{Protocol: "-1", CIDR: prefix("10.0.1.12/32")},
			{Allow: true, Protocol: "6", FromPort: 80, ToPort: 80, CIDR: prefix("10.0.1.0/24")},
			{Allow: true, Protocol: "6", FromPort: 1024, ToPort: 65535, CIDR: prefix("0.0.0.0/0")},
		},
		Egress: []ACLRule{
			{Allow: true, Protocol: "6", FromPort: 443, ToPort: 443, CIDR: prefix("0.0.0.0/0")},
			{Allow: true, Protocol: "6", FromPort: 1024, ToPort: 65535, CIDR: prefix("10.0.1.0/24")},
		},
	}
	return v
}

func TestACLs(t *testing.T) {
	h := newHost(t)
	v := withACL()
	v.Interfaces = append(v.Interfaces, eni("eni-4", "subnet-b", "i-4", "eth0", "10.0.2.14", "sg-open"))
	ensure(t, h, v)
	for guest, addresses := range map[string][]string{
		"i-1": {"10.0.1.11:80", "10.0.1.11:443"}, "i-3": {"10.0.2.13:80", "10.0.2.13:81"},
		"vpc-1": {"198.18.0.1:443", "198.18.0.1:80", "169.254.169.254:80"},
	} {
		for _, a := range addresses {
			serve(t, h, guest, a)
		}
	}
	mustReach(t, h, "i-1", "10.0.2.13:80")
	mustNotReach(t, h, "i-1", "10.0.2.13:81")
	mustNotReach(t, h, "i-2", "10.0.2.13:80") // denied before it is allowed
	mustReach(t, h, "i-4", "10.0.2.13:81")    // within the subnet
	mustReach(t, h, "i-3", "10.0.1.11:443")
	mustNotReach(t, h, "i-3", "10.0.1.11:80")
	mustReach(t, h, "i-3", "198.18.0.1:443")
	mustNotReach(t, h, "i-3", "198.18.0.1:80")
	mustReach(t, h, "i-3", "169.254.169.254:80")

	// It keeps no state: without a rule for the answers, nothing comes back.
	acl := *v.Subnets[1].ACL
	v.Subnets[1].ACL = &ACL{Ingress: acl.Ingress[:2], Egress: acl.Egress}
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "10.0.1.11:443")
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
	mustReach(t, h, "i-1", "10.0.2.13:80")
}

// withEndpoints is twoSubnets with an endpoint in subnet-b, for sg-https alone.
func withEndpoints() VPC {
	v := twoSubnets()
	https := []Rule{{Protocol: "tcp", FromPort: 443, ToPort: 443, Groups: []string{"sg-open"}}}
	v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-https", Ingress: https}, SecurityGroup{ID: "sg-other", Egress: open("x").Egress})
	v.Endpoints = []Endpoint{{ID: "eni-9", Address: addr("10.0.2.99"), SecurityGroups: []string{"sg-https"}}}
	v.Subnets[1].Registry = true
	return v
}

func TestEndpoints(t *testing.T) {
	h := newHost(t)
	v := withEndpoints()
	v.Interfaces = append(v.Interfaces, eni("eni-4", "subnet-b", "i-4", "eth0", "10.0.2.14", "sg-other"))
	ensure(t, h, v)
	serve(t, h, "vpc-1", "0.0.0.0:443")
	serve(t, h, "vpc-1", "0.0.0.0:22")
	serve(t, h, "vpc-1", "198.18.0.1:5000")
	seenAs(t, h, "i-3", "10.0.2.99:443", "10.0.2.13")
	mustReach(t, h, "i-1", "10.0.2.99:443")
	mustNotReach(t, h, "i-3", "10.0.2.99:22")
	mustNotReach(t, h, "i-4", "10.0.2.99:443") // its group is not let in
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
	mustReach(t, h, "i-3", "198.18.0.1:5000")
	v.Subnets[1].Registry = false
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:5000")
}

// The VPC's resolver answers at the second address of its range, too.
func TestResolverAddresses(t *testing.T) {
	h := newHost(t)
	ensure(t, h, twoSubnets())
	for _, a := range []string{"169.254.169.253:53", "10.0.0.2:53"} {
		serve(t, h, "vpc-1", a)
		mustReach(t, h, "i-3", a)
	}
}

// The host reaches an open port of a public address at an address of its own.
func TestRelays(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	ensure(t, h, v)
	serve(t, h, "i-1", "10.0.1.11:80")
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr).AddrPort()
	h.EnsureRelays("vpc-1", []Relay{{at, netip.MustParseAddrPort("198.19.0.11:80")}}) // taken: left alone
	free.Close()
	h.EnsureRelays("vpc-1", []Relay{{at, netip.MustParseAddrPort("198.19.0.11:80")}})
	get := func() (string, error) {
		c, err := net.DialTimeout("tcp4", at.String(), 5*time.Second)
		if err != nil {
			return "", err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	if got, err := get(); err != nil || got != OutsideAddress.String() {
		t.Errorf("seen as %q, %v", got, err)
	}
	h.EnsureRelays("vpc-1", nil)
	if _, err := net.DialTimeout("tcp4", at.String(), time.Second); err == nil {
		t.Error("the relay is still there")
	}
}
