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
	// MetadataAddress6 is MetadataAddress for IPv6.
	MetadataAddress6 = netip.MustParseAddr("fd00:ec2::254")
	// ResolverAddress6 is ResolverAddress for IPv6.
	ResolverAddress6 = netip.MustParseAddr("fd00:ec2::253")
	// InternetAddress stands for everything outside of the VPC: AWS's APIs, registries.
	InternetAddress = netip.AddrFrom4([4]byte{198, 18, 0, 1})
	// InternetPrefix is the range of InternetAddress (RFC 2544: never on a real network).
	InternetPrefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 0}), 15)
	// PublicPrefix is the part of it that public addresses of interfaces are from.
	PublicPrefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19, 0, 0}), 16)
	// OutsideAddress is who is on the internet besides: whoever dials from InternetPath.
	OutsideAddress = netip.AddrFrom4([4]byte{198, 18, 0, 2})
	// ClusterPrefix is the part of it that clusters' endpoints are in.
	ClusterPrefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 128, 0}), 17)
	// InternetPrefix6 is the internet of IPv6 (RFC 3849: never on a real network), from which
	// the ranges of VPCs are, too.
	InternetPrefix6 = netip.MustParsePrefix("2001:db8::/32")
	// OutsideAddress6 is OutsideAddress for IPv6.
	OutsideAddress6 = netip.MustParseAddr("2001:db8::2")
)

// RegistryPort is the port of the image registry at InternetAddress.
const RegistryPort = 5000

// MTU is that of every veth: AWS's jumbo frames.
const MTU = 9001

// gsoSize is how much of a TCP connection passes a veth as one packet: three times the
// kernel's default. Two pods are four veths and three namespaces apart, whose cost is by
// the packet and not by the byte. Every end must have it: one without would cut each packet
// into frames. Kernels before 6.3 pass it over. It is of IPv4 alone: a packet of IPv6 beyond
// 64 KiB carries a header of eight bytes, with which its segments seem to be larger than the
// MTU, and routers drop it (tried with Linux 6.18: a hundredth of the throughput).
const gsoSize = 192 << 10

// A VPC is everything in one VPC that has an effect on packets. What is not
// listed does not exist: EnsureVPC removes it.
type VPC struct {
	ID             string         // names the namespace
	CIDRs          []netip.Prefix // IPv4, and IPv6 if any
	Subnets        []Subnet
	Interfaces     []Interface
	SecurityGroups []SecurityGroup
	PeerGroups     []PeerGroup
	PrefixLists    []PrefixList
	NATGateways    []NATGateway
	Peers          []Peer
	Endpoints      []Endpoint
	Clusters       []Cluster
	Internet       bool // an internet gateway is attached

	// EgressOnly are the egress-only internet gateways: targets of IPv6 routes, by which
	// interfaces reach the internet and nobody there reaches them.
	EgressOnly []string
}

// A Subnet is a range of the VPC with the routes of its route table.
type Subnet struct {
	ID     string
	CIDR   netip.Prefix
	CIDR6  netip.Prefix // invalid: the subnet has no IPv6
	Routes []Route      // besides the local route to the VPC, which always holds
	ACL    *ACL         // nil: everything passes

	// Registry has the image registry reachable without a route to it: where endpoints of
	// the services lead there from which images are loaded.
	Registry bool
}

// A NATGateway lets through what a route sends to its ID, with its own public address.
type NATGateway struct {
	ID     string
	Public netip.Addr // of PublicPrefix
	Subnet string     // its own, whose ACL sees what passes; "": there is none
}

// A Peer is another VPC to whose addresses routes lead that have its ID as target. Nothing
// flows unless both VPCs have the other as a peer, by the same ID, and routes to it.
type Peer struct {
	ID    string // of the peering connection
	VPC   string
	CIDRs []netip.Prefix
}

// An Endpoint is an address of the VPC at which the router itself serves port 443: an
// interface endpoint of a service of AWS's.
type Endpoint struct {
	ID             string // of its interface
	Subnet         string // whose ACL sees what is for it; "": there is none
	Address        netip.Addr
	SecurityGroups []string
}

// A Cluster is the endpoint of a cluster, as seen from the VPC.
type Cluster struct {
	Address netip.Addr // of ClusterPrefix

	// Private is the cluster's interface in this VPC, which the endpoint leads to without any
	// route. Invalid: it is on the internet, where the router itself serves it (see Listen).
	Private netip.Addr

	// From are the public addresses, of PublicPrefix, that may reach it on the internet.
	From []netip.Prefix
}

// A Route of a subnet's route table. The longest prefix wins.
//
// One to a part of the VPC, which leads past the local route, is to an Interface.
type Route struct {
	Destination netip.Prefix
	Target      Target
}

// A Target is where a route leads: one of these, or the ID of a NATGateway, of a Peer, of an
// egress-only internet gateway or of an Interface of the VPC.
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

	// Addresses6 are its addresses of IPv6, in the subnet's range. Where there is one, the
	// guest has them all on a configured device.
	Addresses6 []netip.Addr

	// Prefixes are whole ranges, of either family, whose addresses it has: its pods'.
	Prefixes []netip.Prefix

	// Public, of PublicPrefix, stands for the primary address on the internet. Without one an
	// internet gateway lets nothing of the interface through.
	Public netip.Addr

	// SecondaryPublic are those of its other addresses.
	SecondaryPublic map[netip.Addr]netip.Addr

	// Endpoints are the host's loopback addresses that clusters' endpoints have. In the guest
	// of a configured device they lead to those of ClusterPrefix with the same last bytes.
	Endpoints netip.Prefix

	SecurityGroups []string

	// SourceDestCheck drops packets from this ENI that do not come from one of its addresses,
	// and those that a route leads to it.
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
	// Protocol is "-1" (all), "tcp", "udp", "icmp", "icmpv6" or a protocol number.
	Protocol string

	// FromPort and ToPort are an inclusive range of destination ports for tcp and udp, type and
	// code for icmp and icmpv6 (-1: any). Other protocols ignore them.
	FromPort, ToPort int

	CIDRs       []netip.Prefix
	Groups      []string // security groups: the addresses of all interfaces that are in them
	PrefixLists []string

	Description string // a comment in the rule set
}

// A PeerGroup is a security group of a peer, of which only its members' addresses are known
// here. Rules may name it.
type PeerGroup struct {
	ID      string
	Members []netip.Prefix
}

// A PrefixList is ranges that rules name together.
type PrefixList struct {
	ID    string
	CIDRs []netip.Prefix
}

// gateway is the router's address in the subnet: base + 1.
func (s Subnet) gateway() netip.Addr { return s.CIDR.Masked().Addr().Next() }
