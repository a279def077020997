package ec2

import (
	"net/netip"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A ruleRequest is what the four Authorize and Revoke operations take: permissions, or
// one rule in the members that EC2-Classic had.
type ruleRequest struct {
	permissions    []ec2.IpPermission
	protocol, cidr *string
	from, to       *int32
	group          *string // SourceSecurityGroupName
	groupOwner     *string
}

// readRules turns permissions into rules: one for every source or destination.
func readRules(tx *store.Tx, home resource.Home, egress bool, r ruleRequest) ([]resource.SecurityGroupRule, error) {
	list := r.permissions
	if r.protocol != nil || r.cidr != nil || r.group != nil {
		p := ec2.IpPermission{IpProtocol: r.protocol, FromPort: r.from, ToPort: r.to}
		if r.cidr != nil {
			p.IpRanges = []ec2.IpRange{{CidrIp: r.cidr}}
		}
		if r.group != nil {
			p.UserIdGroupPairs = []ec2.UserIdGroupPair{{GroupName: r.group, UserId: r.groupOwner}}
			if p.IpProtocol == nil { // all traffic from the group
				p.IpProtocol = new("-1")
			}
		}
		list = append(list, p)
	}
	var out []resource.SecurityGroupRule
	for _, p := range list {
		if p.IpProtocol == nil {
			return nil, missing("ipProtocol")
		}
		protocol, err := provision.Protocol(*p.IpProtocol)
		if err != nil {
			return nil, err
		}
		rule := resource.SecurityGroupRule{Egress: egress, Protocol: protocol, FromPort: -1, ToPort: -1}
		if p.FromPort != nil {
			rule.FromPort = *p.FromPort
		}
		if p.ToPort != nil {
			rule.ToPort = *p.ToPort
		}
		before := len(out)
		for _, c := range p.IpRanges {
			if rule.CIDR, err = readRange(deref(c.CidrIp), netip.Addr.Is4); err != nil {
				return nil, err
			}
			rule.Description = deref(c.Description)
			out = append(out, rule)
		}
		for _, c := range p.Ipv6Ranges {
			if rule.CIDR, err = readRange(deref(c.CidrIpv6), netip.Addr.Is6); err != nil {
				return nil, err
			}
			rule.Description = deref(c.Description)
			out = append(out, rule)
		}
		rule.CIDR = netip.Prefix{}
		for _, u := range p.UserIdGroupPairs {
			if owner := deref(u.UserId); owner != "" && owner != home.Account {
				return nil, provision.SecurityGroups.NotFound(or(deref(u.GroupId), deref(u.GroupName)))
			}
			if rule.Group, err = groupID(tx, home, u.GroupId, u.GroupName); err != nil {
				return nil, err
			}
			rule.Description = deref(u.Description)
			out = append(out, rule)
		}
		rule.Group = ""
		for _, l := range p.PrefixListIds {
			rule.PrefixList, rule.Description = deref(l.PrefixListId), deref(l.Description)
			out = append(out, rule)
		}
		if len(out) == before {
			return nil, fault("MissingParameter", "Missing source specification: include source security group or CIDR information")
		}
	}
	return out, nil
}

func readRange(s string, family func(netip.Addr) bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !family(p.Addr()) {
		return p, fault("InvalidParameterValue", "CIDR block %s is malformed", s)
	}
	return p.Masked(), nil
}

// permissions shows rules of one direction in EC2's older form: one entry for all
// sources of the same protocol and ports.
func permissions(tx *store.Tx, g resource.SecurityGroup, rules []resource.SecurityGroupRule, egress bool) []ec2.IpPermission {
	var out []ec2.IpPermission
	type ports struct {
		protocol string
		from, to int32
	}
	index := map[ports]int{}
	for _, r := range rules {
		if r.Egress != egress {
			continue
		}
		key := ports{r.Protocol, r.FromPort, r.ToPort}
		at, ok := index[key]
		if !ok {
			at = len(out)
			index[key] = at
			p := ec2.IpPermission{IpProtocol: &r.Protocol}
			if hasPorts(r.Protocol) {
				p.FromPort, p.ToPort = &r.FromPort, &r.ToPort
			}
			out = append(out, p)
		}
		p := &out[at]
		switch {
		case r.Group != "":
			pair := ec2.UserIdGroupPair{GroupId: &r.Group, UserId: &g.Account, Description: some(r.Description)}
			if peer, ok := tx.SecurityGroups.Get(r.Group); ok && peer.VPC != g.VPC {
				c, _ := peeringBetween(tx, g.VPC, peer.VPC)
				pair.VpcId, pair.VpcPeeringConnectionId, pair.PeeringStatus = &peer.VPC, some(c.ID), some(c.State)
			}
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, pair)
		case r.PrefixList != "":
			p.PrefixListIds = append(p.PrefixListIds, ec2.PrefixListId{PrefixListId: &r.PrefixList, Description: some(r.Description)})
		case r.CIDR.Addr().Is4():
			p.IpRanges = append(p.IpRanges, ec2.IpRange{CidrIp: new(r.CIDR.String()), Description: some(r.Description)})
		default:
			p.Ipv6Ranges = append(p.Ipv6Ranges, ec2.Ipv6Range{CidrIpv6: new(r.CIDR.String()), Description: some(r.Description)})
		}
	}
	return out
}

// hasPorts says whether EC2 shows ports with a protocol.
func hasPorts(protocol string) bool { return strings.Trim(protocol, "-0123456789") != "" }
