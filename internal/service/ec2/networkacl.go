package ec2

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateNetworkAcl makes an ACL that allows nothing.
func (s *Service) CreateNetworkAcl(ctx context.Context, call awsapi.Call, in *ec2.CreateNetworkAclInput) (*ec2.CreateNetworkAclOutput, error) {
	tags, err := specTags(in.TagSpecifications, "network-acl")
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateNetworkAclOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		a, err := provision.NetworkACL(tx, homeOf(call), *in.VpcId, tags["network-acl"])
		out.NetworkAcl = new(describeACL(a))
		return err
	})
}

// DeleteNetworkAcl takes an ACL away that no subnet has.
func (s *Service) DeleteNetworkAcl(ctx context.Context, call awsapi.Call, in *ec2.DeleteNetworkAclInput) (*ec2.DeleteNetworkAclOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteNetworkACL(tx, homeOf(call), *in.NetworkAclId)
	})
}

// CreateNetworkAclEntry adds a numbered rule to an ACL.
func (s *Service) CreateNetworkAclEntry(ctx context.Context, call awsapi.Call, in *ec2.CreateNetworkAclEntryInput) (*ec2.CreateNetworkAclEntryOutput, error) {
	e, err := readACLEntry(*in)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.PutACLEntry(tx, homeOf(call), *in.NetworkAclId, e, false)
	})
}

// ReplaceNetworkAclEntry changes a numbered rule.
func (s *Service) ReplaceNetworkAclEntry(ctx context.Context, call awsapi.Call, in *ec2.ReplaceNetworkAclEntryInput) (*ec2.ReplaceNetworkAclEntryOutput, error) {
	e, err := readACLEntry(ec2.CreateNetworkAclEntryInput{
		RuleNumber: in.RuleNumber, Protocol: in.Protocol, RuleAction: in.RuleAction, Egress: in.Egress, CidrBlock: in.CidrBlock,
		Ipv6CidrBlock: in.Ipv6CidrBlock, IcmpTypeCode: in.IcmpTypeCode, PortRange: in.PortRange,
	})
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.PutACLEntry(tx, homeOf(call), *in.NetworkAclId, e, true)
	})
}

// DeleteNetworkAclEntry takes a numbered rule away.
func (s *Service) DeleteNetworkAclEntry(ctx context.Context, call awsapi.Call, in *ec2.DeleteNetworkAclEntryInput) (*ec2.DeleteNetworkAclEntryOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteACLEntry(tx, homeOf(call), *in.NetworkAclId, *in.RuleNumber, is(in.Egress))
	})
}

// ReplaceNetworkAclAssociation gives a subnet another ACL.
func (s *Service) ReplaceNetworkAclAssociation(ctx context.Context, call awsapi.Call, in *ec2.ReplaceNetworkAclAssociationInput) (*ec2.ReplaceNetworkAclAssociationOutput, error) {
	out := &ec2.ReplaceNetworkAclAssociationOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		id, err := provision.ReplaceACL(tx, homeOf(call), *in.AssociationId, *in.NetworkAclId)
		out.NewAssociationId = &id
		return err
	})
}

// aclProtocols are the names that an ACL's protocols may have instead of a number.
var aclProtocols = map[string]string{"all": "-1", "tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58"}

func readACLEntry(in ec2.CreateNetworkAclEntryInput) (resource.NetworkACLEntry, error) {
	e := resource.NetworkACLEntry{Number: *in.RuleNumber, Egress: is(in.Egress), Allow: *in.RuleAction == ec2.RuleActionAllow, FromPort: -1, ToPort: -1}
	var err error
	if e.CIDR, err = readBlock(in.CidrBlock, in.Ipv6CidrBlock); err != nil {
		return e, err
	}
	e.Protocol = *in.Protocol
	if number, ok := aclProtocols[e.Protocol]; ok {
		e.Protocol = number
	}
	if n, err := strconv.Atoi(e.Protocol); err != nil || n < -1 || n > 255 {
		return e, fault("InvalidParameterValue", "Value (%s) for parameter protocol is invalid. Unknown protocol.", *in.Protocol)
	}
	switch e.Protocol {
	case "6", "17":
		if in.PortRange == nil {
			return e, missing("portRange")
		}
		e.FromPort, e.ToPort = deref(in.PortRange.From), deref(in.PortRange.To)
		if e.FromPort < 0 || e.ToPort > 65535 || e.FromPort > e.ToPort {
			return e, fault("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", e.FromPort, e.ToPort)
		}
	case "1", "58":
		if in.IcmpTypeCode == nil {
			return e, missing("icmpTypeCode")
		}
		e.FromPort, e.ToPort = deref(in.IcmpTypeCode.Type), deref(in.IcmpTypeCode.Code)
		if e.FromPort < -1 || e.FromPort > 255 || e.ToPort < -1 || e.ToPort > 255 {
			return e, fault("InvalidParameterValue", "ICMP code (%d:%d) is out of range", e.FromPort, e.ToPort)
		}
	}
	return e, nil
}

// DescribeNetworkAcls lists network ACLs.
func (s *Service) DescribeNetworkAcls(ctx context.Context, call awsapi.Call, in *ec2.DescribeNetworkAclsInput) (*ec2.DescribeNetworkAclsOutput, error) {
	out := &ec2.DescribeNetworkAclsOutput{}
	of := func(f func(ec2.NetworkAclAssociation) *string) func(ec2.NetworkAcl) []string {
		return func(a ec2.NetworkAcl) []string {
			return each(a.Associations, func(x ec2.NetworkAclAssociation) []string { return text(f(x)) })
		}
	}
	entry := func(f func(ec2.NetworkAclEntry) []string) func(ec2.NetworkAcl) []string {
		return func(a ec2.NetworkAcl) []string { return each(a.Entries, f) }
	}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.NetworkAcls, out.NextToken, err = kind[resource.NetworkACL, ec2.NetworkAcl]{
			noun: provision.NetworkACLs, table: tx.NetworkACLs,
			home:     func(a resource.NetworkACL) resource.Home { return a.Home },
			describe: describeACL,
			id:       func(a ec2.NetworkAcl) string { return *a.NetworkAclId },
			tags:     func(a ec2.NetworkAcl) []ec2.Tag { return a.Tags },
			fields: fields[ec2.NetworkAcl]{
				"association.association-id": of(func(x ec2.NetworkAclAssociation) *string { return x.NetworkAclAssociationId }),
				"association.network-acl-id": of(func(x ec2.NetworkAclAssociation) *string { return x.NetworkAclId }),
				"association.subnet-id":      of(func(x ec2.NetworkAclAssociation) *string { return x.SubnetId }),
				"default":                    func(a ec2.NetworkAcl) []string { return flag(a.IsDefault) },
				"entry.cidr":                 entry(func(e ec2.NetworkAclEntry) []string { return text(e.CidrBlock) }),
				"entry.egress":               entry(func(e ec2.NetworkAclEntry) []string { return flag(e.Egress) }),
				"entry.protocol":             entry(func(e ec2.NetworkAclEntry) []string { return text(e.Protocol) }),
				"entry.rule-action":          entry(func(e ec2.NetworkAclEntry) []string { return text(e.RuleAction) }),
				"entry.rule-number":          entry(func(e ec2.NetworkAclEntry) []string { return integer(e.RuleNumber) }),
				"entry.ipv6-cidr":            entry(func(e ec2.NetworkAclEntry) []string { return text(e.Ipv6CidrBlock) }),
				"network-acl-id":             func(a ec2.NetworkAcl) []string { return text(a.NetworkAclId) },
				"owner-id":                   func(a ec2.NetworkAcl) []string { return text(a.OwnerId) },
				"vpc-id":                     func(a ec2.NetworkAcl) []string { return text(a.VpcId) },
			},
		}.list(homeOf(call), query{in.NetworkAclIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

// lastEntry is the rule that every ACL ends with, in both directions.
const lastEntry = 32767

func describeACL(a resource.NetworkACL) ec2.NetworkAcl {
	out := ec2.NetworkAcl{NetworkAclId: &a.ID, VpcId: &a.VPC, OwnerId: &a.Account, IsDefault: &a.Default, Tags: tagSet(a.Tags)}
	for _, id := range slices.Sorted(maps.Keys(a.Associations)) {
		out.Associations = append(out.Associations, ec2.NetworkAclAssociation{
			NetworkAclAssociationId: &id, NetworkAclId: &a.ID, SubnetId: new(a.Associations[id]),
		})
	}
	for _, egress := range []bool{true, false} {
		for _, e := range a.Entries {
			if e.Egress == egress {
				out.Entries = append(out.Entries, describeACLEntry(e))
			}
		}
		out.Entries = append(out.Entries, ec2.NetworkAclEntry{
			RuleNumber: new(int32(lastEntry)), Egress: &egress, Protocol: new("-1"), RuleAction: new(ec2.RuleActionDeny), CidrBlock: new("0.0.0.0/0"),
		})
		if slices.ContainsFunc(a.Entries, func(e resource.NetworkACLEntry) bool { return e.CIDR.Addr().Is6() }) {
			out.Entries = append(out.Entries, ec2.NetworkAclEntry{
				RuleNumber: new(int32(lastEntry + 1)), Egress: &egress, Protocol: new("-1"), RuleAction: new(ec2.RuleActionDeny), Ipv6CidrBlock: new("::/0"),
			})
		}
	}
	return out
}

func describeACLEntry(e resource.NetworkACLEntry) ec2.NetworkAclEntry {
	out := ec2.NetworkAclEntry{
		RuleNumber: &e.Number, Egress: &e.Egress, Protocol: &e.Protocol, RuleAction: new(enabled(e.Allow, ec2.RuleActionAllow, ec2.RuleActionDeny)),
	}
	if e.CIDR.Addr().Is6() {
		out.Ipv6CidrBlock = new(e.CIDR.String())
	} else {
		out.CidrBlock = new(e.CIDR.String())
	}
	switch e.Protocol {
	case "6", "17":
		out.PortRange = &ec2.PortRange{From: &e.FromPort, To: &e.ToPort}
	case "1", "58":
		out.IcmpTypeCode = &ec2.IcmpTypeCode{Type: &e.FromPort, Code: &e.ToPort}
	}
	return out
}
