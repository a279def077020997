package provision

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Pool6 is where the IPv6 blocks of VPCs are from: what stands for the internet of IPv6
// here. Its first block is the internet's own.
var Pool6 = netip.MustParsePrefix("2001:db8::/32")

// Sizes of IPv6 blocks.
const (
	vpcBits6    = 56
	subnetBits6 = 64
	prefixBits6 = 80 // of an interface's
	prefixBits4 = 28
)

// blocks6PerVPC is EC2's default quota.
const blocks6PerVPC = 5

var (
	all4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	all6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// AssociateBlock6 gives a VPC a block of IPv6 addresses that no other one has. The default
// group and the default ACL then let IPv6 out, and through, as they do IPv4.
func AssociateBlock6(tx *store.Tx, home resource.Home, vpc string) (resource.VPC, resource.CIDRAssociation, error) {
	v, err := LookupVPC(tx, home, vpc)
	if err != nil {
		return v, resource.CIDRAssociation{}, err
	}
	if len(v.CIDRs6) >= blocks6PerVPC {
		return v, resource.CIDRAssociation{}, fault("CidrLimitExceeded", "This network '%s' has met its maximum number of allowed CIDRs: %d", v.ID, blocks6PerVPC)
	}
	used := map[netip.Prefix]bool{netip.PrefixFrom(Pool6.Addr(), vpcBits6): true}
	for _, other := range tx.VPCs.All() {
		for _, c := range other.CIDRs6 {
			used[c.CIDR] = true
		}
	}
	c := resource.CIDRAssociation{ID: awsid.New("vpc-cidr-assoc")}
	for c.CIDR = random6(Pool6, vpcBits6); used[c.CIDR]; c.CIDR = random6(Pool6, vpcBits6) {
	}
	v.CIDRs6 = append(v.CIDRs6, c)
	tx.VPCs.Put(v.ID, v)
	if g, ok := tx.SecurityGroups.Get(v.DefaultGroup); ok {
		tx.SecurityGroups.Put(g.ID, letsOut6(g))
	}
	for key, a := range tx.NetworkACLs.All() {
		if a.VPC == v.ID && a.Default {
			a, _ = tx.NetworkACLs.Get(key)
			allow6(&a)
			tx.NetworkACLs.Put(key, a)
		}
	}
	return v, c, nil
}

// letsOut6 is g with a rule that lets IPv6 out, if it is not there and one for IPv4 is.
func letsOut6(g resource.SecurityGroup) resource.SecurityGroup {
	out := func(all netip.Prefix) func(resource.SecurityGroupRule) bool {
		return func(r resource.SecurityGroupRule) bool { return r.Egress && r.Protocol == "-1" && r.CIDR == all }
	}
	if slices.ContainsFunc(g.Rules, out(all4)) && !slices.ContainsFunc(g.Rules, out(all6)) {
		g.Rules = append(g.Rules, resource.SecurityGroupRule{ID: awsid.New("sgr"), Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: all6})
	}
	return g
}

// allow6 adds the entries 101 to an ACL that still has its own for IPv4.
func allow6(a *resource.NetworkACL) {
	for _, egress := range []bool{false, true} {
		has := func(all netip.Prefix) bool {
			return slices.ContainsFunc(a.Entries, func(e resource.NetworkACLEntry) bool {
				return e.Egress == egress && e.Allow && e.Protocol == "-1" && e.CIDR == all
			})
		}
		taken := slices.ContainsFunc(a.Entries, func(e resource.NetworkACLEntry) bool { return e.Egress == egress && e.Number == 101 })
		if has(all4) && !has(all6) && !taken {
			a.Entries = append(a.Entries, resource.NetworkACLEntry{Number: 101, Egress: egress, Allow: true, Protocol: "-1", CIDR: all6, FromPort: -1, ToPort: -1})
		}
	}
}

// AssociateSubnet6 gives a subnet its block of IPv6 addresses.
func AssociateSubnet6(tx *store.Tx, home resource.Home, subnet string, block netip.Prefix) (resource.Subnet, error) {
	s, err := LookupSubnet(tx, home, subnet)
	if err != nil {
		return s, err
	}
	v, err := LookupVPC(tx, home, s.VPC)
	if err != nil {
		return s, err
	}
	if s.CIDR6.CIDR.IsValid() {
		return s, fault("InvalidParameterValue", "The subnet '%s' already has an IPv6 CIDR block associated.", s.ID)
	}
	inside := slices.ContainsFunc(v.CIDRs6, func(c resource.CIDRAssociation) bool { return c.CIDR.Contains(block.Addr()) })
	if !inside || block.Bits() != subnetBits6 {
		return s, fault("InvalidSubnet.Range", "The CIDR '%s' is invalid.", block)
	}
	for _, other := range tx.Subnets.All() {
		if other.CIDR6.CIDR == block {
			return s, fault("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
		}
	}
	s.CIDR6 = resource.CIDRAssociation{ID: awsid.New("subnet-cidr-assoc"), CIDR: block}
	tx.Subnets.Put(s.ID, s)
	return s, nil
}

// DisassociateBlock6 takes the IPv6 block away that has the association id. It says whether
// there is such a block.
func DisassociateBlock6(tx *store.Tx, home resource.Home, association string) (vpc string, c resource.CIDRAssociation, found bool, err error) {
	for id, v := range tx.VPCs.All() {
		at := slices.IndexFunc(v.CIDRs6, func(c resource.CIDRAssociation) bool { return c.ID == association })
		if at < 0 || v.Home != home {
			continue
		}
		c = v.CIDRs6[at]
		for range tx.Subnets.Values(func(s resource.Subnet) bool { return s.VPC == id && c.CIDR.Overlaps(s.CIDR6.CIDR) }) {
			return id, c, true, fault("InvalidCidrBlock.InUse", "The vpc CIDR block with association ID %s is in use", c.ID)
		}
		v, _ = tx.VPCs.Get(id)
		v.CIDRs6 = slices.Delete(v.CIDRs6, at, at+1)
		tx.VPCs.Put(id, v)
		return id, c, true, nil
	}
	return "", c, false, nil
}

// DisassociateSubnet6 takes the block away that has the association id.
func DisassociateSubnet6(tx *store.Tx, home resource.Home, association string) (resource.Subnet, resource.CIDRAssociation, error) {
	for id, s := range tx.Subnets.All() {
		if s.Home != home || s.CIDR6.ID != association {
			continue
		}
		c := s.CIDR6
		for range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.Subnet == id && has6(i) }) {
			return s, c, fault("InvalidCidrBlock.InUse", "The subnet CIDR block with association ID %s is in use", association)
		}
		s, _ = tx.Subnets.Get(id)
		s.CIDR6, s.AssignIPv6 = resource.CIDRAssociation{}, false
		tx.Subnets.Put(id, s)
		return s, c, nil
	}
	return resource.Subnet{}, resource.CIDRAssociation{}, fault("InvalidSubnetCidrBlockAssociationID.NotFound", "The subnet CIDR block association ID '%s' does not exist", association)
}

func has6(i resource.NetworkInterface) bool {
	return len(i.Addresses6) > 0 || slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// A Request6 says what IPv6 addresses an interface is to get, and which whole ranges of
// either family.
type Request6 struct {
	Addresses []netip.Addr
	Count     int  // and as many of any
	Primary   bool // the interface's first address is to stay its own

	Prefixes []netip.Prefix // of either family
	Count6   int            // and as many IPv6 prefixes
	Count4   int            // and IPv4 ones
}

// Set takes what callers of EC2's API ask for.
func (r *Request6) Set(addresses []ec2.InstanceIpv6Address, count *int32, six []ec2.Ipv6PrefixSpecificationRequest, count6 *int32, four []ec2.Ipv4PrefixSpecificationRequest, count4 *int32) error {
	var list, prefixes []string
	for _, a := range addresses {
		list = append(list, deref(a.Ipv6Address))
	}
	for _, p := range six {
		prefixes = append(prefixes, deref(p.Ipv6Prefix))
	}
	for _, p := range four {
		prefixes = append(prefixes, deref(p.Ipv4Prefix))
	}
	return r.Read(list, count, prefixes, count6, count4)
}

// Read is Set for lists of text.
func (r *Request6) Read(addresses []string, count *int32, prefixes []string, count6, count4 *int32) error {
	r.Count, r.Count6, r.Count4 = int(deref(count)), int(deref(count6)), int(deref(count4))
	if min(r.Count, r.Count6, r.Count4) < 0 || r.Count > 0 && len(addresses) > 0 {
		return fault("InvalidParameterCombination", "Only one of ipv6Addresses and ipv6AddressCount may be specified")
	}
	for _, s := range addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() {
			return fault("InvalidParameterValue", "Invalid IPv6 address: %s", s)
		}
		r.Addresses = append(r.Addresses, a)
	}
	for _, s := range prefixes {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() {
			return fault("InvalidParameterValue", "Invalid prefix: %s", s)
		}
		r.Prefixes = append(r.Prefixes, p)
	}
	return nil
}

func (r Request6) empty() bool {
	return len(r.Addresses)+r.Count+len(r.Prefixes)+r.Count6+r.Count4 == 0
}

// Assign6 gives an interface more addresses and ranges, and returns the new ones.
func Assign6(tx *store.Tx, home resource.Home, id string, r Request6) (addresses []netip.Addr, prefixes []netip.Prefix, err error) {
	i, err := LookupInterface(tx, home, id)
	if err != nil || r.empty() {
		return nil, nil, err
	}
	s, err := LookupSubnet(tx, home, i.Subnet)
	if err != nil {
		return nil, nil, err
	}
	limit, err := addressesOf(tx, i)
	if err != nil {
		return nil, nil, err
	}
	six, four := r.Count6, r.Count4
	for _, p := range r.Prefixes {
		if p.Addr().Is6() {
			six++
		} else {
			four++
		}
	}
	if len(i.Addresses)+count(i.Prefixes, false)+four > limit || len(i.Addresses6)+count(i.Prefixes, true)+len(r.Addresses)+r.Count+six > limit {
		return nil, nil, addressLimit()
	}
	if (len(r.Addresses)+r.Count+six > 0) && !s.CIDR6.CIDR.IsValid() {
		return nil, nil, fault("InvalidParameterValue", "The subnet '%s' does not have an IPv6 CIDR block associated.", s.ID)
	}
	taken := takenOf(tx, s.ID)
	for _, a := range append(slices.Clone(r.Addresses), make([]netip.Addr, r.Count)...) {
		if a.IsValid() {
			if !s.CIDR6.CIDR.Contains(a) {
				return nil, nil, fault("InvalidParameterValue", "Address %s does not fall within the subnet's address range", a)
			}
			if taken.has(netip.PrefixFrom(a, a.BitLen())) {
				return nil, nil, fault("InvalidIPAddress.InUse", "Address %s is in use.", a)
			}
		} else {
			a = taken.free(s.CIDR6.CIDR, 128).Addr()
		}
		taken = append(taken, netip.PrefixFrom(a, a.BitLen()))
		addresses = append(addresses, a)
	}
	wants := slices.Clone(r.Prefixes)
	for _, p := range wants {
		if !(p.Addr().Is6() && p.Bits() == prefixBits6 && s.CIDR6.CIDR.Contains(p.Addr())) && !(p.Addr().Is4() && p.Bits() == prefixBits4 && s.CIDR.Contains(p.Addr())) {
			return nil, nil, fault("InvalidParameterValue", "Prefix %s is not a prefix of the subnet's address range", p)
		}
		if taken.has(p) {
			return nil, nil, fault("InvalidIPAddress.InUse", "Address %s is in use.", p)
		}
		taken = append(taken, p)
	}
	for range r.Count6 {
		p := taken.free(s.CIDR6.CIDR, prefixBits6)
		taken, wants = append(taken, p), append(wants, p)
	}
	for range r.Count4 {
		p, ok := taken.free4(s)
		if !ok {
			return nil, nil, fault("InsufficientCidrBlocks", "The specified subnet does not have enough free cidr blocks to satisfy the request.")
		}
		taken, wants = append(taken, p), append(wants, p)
	}
	i.Addresses6, i.Prefixes = append(i.Addresses6, addresses...), append(i.Prefixes, wants...)
	tx.Interfaces.Put(id, i)
	return addresses, wants, nil
}

// EnablePrimary6 makes an interface's first IPv6 address its primary one, for as long as the
// interface is there.
func EnablePrimary6(tx *store.Tx, home resource.Home, id string) error {
	i, err := LookupInterface(tx, home, id)
	if err != nil {
		return err
	}
	if len(i.Addresses6) == 0 {
		return fault("InvalidParameterCombination", "Network interface %s has no IPv6 address that could be its primary one", id)
	}
	i.PrimaryIPv6 = true
	tx.Interfaces.Put(id, i)
	return nil
}

// Unassign6 takes addresses and ranges away from an interface.
func Unassign6(tx *store.Tx, home resource.Home, id string, addresses []netip.Addr, prefixes []netip.Prefix) error {
	i, err := LookupInterface(tx, home, id)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		at := slices.Index(i.Addresses6, a)
		if at < 0 {
			return fault("InvalidParameterValue", "Some of %v are not assigned to interface %s", addresses, id)
		}
		if at == 0 && i.PrimaryIPv6 {
			return fault("OperationNotPermitted", "The primary IPv6 address %s of interface %s cannot be unassigned", a, id)
		}
		i.Addresses6 = slices.Delete(i.Addresses6, at, at+1)
	}
	for _, p := range prefixes {
		at := slices.Index(i.Prefixes, p)
		if at < 0 {
			return fault("InvalidParameterValue", "Some of %v are not assigned to interface %s", prefixes, id)
		}
		i.Prefixes = slices.Delete(i.Prefixes, at, at+1)
	}
	tx.Interfaces.Put(id, i)
	return nil
}

func count(prefixes []netip.Prefix, v6 bool) (n int) {
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			n++
		}
	}
	return n
}

// taken are the ranges of a subnet that interfaces have.
type taken []netip.Prefix

func takenOf(tx *store.Tx, subnet string) (out taken) {
	for _, i := range tx.Interfaces.All() {
		if i.Subnet != subnet {
			continue
		}
		out = append(out, i.Prefixes...)
		for _, a := range slices.Concat(i.Addresses, i.Addresses6) {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

func (t taken) has(p netip.Prefix) bool {
	return slices.ContainsFunc(t, func(o netip.Prefix) bool { return o.Overlaps(p) })
}

// free is a range of an IPv6 block that nobody has: there always is one. The block's first
// range of that size is not given out.
func (t taken) free(block netip.Prefix, bits int) netip.Prefix {
	for {
		if p := random6(block, bits); !t.has(p) && p.Addr() != block.Addr() {
			return p
		}
	}
}

// free4 is a range of 16 addresses of a subnet, without the reserved ones.
func (t taken) free4(s resource.Subnet) (netip.Prefix, bool) {
	var all []netip.Prefix
	for at := uint32(16); at+16 < size(s); at += 16 {
		if p := netip.PrefixFrom(addressAt(s, at), prefixBits4); !t.has(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return netip.Prefix{}, false
	}
	return all[rand.IntN(len(all))], true
}

// random6 is a random range of a block.
func random6(block netip.Prefix, bits int) netip.Prefix {
	b := block.Masked().Addr().As16()
	for i := block.Bits(); i < bits; i++ {
		if rand.IntN(2) == 1 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), bits)
}
