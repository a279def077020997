package provision

import (
	"cmp"
	"net/netip"
	"slices"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// aclEntries is EC2's default quota of entries in one direction.
const aclEntries = 20

// LookupNetworkACL returns a network ACL of home, or InvalidNetworkAclID.NotFound.
func LookupNetworkACL(tx *store.Tx, home resource.Home, id string) (resource.NetworkACL, error) {
	return lookup(tx.NetworkACLs, NetworkACLs, home, id, func(a resource.NetworkACL) resource.Home { return a.Home })
}

// NetworkACL makes an ACL for a VPC that allows nothing.
func NetworkACL(tx *store.Tx, home resource.Home, vpc string, tags resource.Tags) (resource.NetworkACL, error) {
	if _, err := LookupVPC(tx, home, vpc); err != nil {
		return resource.NetworkACL{}, err
	}
	a := resource.NetworkACL{Home: home, ID: awsid.New("acl"), VPC: vpc, Tags: tags}
	tx.NetworkACLs.Put(a.ID, a)
	return a, nil
}

// defaultACL makes a VPC's default ACL, which allows everything.
func defaultACL(tx *store.Tx, home resource.Home, vpc string) {
	all := resource.NetworkACLEntry{Number: 100, Allow: true, Protocol: "-1", CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0), FromPort: -1, ToPort: -1}
	out := all
	out.Egress = true
	a := resource.NetworkACL{Home: home, ID: awsid.New("acl"), VPC: vpc, Default: true, Entries: []resource.NetworkACLEntry{all, out}}
	if v, ok := tx.VPCs.Get(vpc); ok && len(v.CIDRs6) > 0 {
		allow6(&a)
	}
	tx.NetworkACLs.Put(a.ID, a)
}

// ACLOf is the ACL that a subnet is associated with, and whether there is one: VPCs of
// before there were any have none, and everything passes.
func ACLOf(tx *store.Tx, subnet string) (resource.NetworkACL, string, bool) {
	for _, a := range tx.NetworkACLs.All() {
		for id, s := range a.Associations {
			if s == subnet {
				a, _ = tx.NetworkACLs.Get(a.ID)
				return a, id, true
			}
		}
	}
	return resource.NetworkACL{}, "", false
}

// associateDefaultACL has a new subnet filtered by its VPC's default ACL.
func associateDefaultACL(tx *store.Tx, s resource.Subnet) {
	for a := range tx.NetworkACLs.Values(func(a resource.NetworkACL) bool { return a.VPC == s.VPC && a.Default }) {
		associateACL(tx, a.ID, s.ID)
		return
	}
}

func associateACL(tx *store.Tx, acl, subnet string) string {
	a, _ := tx.NetworkACLs.Get(acl)
	if a.Associations == nil {
		a.Associations = map[string]string{}
	}
	id := awsid.New("aclassoc")
	a.Associations[id] = subnet
	tx.NetworkACLs.Put(acl, a)
	return id
}

func disassociateACL(tx *store.Tx, subnet string) {
	if a, id, ok := ACLOf(tx, subnet); ok {
		delete(a.Associations, id)
		tx.NetworkACLs.Put(a.ID, a)
	}
}

// ReplaceACL associates the subnet of an association with another ACL and returns the id
// of the new association.
func ReplaceACL(tx *store.Tx, home resource.Home, association, acl string) (string, error) {
	to, err := LookupNetworkACL(tx, home, acl)
	if err != nil {
		return "", err
	}
	for _, a := range tx.NetworkACLs.All() {
		subnet, ok := a.Associations[association]
		if !ok || a.Home != home {
			continue
		}
		if a.VPC != to.VPC {
			return "", fault("InvalidParameterValue", "Network ACL %s and subnet %s belong to different networks", to.ID, subnet)
		}
		disassociateACL(tx, subnet)
		return associateACL(tx, to.ID, subnet), nil
	}
	return "", fault("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", association)
}

// PutACLEntry adds an entry or, with replace, changes the one of its number.
func PutACLEntry(tx *store.Tx, home resource.Home, acl string, e resource.NetworkACLEntry, replace bool) error {
	a, err := LookupNetworkACL(tx, home, acl)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(a.Entries, func(o resource.NetworkACLEntry) bool { return o.Number == e.Number && o.Egress == e.Egress })
	switch {
	case e.Number < 1 || e.Number > 32766:
		return fault("InvalidParameterValue", "Value (%d) for parameter ruleNumber is invalid. The value must be between 1 and 32766", e.Number)
	case at >= 0 && !replace:
		return fault("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", e.Number)
	case at < 0 && replace:
		return noACLEntry(e.Number)
	case at >= 0:
		a.Entries[at] = e
	default:
		n := 0
		for _, o := range a.Entries {
			if o.Egress == e.Egress {
				n++
			}
		}
		if n >= aclEntries {
			return fault("NetworkAclEntryLimitExceeded", "The maximum number of network acl entries has been reached.")
		}
		a.Entries = append(a.Entries, e)
	}
	slices.SortFunc(a.Entries, func(x, y resource.NetworkACLEntry) int { return cmp.Compare(x.Number, y.Number) })
	tx.NetworkACLs.Put(a.ID, a)
	return nil
}

func noACLEntry(number int32) error {
	return fault("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", number)
}

// DeleteACLEntry takes an entry away.
func DeleteACLEntry(tx *store.Tx, home resource.Home, acl string, number int32, egress bool) error {
	a, err := LookupNetworkACL(tx, home, acl)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(a.Entries, func(o resource.NetworkACLEntry) bool { return o.Number == number && o.Egress == egress })
	if at < 0 {
		return noACLEntry(number)
	}
	a.Entries = slices.Delete(a.Entries, at, at+1)
	tx.NetworkACLs.Put(a.ID, a)
	return nil
}

// DeleteNetworkACL takes an ACL away that no subnet is associated with.
func DeleteNetworkACL(tx *store.Tx, home resource.Home, id string) error {
	a, err := LookupNetworkACL(tx, home, id)
	if err != nil {
		return err
	}
	switch {
	case a.Default:
		return fault("InvalidParameterValue", "cannot delete default network ACL %s", id)
	case len(a.Associations) > 0:
		return fault("DependencyViolation", "The networkAcl '%s' has dependencies and cannot be deleted.", id)
	}
	tx.NetworkACLs.Delete(id)
	return nil
}
