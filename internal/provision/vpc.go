package provision

import (
	"net/netip"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A VPCRequest says what VPC to make.
type VPCRequest struct {
	Home    resource.Home
	CIDR    netip.Prefix
	Default bool
	Tenancy string // "" is default
	Tags    resource.Tags
}

// VPC makes a VPC with its main route table and its default security group.
func VPC(tx *store.Tx, r VPCRequest) (resource.VPC, error) {
	if b := r.CIDR.Bits(); !r.CIDR.Addr().Is4() || b < 16 || b > 28 {
		return resource.VPC{}, fault("InvalidVpc.Range", "The CIDR '%s' is invalid.", r.CIDR)
	}
	v := resource.VPC{
		Home:            r.Home,
		ID:              awsid.New("vpc"),
		CIDRs:           []resource.CIDRAssociation{{ID: awsid.New("vpc-cidr-assoc"), CIDR: r.CIDR.Masked()}},
		Default:         r.Default,
		DNSSupport:      true,
		DNSHostnames:    r.Default,
		InstanceTenancy: r.Tenancy,
		DHCPOptions:     defaultOptions(tx, r.Home),
		Tags:            r.Tags,
	}
	if v.InstanceTenancy == "" {
		v.InstanceTenancy = "default"
	}
	main := resource.RouteTable{Home: r.Home, ID: awsid.New("rtb"), VPC: v.ID, Main: true, MainID: awsid.New("rtbassoc")}
	v.MainRouteTable = main.ID
	tx.RouteTables.Put(main.ID, main)
	group := newSecurityGroup(r.Home, v.ID, "default", "default VPC security group")
	group.Rules = append(group.Rules, resource.SecurityGroupRule{
		ID: awsid.New("sgr"), Protocol: "-1", FromPort: -1, ToPort: -1, Group: group.ID,
	})
	v.DefaultGroup = group.ID
	tx.SecurityGroups.Put(group.ID, group)
	tx.VPCs.Put(v.ID, v)
	defaultACL(tx, r.Home, v.ID)
	return v, nil
}

// DeleteVPC takes a VPC away with its main route table, default security group and ACL,
// and its peering connections.
// It is a DependencyViolation while anything else is in it.
func DeleteVPC(tx *store.Tx, home resource.Home, id string, now time.Time) error {
	v, err := LookupVPC(tx, home, id)
	if err != nil {
		return err
	}
	busy := false
	for range tx.Subnets.Values(func(s resource.Subnet) bool { return s.VPC == id }) {
		busy = true
	}
	for range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.VPC == id }) {
		busy = true
	}
	for range tx.InternetGateways.Values(func(g resource.InternetGateway) bool { return g.VPC == id }) {
		busy = true
	}
	for range tx.EgressOnlyGateways.Values(func(g resource.EgressOnlyGateway) bool { return g.VPC == id }) {
		busy = true
	}
	for range tx.RouteTables.Values(func(r resource.RouteTable) bool { return r.VPC == id && !r.Main }) {
		busy = true
	}
	for range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.VPC == id && g.ID != v.DefaultGroup }) {
		busy = true
	}
	for range tx.NetworkACLs.Values(func(a resource.NetworkACL) bool { return a.VPC == id && !a.Default }) {
		busy = true
	}
	for range tx.VPCEndpoints.Values(func(e resource.VPCEndpoint) bool { return e.VPC == id }) {
		busy = true
	}
	if busy {
		return fault("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
	}
	tx.SecurityGroups.Delete(v.DefaultGroup)
	tx.RouteTables.Delete(v.MainRouteTable)
	for key, a := range tx.NetworkACLs.All() {
		if a.VPC == id {
			tx.NetworkACLs.Delete(key)
		}
	}
	for key, p := range tx.PeeringConnections.All() {
		if (p.Requester == id || p.Accepter == id) && p.Ended.IsZero() {
			p, _ = tx.PeeringConnections.Get(key)
			p.State, p.Ended = resource.PeeringDeleted, now
			tx.PeeringConnections.Put(key, p)
		}
	}
	tx.VPCs.Delete(id)
	return nil
}
