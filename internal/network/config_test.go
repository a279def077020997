package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for _, v := range []VPC{twoSubnets(), controlPlane(), everyRule(), many(300)} {
		if err := v.validate(); err != nil {
			t.Error(err)
		}
	}
	for want, change := range map[string]func(*VPC){
		`VPC id "../x"`:                      func(v *VPC) { v.ID = "../x" },
		"subnet subnet-a is listed twice":    func(v *VPC) { v.Subnets[1].ID = "subnet-a" },
		"not an IPv4 range":                  func(v *VPC) { v.Subnets[1].CIDR = prefix("fd00::/64") },
		`prefix list "pl-x" is not listed`:   func(v *VPC) { v.SecurityGroups[0].Ingress = []Rule{{Protocol: "-1", PrefixLists: []string{"pl-x"}}} },
		"not in a range of the VPC":          func(v *VPC) { v.Subnets[1].CIDR = prefix("10.1.0.0/24") },
		"subnets subnet-a and subnet-b over": func(v *VPC) { v.Subnets[1].CIDR = prefix("10.0.1.128/25") },
		"name of something else":             func(v *VPC) { v.SecurityGroups[0].ID = "egress" },
		"an interface and a security group":  func(v *VPC) { v.SecurityGroups[0].ID = "eni-1" },
		`subnet "subnet-x" is not listed`:    func(v *VPC) { v.Interfaces[0].Subnet = "subnet-x" },
		"it has no address":                  func(v *VPC) { v.Interfaces[0].Addresses = nil },
		"not one for an interface of subnet": func(v *VPC) { v.Interfaces[0].Addresses = []netip.Addr{addr("10.0.2.5")} },
		"10.0.1.1 is not one":                func(v *VPC) { v.Interfaces[0].Addresses = []netip.Addr{addr("10.0.1.1")} },
		"both have address 10.0.1.12":        func(v *VPC) { v.Interfaces[0].Addresses = []netip.Addr{addr("10.0.1.12")} },
		"have the same link name":            func(v *VPC) { v.Interfaces[0].ID = v.Interfaces[1].ID },
		"are both eth0 of i-2":               func(v *VPC) { v.Interfaces[0].Guest = "i-2" },
		"not a MAC address":                  func(v *VPC) { v.Interfaces[0].MAC = nil },
		"is not the name of a device":        func(v *VPC) { v.Interfaces[0].Device = "lo" },
		`guest "a/b"`:                        func(v *VPC) { v.Interfaces[0].Guest = "a/b" },
		`security group "sg-x" is not`:       func(v *VPC) { v.Interfaces[0].SecurityGroups = []string{"sg-x"} },
		"90-80 is not a range of ports": func(v *VPC) {
			v.SecurityGroups[0].Ingress = []Rule{{Protocol: "tcp", FromPort: 90, ToPort: 80}}
		},
		`"xyz" is not a protocol`: func(v *VPC) { v.SecurityGroups[0].Egress = []Rule{{Protocol: "xyz"}} },
	} {
		v := twoSubnets()
		v.SecurityGroups = slices.Clone(v.SecurityGroups)
		change(&v)
		if err := v.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want: %s", err, want)
		}
	}
}

func TestPrefixOfAHost(t *testing.T) {
	for _, bad := range []string{"", "a-b", "../x", "A"} {
		if _, err := New(bad, nil); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestLinkName(t *testing.T) {
	for id, want := range map[string]string{
		"eni-1":                               "eni-1",
		"eni-0123456789abcdef0":               "eni-6789abcdef0",
		"an-interface-with-quite-a-long-name": "if-55a94e7b8c5d",
	} {
		got := linkName(id)
		if len(got) > maxLinkName || (got != want && strings.HasPrefix(id, "eni-")) {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := compile(everyRule()).fingerprint()
	same := everyRule()
	slices.Reverse(same.Interfaces)
	slices.Reverse(same.SecurityGroups)
	if compile(same).fingerprint() != base {
		t.Error("it depends on the order of interfaces and groups")
	}
	for what, change := range map[string]func(*VPC){
		"port":          func(v *VPC) { v.SecurityGroups[0].Ingress[1].ToPort++ },
		"description":   func(v *VPC) { v.SecurityGroups[0].Ingress[0].Description = "another" },
		"range":         func(v *VPC) { v.SecurityGroups[0].Ingress[2].CIDRs[0] = prefix("10.0.0.0/21") },
		"source check":  func(v *VPC) { v.Interfaces[0].SourceDestCheck = false },
		"address":       func(v *VPC) { v.Interfaces[1].Addresses = v.Interfaces[1].Addresses[:2] },
		"route":         func(v *VPC) { v.Subnets[0].Routes = nil },
		"group removed": func(v *VPC) { v.Interfaces[0].SecurityGroups = v.Interfaces[0].SecurityGroups[:1] },
	} {
		v := everyRule()
		change(&v)
		if compile(v).fingerprint() == base {
			t.Errorf("a change of %s does not show", what)
		}
	}
}

func TestPrintable(t *testing.T) {
	long := strings.Repeat("ü", 100)
	if got := printable(long); len(got) > maxComment || !strings.HasPrefix(long, got) {
		t.Errorf("%q", got)
	}
	if got := printable("a\"b\\c\nd"); got != "a'b'c'd" {
		t.Errorf("%q", got)
	}
}
