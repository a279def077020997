package provision

import (
	"net/netip"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A SubnetRequest says what subnet to make.
type SubnetRequest struct {
	Home        resource.Home
	VPC         string
	CIDR        netip.Prefix
	CIDR6       netip.Prefix // invalid: none
	Zone        region.Zone
	Default     bool
	MapPublicIP bool
	Tags        resource.Tags
}

// Subnet makes a subnet: InvalidSubnet.Range outside of its VPC's blocks,
// InvalidSubnet.Conflict where there is one already.
func Subnet(tx *store.Tx, r SubnetRequest) (resource.Subnet, error) {
	v, err := LookupVPC(tx, r.Home, r.VPC)
	if err != nil {
		return resource.Subnet{}, err
	}
	if b := r.CIDR.Bits(); !r.CIDR.Addr().Is4() || b < 16 || b > 28 || !within(v, r.CIDR) {
		return resource.Subnet{}, fault("InvalidSubnet.Range", "The CIDR '%s' is invalid.", r.CIDR)
	}
	for _, other := range tx.Subnets.All() {
		if other.VPC == r.VPC && other.CIDR.Overlaps(r.CIDR) {
			return resource.Subnet{}, fault("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", r.CIDR)
		}
	}
	s := resource.Subnet{
		Home: r.Home, ID: awsid.New("subnet"), VPC: r.VPC, Zone: r.Zone.Name, ZoneID: r.Zone.ID, CIDR: r.CIDR.Masked(),
		Default: r.Default, MapPublicIP: r.MapPublicIP, Tags: r.Tags,
	}
	tx.Subnets.Put(s.ID, s)
	associateDefaultACL(tx, s)
	if r.CIDR6.IsValid() {
		return AssociateSubnet6(tx, r.Home, s.ID, r.CIDR6)
	}
	return s, nil
}

func within(v resource.VPC, p netip.Prefix) bool {
	for _, c := range v.CIDRs {
		if c.CIDR.Contains(p.Addr()) && c.CIDR.Bits() <= p.Bits() {
			return true
		}
	}
	return false
}

// DeleteSubnet takes a subnet away, also out of its route table. It is a
// DependencyViolation while there is an interface in it.
func DeleteSubnet(tx *store.Tx, home resource.Home, id string) error {
	if _, err := LookupSubnet(tx, home, id); err != nil {
		return err
	}
	for range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.Subnet == id }) {
		return fault("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
	}
	for key, t := range tx.RouteTables.All() {
		for assoc, subnet := range t.Associations {
			if subnet != id {
				continue
			}
			t, _ = tx.RouteTables.Get(key)
			delete(t.Associations, assoc)
			tx.RouteTables.Put(key, t)
			break
		}
	}
	disassociateACL(tx, id)
	tx.Subnets.Delete(id)
	return nil
}
