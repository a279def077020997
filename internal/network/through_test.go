package network

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// natInstance has i-3 in private subnet-b, whose way out is by i-1 in public subnet-a.
func natInstance() VPC {
	v := twoSubnets()
	v.Interfaces[0].SourceDestCheck = false
	v.Subnets[1].Routes = []Route{{prefix("0.0.0.0/0"), "eni-1"}}
	return v
}

// inGuest runs a command in a guest, as its own user would.
func inGuest(t *testing.T, h *Host, guest string, argv ...string) {
	t.Helper()
	argv = append([]string{"netns", "exec", filepath.Base(h.GuestPath(guest))}, argv...)
	if out, err := exec.Command("ip", argv...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}

// forwards has a guest pass packets on, with or without an address of its own on them.
func forwards(t *testing.T, h *Host, guest string, masquerade bool) {
	t.Helper()
	inGuest(t, h, guest, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
	if masquerade {
		inGuest(t, h, guest, "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; add rule ip nat out oifname eth0 masquerade")
	}
}

func TestNATInstance(t *testing.T) {
	h := newHost(t)
	v := natInstance()
	ensure(t, h, v)
	forwards(t, h, "i-1", true)
	serve(t, h, v.ID, "198.18.0.1:443")                  // the AWS APIs, served by the router itself
	serve(t, h, internetGuest, "198.18.0.2:80")          // somebody beyond it
	serve(t, h, "i-1", "10.0.1.11:80")                   // the NAT instance itself
	seenAs(t, h, "i-3", "198.18.0.1:443", "198.19.0.11") // as its public address
	seenAs(t, h, "i-3", "198.18.0.2:80", "198.19.0.11")
	seenAs(t, h, "i-3", "10.0.1.11:80", "10.0.2.13") // what is for the VPC goes there
	seenAs(t, h, "i-2", "198.18.0.1:443", "198.19.0.12")

	before := state(t, h)
	ensure(t, h, v)
	if after := state(t, h); after != before {
		t.Errorf("a repeat changes something:\n%s\nwas\n%s", after, before)
	}

	// What the instance's groups do not let in it does not pass on.
	v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-closed", Egress: open("").Egress})
	v.Interfaces[0].SecurityGroups = []string{"sg-closed"}
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
	v.Interfaces[0].SecurityGroups = []string{"sg-open"}

	// With the source/destination check it gets nothing that is not for it.
	v.Interfaces[0].SourceDestCheck = true
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
	v.Interfaces[0].SourceDestCheck = false
	ensure(t, h, v)
	seenAs(t, h, "i-3", "198.18.0.1:443", "198.19.0.11")

	// A route whose interface is gone drops.
	v.Subnets[1].Routes[0].Target = Blackhole
	v.Interfaces = v.Interfaces[1:]
	ensure(t, h, v)
	mustNotReach(t, h, "i-3", "198.18.0.1:443")
}

// A route to a part of the VPC leads past the local one, to an instance that looks at what
// passes and sends it on as it is.
func TestRouteWithinTheVPC(t *testing.T) {
	h := newHost(t)
	v := natInstance()
	v.Subnets = append(v.Subnets, Subnet{ID: "subnet-c", CIDR: prefix("10.0.3.0/24")})
	v.Interfaces = append(v.Interfaces, eni("eni-4", "subnet-c", "i-4", "eth0", "10.0.3.14", "sg-open"))
	v.Subnets[1].Routes = []Route{{prefix("10.0.3.0/24"), "eni-1"}}
	v.Subnets[2].Routes = []Route{{prefix("10.0.2.0/24"), "eni-1"}}
	ensure(t, h, v)
	serve(t, h, "i-4", "10.0.3.14:80")
	serve(t, h, "i-2", "10.0.1.12:80")
	mustNotReach(t, h, "i-3", "10.0.3.14:80") // i-1 does not pass it on
	forwards(t, h, "i-1", false)
	seenAs(t, h, "i-3", "10.0.3.14:80", "10.0.2.13")
	seenAs(t, h, "i-3", "10.0.1.12:80", "10.0.2.13")
}

// Rules may name groups of peers: their members' addresses, as they are now.
func TestGroupOfAPeer(t *testing.T) {
	h := newHost(t)
	one, two := peers()
	one.SecurityGroups = []SecurityGroup{{ID: "sg-open", Ingress: []Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, Groups: []string{"sg-peer"}}}, Egress: open("").Egress}}
	ensure(t, h, one)
	ensure(t, h, two)
	ensure(t, h, one)
	serve(t, h, "i-1", "10.0.1.11:80")
	mustNotReach(t, h, "i-4", "10.0.1.11:80")
	one.PeerGroups = []PeerGroup{{ID: "sg-peer", Members: port{Interface: two.Interfaces[0]}.ranges()}}
	ensure(t, h, one)
	seenAs(t, h, "i-4", "10.0.1.11:80", "10.1.1.14")
	one.PeerGroups = nil
	ensure(t, h, one)
	mustNotReach(t, h, "i-4", "10.0.1.11:80")
}
