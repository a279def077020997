package network

import (
	"net"
	"net/netip"
)

// The addresses that every router owns.
var (
	// MetadataAddress is where instances find the instance metadata service (port 80).
	MetadataAddress = netip.AddrFrom4([4]byte{169, 254, 169, 254})
	// ResolverAddress is where instances find the VPC's DNS server (port 53).
	ResolverAddress = netip.AddrFrom4([4]byte{169, 254, 169, 253})
	// InternetAddress stands for everything outside of the VPC: AWS's APIs, registries.
	InternetAddress = netip.AddrFrom4([4]byte{198, 18, 0, 1})
	// InternetPrefix is the range of InternetAddress (RFC 2544: never on a real network).
	InternetPrefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 0}), 15)
)

// MTU is that of every veth: AWS's jumbo frames.
const MTU = 9001

// A VPC is everything in one VPC that has an effect on packets. What is not
// listed does not exist: EnsureVPC removes it.
type VPC struct {
	ID             string // names the namespace
	CIDRs          []netip.Prefix
	Subnets        []Subnet
	Interfaces     []Interface
	SecurityGroups []SecurityGroup
}

// A Subnet is a range of the VPC with the routes of its route table.
type Subnet struct {
	ID     string
	CIDR   netip.Prefix
	Routes []Route // besides the local route to the VPC, which always holds
}

// A Route of a subnet's route table. The longest prefix wins.
type Route struct {
	Destination netip.Prefix
	Target      Target
}

// A Target is where a route leads.
type Target string

const (
	// Internet is an internet gateway (or whatever leads there).
	Internet Target = "internet"
	// Blackhole drops, as a route does whose target is gone.
	Blackhole Target = "blackhole"
)

// An Interface is an ENI that is attached to a guest.
type Interface struct {
	ID     string
	Subnet string
	Guest  string // the namespace it is in: an instance's or a control plane's id
	Device string // its name there: eth0, eth1, …
	MAC    net.HardwareAddr

	// Addresses has the primary address first. Packets to the others are handed to
	// the guest without asking whether it has them: they may belong to its pods.
	Addresses []netip.Addr

	SecurityGroups []string

	// SourceDestCheck drops packets from this ENI that do not come from one of its addresses.
	SourceDestCheck bool

	// Configure has the device set up in the guest: primary address, default route, up. If a
	// guest has several such interfaces, each one answers for its own address. Otherwise the
	// device is only put there, down, and the guest does the rest (secondary ENIs of an
	// instance: its CNI). Once set up, a device belongs to the guest; only a change of what
	// is asked for here sets it up again.
	Configure bool
}

// A SecurityGroup is a set of rules that accept. What no rule of any group of an
// interface accepts is dropped, in both directions.
type SecurityGroup struct {
	ID      string
	Ingress []Rule
	Egress  []Rule
}

// A Rule accepts new connections of one protocol with any of the given peers. A
// rule without peers accepts nothing.
type Rule struct {
	// Protocol is "-1" (all), "tcp", "udp", "icmp" or a protocol number.
	Protocol string

	// FromPort and ToPort are an inclusive range of destination ports for tcp and udp, type and
	// code for icmp (-1: any). Other protocols ignore them.
	FromPort, ToPort int

	CIDRs  []netip.Prefix
	Groups []string // security groups: the addresses of all interfaces that are in them

	Description string // a comment in the rule set
}

// gateway is the router's address in the subnet: base + 1.
func (s Subnet) gateway() netip.Addr { return s.CIDR.Masked().Addr().Next() }

// target says where the subnet's route table sends packets for addr; "" is nowhere.
func (s Subnet) target(addr netip.Addr) Target {
	var best Route
	for _, r := range s.Routes {
		if r.Destination.Contains(addr) && (best.Target == "" || r.Destination.Bits() > best.Destination.Bits()) {
			best = r
		}
	}
	return best.Target
}
