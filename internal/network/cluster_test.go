package network

import (
	"net/netip"
	"testing"
)

// A cluster's endpoint is a loopback address, and leads out of a guest all the same.
func TestClusterEndpoints(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	v.Interfaces = append(v.Interfaces, eni("eni-9", "subnet-b", "cp-1", "eth0", "10.0.2.99", "sg-cluster"))
	only := []Rule{{Protocol: "tcp", FromPort: 443, ToPort: 443, CIDRs: everywhere}}
	v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-cluster", Ingress: only}, SecurityGroup{ID: "sg-closed"})
	for i := range v.Interfaces[:3] {
		v.Interfaces[i].Endpoints = prefix("127.70.0.0/17")
	}
	private, public := netip.MustParseAddr("198.18.128.2"), netip.MustParseAddr("198.18.129.3")
	v.Clusters = []Cluster{{Address: private, Private: addr("10.0.2.99")}, {Address: public, From: everywhere}}
	ensure(t, h, v)
	serve(t, h, "cp-1", "0.0.0.0:443")
	serve(t, h, "vpc-1", "198.18.129.3:443")
	serve(t, h, "i-1", "127.0.0.1:443")
	serve(t, h, "i-1", "127.90.0.2:443")

	seenAs(t, h, "i-1", "127.70.0.2:443", "10.0.1.11")
	seenAs(t, h, "i-3", "127.70.0.2:443", "10.0.2.13")   // no route is needed within the VPC
	seenAs(t, h, "i-1", "127.70.1.3:443", "198.19.0.11") // by the internet gateway
	mustNotReach(t, h, "i-3", "127.70.1.3:443")          // its subnet has no way out
	mustNotReach(t, h, "i-1", "127.70.0.2:80")           // the cluster's group
	seenAs(t, h, "i-1", "127.0.0.1:443", "127.0.0.1")    // what is a guest's own stays so
	seenAs(t, h, "i-1", "127.90.0.2:443", "127.0.0.1")

	// Private access taken away, the same address leads to the internet.
	v.Clusters[0].Private, v.Clusters[0].From = netip.Addr{}, []netip.Prefix{prefix("198.19.0.11/32")}
	ensure(t, h, v)
	serve(t, h, "vpc-1", "198.18.128.2:443")
	seenAs(t, h, "i-1", "127.70.0.2:443", "198.19.0.11")
	mustNotReach(t, h, "i-3", "127.70.0.2:443")
	mustNotReach(t, h, "i-2", "127.70.0.2:443") // under another public address than may

	v.Interfaces[0].SecurityGroups = []string{"sg-closed"}
	ensure(t, h, v)
	mustNotReach(t, h, "i-1", "127.70.0.2:443")
}
