package resource

import (
	"net/netip"
	"time"
)

// A VPC is a virtual private cloud. Its key is its id.
type VPC struct {
	Home
	ID              string
	CIDRs           []CIDRAssociation // of IPv4; the first is the primary one
	CIDRs6          []CIDRAssociation // of IPv6
	Default         bool
	DNSSupport      bool
	DNSHostnames    bool
	InstanceTenancy string
	DHCPOptions     string
	MainRouteTable  string
	DefaultGroup    string
	Tags            Tags
}

// A CIDRAssociation is a block of addresses of a VPC.
type CIDRAssociation struct {
	ID   string
	CIDR netip.Prefix
}

// A Subnet is a range of a VPC in one zone. Its key is its id.
type Subnet struct {
	Home
	ID          string
	VPC         string
	Zone        string // us-west-2a
	ZoneID      string // usw2-az1
	CIDR        netip.Prefix
	CIDR6       CIDRAssociation // of IPv6; its CIDR is invalid where there is none
	AssignIPv6  bool            // new interfaces get an address of CIDR6
	Default     bool
	MapPublicIP bool
	Names       ResourceNames // of instances that are launched here and do not say
	Tags        Tags
}

// A RouteTable routes what leaves the subnets that it is associated with. Its key is its id.
type RouteTable struct {
	Home
	ID           string
	VPC          string
	Main         bool
	MainID       string            // association id of the main association
	Associations map[string]string // association id → subnet id
	Routes       []Route           // beyond the local one
	Token        string            // ClientToken of the create
	Tags         Tags
}

// A Route sends a destination to a target.
type Route struct {
	Destination netip.Prefix // one of the two
	PrefixList  string       // pl-…: every block in it

	Gateway    string // one of the five: igw-…
	NATGateway string // nat-…
	Peering    string // pcx-…
	EgressOnly string // eigw-…
	Interface  string // eni-…
}

// Target is the id of what the route leads to.
func (r Route) Target() string {
	return r.Gateway + r.NATGateway + r.Peering + r.EgressOnly + r.Interface
}

// To is the route's destination.
func (r Route) To() string {
	if r.PrefixList != "" {
		return r.PrefixList
	}
	return r.Destination.String()
}

// SameDestination says whether both routes lead to the same.
func (r Route) SameDestination(o Route) bool {
	return r.Destination == o.Destination && r.PrefixList == o.PrefixList
}

// An InternetGateway joins a VPC to the internet. Its key is its id.
type InternetGateway struct {
	Home
	ID   string
	VPC  string // "" while detached
	Tags Tags
}

// An EgressOnlyGateway lets a VPC out to the internet by IPv6, and nobody in. Its key is its id.
type EgressOnlyGateway struct {
	Home
	ID    string // eigw-…
	VPC   string
	Token string
	Tags  Tags
}

// A SecurityGroup filters what interfaces send and receive. Its key is its id.
type SecurityGroup struct {
	Home
	ID          string
	VPC         string
	Name        string
	Description string
	Rules       []SecurityGroupRule
	Tags        Tags
}

// A SecurityGroupRule allows one kind of traffic from or to one place.
type SecurityGroupRule struct {
	ID          string // sgr-…
	Egress      bool
	Protocol    string // "-1", "tcp", "udp", "icmp", "icmpv6" or a number
	FromPort    int32  // -1 for all; ICMP type for icmp
	ToPort      int32
	CIDR        netip.Prefix // one of the three
	Group       string       // sg-…
	PrefixList  string       // pl-…
	Description string
	Tags        Tags
}

// A NetworkInterface is an ENI. Its key is its id. service/ec2, controller/cluster and
// controller/instance write all but Status, which controller/vpc writes.
type NetworkInterface struct {
	Home
	ID               string
	VPC              string
	Subnet           string
	Zone             string
	MAC              string
	Description      string
	InterfaceType    string       // interface
	Addresses        []netip.Addr // the first is the primary one
	Addresses6       []netip.Addr
	PrimaryIPv6      bool           // the first of Addresses6 stays
	Prefixes         []netip.Prefix // whole ranges of the subnet's, of either family
	PublicIP         string         // of the primary address: Elastic's, or one that goes with the interface
	Elastic          string         // eipalloc-… that PublicIP belongs to
	SecondaryPublic  []PublicAddress
	AutoPublic       bool // gets a public address with every start of its instance
	SecurityGroups   []string
	SourceDestCheck  bool
	RequesterManaged bool
	RequesterID      string
	Owner            string // who holds it: an instance id, or "cp-…" for a control plane
	Attachment       *Attachment
	Created          time.Time
	Token            string // ClientToken of the create
	Fingerprint      string // of the request that Token stands for
	Tags             Tags
	Status           NetworkInterfaceStatus
}

// A PublicAddress is an elastic address of a secondary private one.
type PublicAddress struct {
	Private netip.Addr
	Public  netip.Addr
	Elastic string // eipalloc-…
}

// An Attachment plugs an interface into a machine.
type Attachment struct {
	ID                  string // eni-attach-…
	Instance            string // "" for a control plane's
	Guest               string // name of the network namespace it is plugged into
	DeviceIndex         int32
	DeleteOnTermination bool
	Attached            time.Time
}

// Plugs says whether there is a network namespace to plug the interface into.
func (a *Attachment) Plugs() bool { return a != nil && a.Guest != "" }

// NetworkInterfaceStatus is what is so.
type NetworkInterfaceStatus struct {
	Plugged string // the Guest it is plugged into on the host; "" while it is not
}

// An Address is an elastic IP address. Its key is its allocation id.
type Address struct {
	Home
	ID          string // eipalloc-…
	IP          netip.Addr
	Association string // eipassoc-…, "" while it is associated with nothing
	Interface   string
	Private     netip.Addr
	NATGateway  string // that holds it
	Tags        Tags
}

// An AddressPool is where public addresses come from. The daemon writes the one there
// is, with the key PublicPool, at its start.
type AddressPool struct {
	ID     string
	Prefix netip.Prefix
}

// PublicPool is the key of the pool of public addresses.
const PublicPool = "public"

// A NATGateway lets private subnets out by one address. Its key is its id.
type NATGateway struct {
	Home
	ID        string
	VPC       string
	Subnet    string
	Interface string // its own, requester-managed
	Private   netip.Addr
	Address   string // eipalloc-…
	PublicIP  netip.Addr
	Created   time.Time
	Deleted   time.Time // deleted ones are shown for an hour
	Token     string
	Tags      Tags
}

// A NetworkACL filters what enters and leaves subnets, packet by packet. Its key is its id.
type NetworkACL struct {
	Home
	ID           string
	VPC          string
	Default      bool
	Entries      []NetworkACLEntry
	Associations map[string]string // aclassoc-… → subnet id
	Tags         Tags
}

// A NetworkACLEntry allows or denies one kind of traffic; the lowest number that
// matches decides, and without one the packet is dropped.
type NetworkACLEntry struct {
	Number   int32
	Egress   bool
	Allow    bool
	Protocol string // "-1" or a number
	CIDR     netip.Prefix
	FromPort int32 // of tcp and udp; type and code of icmp, -1: any
	ToPort   int32
}

// A PeeringConnection joins two VPCs. Its key is its id; its home is the requester's.
type PeeringConnection struct {
	Home
	ID            string
	Requester     string // vpc-…
	Accepter      string // vpc-…
	RequesterCIDR []netip.Prefix
	AccepterCIDR  []netip.Prefix
	State         string
	Ended         time.Time // deleted and rejected ones are shown for an hour
	Tags          Tags
}

// States of a peering connection, as the API spells them.
const (
	PeeringPending  = "pending-acceptance"
	PeeringActive   = "active"
	PeeringDeleted  = "deleted"
	PeeringRejected = "rejected"
	PeeringFailed   = "failed" // the blocks of the VPCs overlap
)

// A VPCEndpoint reaches one service of AWS from inside a VPC. Its key is its id.
type VPCEndpoint struct {
	Home
	ID             string
	VPC            string
	Service        string   // com.amazonaws.us-west-2.sts
	Type           string   // Interface, Gateway
	RouteTables    []string // of a gateway endpoint
	Subnets        []string // of an interface endpoint
	Interfaces     []string // one a subnet
	SecurityGroups []string
	PrivateDNS     bool
	Policy         string
	Created        time.Time
	Token          string
	Tags           Tags
}
