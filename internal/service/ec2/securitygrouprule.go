package ec2

import (
	"cmp"
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// AuthorizeSecurityGroupIngress lets more in.
func (s *Service) AuthorizeSecurityGroupIngress(ctx context.Context, call awsapi.Call, in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	rules, err := s.authorize(ctx, call, in.DryRun, false, in.GroupId, in.GroupName, in.TagSpecifications, ruleRequest{
		in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId,
	})
	return &ec2.AuthorizeSecurityGroupIngressOutput{Return: new(true), SecurityGroupRules: rules}, err
}

// AuthorizeSecurityGroupEgress lets more out.
func (s *Service) AuthorizeSecurityGroupEgress(ctx context.Context, call awsapi.Call, in *ec2.AuthorizeSecurityGroupEgressInput) (*ec2.AuthorizeSecurityGroupEgressOutput, error) {
	rules, err := s.authorize(ctx, call, in.DryRun, true, in.GroupId, nil, in.TagSpecifications, ruleRequest{
		in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId,
	})
	return &ec2.AuthorizeSecurityGroupEgressOutput{Return: new(true), SecurityGroupRules: rules}, err
}

func (s *Service) authorize(ctx context.Context, call awsapi.Call, dryRun *bool, egress bool, id, name *string, specs []ec2.TagSpecification, r ruleRequest) ([]ec2.SecurityGroupRule, error) {
	tags, err := specTags(specs, "security-group-rule")
	if err != nil {
		return nil, err
	}
	var out []ec2.SecurityGroupRule
	err = s.update(ctx, call, dryRun, func(tx *store.Tx) error {
		group, err := groupID(tx, homeOf(call), id, name)
		if err != nil {
			return err
		}
		rules, err := readRules(tx, homeOf(call), egress, r)
		if err != nil {
			return err
		}
		if len(rules) == 0 {
			return missing("ipPermissions")
		}
		for i := range rules {
			rules[i].Tags = tags["security-group-rule"]
		}
		added, err := provision.AuthorizeRules(tx, homeOf(call), group, rules)
		for _, rule := range added {
			out = append(out, describeRule(tx, homeOf(call), group, rule))
		}
		return err
	})
	return out, err
}

// RevokeSecurityGroupIngress lets less in.
func (s *Service) RevokeSecurityGroupIngress(ctx context.Context, call awsapi.Call, in *ec2.RevokeSecurityGroupIngressInput) (*ec2.RevokeSecurityGroupIngressOutput, error) {
	taken, unknown, err := s.revoke(ctx, call, in.DryRun, false, in.GroupId, in.GroupName, in.SecurityGroupRuleIds, ruleRequest{
		in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId,
	})
	return &ec2.RevokeSecurityGroupIngressOutput{Return: new(true), RevokedSecurityGroupRules: taken, UnknownIpPermissions: unknown}, err
}

// RevokeSecurityGroupEgress lets less out.
func (s *Service) RevokeSecurityGroupEgress(ctx context.Context, call awsapi.Call, in *ec2.RevokeSecurityGroupEgressInput) (*ec2.RevokeSecurityGroupEgressOutput, error) {
	taken, unknown, err := s.revoke(ctx, call, in.DryRun, true, in.GroupId, nil, in.SecurityGroupRuleIds, ruleRequest{
		in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId,
	})
	return &ec2.RevokeSecurityGroupEgressOutput{Return: new(true), RevokedSecurityGroupRules: taken, UnknownIpPermissions: unknown}, err
}

func (s *Service) revoke(ctx context.Context, call awsapi.Call, dryRun *bool, egress bool, id, name *string, ids []string, r ruleRequest) (taken []ec2.RevokedSecurityGroupRule, unknown []ec2.IpPermission, err error) {
	err = s.update(ctx, call, dryRun, func(tx *store.Tx) error {
		group, err := groupID(tx, homeOf(call), id, name)
		if err != nil {
			return err
		}
		g, err := provision.LookupSecurityGroup(tx, homeOf(call), group)
		if err != nil {
			return err
		}
		rules, err := readRules(tx, homeOf(call), egress, r)
		if err != nil {
			return err
		}
		if len(rules)+len(ids) == 0 {
			return missing("ipPermissions")
		}
		gone, left, err := provision.RevokeRules(tx, homeOf(call), group, egress, ids, rules)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			// In a default VPC EC2 goes on and says what it has not found.
			if v, _ := tx.VPCs.Get(g.VPC); !v.Default {
				return fault("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			unknown = permissions(tx, g, left, egress)
		}
		for _, rule := range gone {
			d := describeRule(tx, homeOf(call), group, rule)
			t := ec2.RevokedSecurityGroupRule{
				SecurityGroupRuleId: d.SecurityGroupRuleId, GroupId: d.GroupId, IsEgress: d.IsEgress, IpProtocol: d.IpProtocol, FromPort: d.FromPort,
				ToPort: d.ToPort, CidrIpv4: d.CidrIpv4, CidrIpv6: d.CidrIpv6, PrefixListId: d.PrefixListId, Description: d.Description,
			}
			if d.ReferencedGroupInfo != nil {
				t.ReferencedGroupId = d.ReferencedGroupInfo.GroupId
			}
			taken = append(taken, t)
		}
		return nil
	})
	return taken, unknown, err
}

// ModifySecurityGroupRules makes other rules of those with the ids. A rule keeps its
// direction; the request says all else of it.
func (s *Service) ModifySecurityGroupRules(ctx context.Context, call awsapi.Call, in *ec2.ModifySecurityGroupRulesInput) (*ec2.ModifySecurityGroupRulesOutput, error) {
	if len(in.SecurityGroupRules) == 0 {
		return nil, missing("SecurityGroupRules")
	}
	return &ec2.ModifySecurityGroupRulesOutput{Return: new(true)}, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		var rules []resource.SecurityGroupRule
		for _, u := range in.SecurityGroupRules {
			rule, err := modifiedRule(tx, homeOf(call), u.SecurityGroupRule)
			if err != nil {
				return err
			}
			rule.ID = deref(u.SecurityGroupRuleId)
			rules = append(rules, rule)
		}
		return provision.ModifyRules(tx, homeOf(call), deref(in.GroupId), rules)
	})
}

// modifiedRule reads what a rule is to be: it is a permission of one source.
func modifiedRule(tx *store.Tx, home resource.Home, r *ec2.SecurityGroupRuleRequest) (resource.SecurityGroupRule, error) {
	if r == nil {
		return resource.SecurityGroupRule{}, missing("SecurityGroupRule")
	}
	p := ec2.IpPermission{IpProtocol: r.IpProtocol, FromPort: r.FromPort, ToPort: r.ToPort}
	if r.CidrIpv4 != nil {
		p.IpRanges = []ec2.IpRange{{CidrIp: r.CidrIpv4, Description: r.Description}}
	}
	if r.CidrIpv6 != nil {
		p.Ipv6Ranges = []ec2.Ipv6Range{{CidrIpv6: r.CidrIpv6, Description: r.Description}}
	}
	if r.PrefixListId != nil {
		p.PrefixListIds = []ec2.PrefixListId{{PrefixListId: r.PrefixListId, Description: r.Description}}
	}
	if r.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []ec2.UserIdGroupPair{{GroupId: r.ReferencedGroupId, Description: r.Description}}
	}
	rules, err := readRules(tx, home, false, ruleRequest{permissions: []ec2.IpPermission{p}})
	if err != nil {
		return resource.SecurityGroupRule{}, err
	}
	if len(rules) != 1 {
		return resource.SecurityGroupRule{}, fault("InvalidParameterCombination", "Only one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId can be specified for a security group rule.")
	}
	return rules[0], nil
}

// DescribeSecurityGroupRules lists the rules of all security groups.
func (s *Service) DescribeSecurityGroupRules(ctx context.Context, call awsapi.Call, in *ec2.DescribeSecurityGroupRulesInput) (*ec2.DescribeSecurityGroupRulesOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.SecurityGroupRule]{
		"group-id":               func(r ec2.SecurityGroupRule) []string { return text(r.GroupId) },
		"security-group-rule-id": func(r ec2.SecurityGroupRule) []string { return text(r.SecurityGroupRuleId) },
	}, func(r ec2.SecurityGroupRule) []ec2.Tag { return r.Tags })
	if err != nil {
		return nil, err
	}
	for _, id := range in.SecurityGroupRuleIds {
		if err := provision.SecurityRules.Check(id); err != nil {
			return nil, err
		}
	}
	out := &ec2.DescribeSecurityGroupRulesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		home := homeOf(call)
		gone := slices.Clone(in.SecurityGroupRuleIds)
		var all []ec2.SecurityGroupRule
		for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.Home == home }) {
			for _, r := range g.Rules {
				if len(in.SecurityGroupRuleIds) > 0 && !slices.Contains(in.SecurityGroupRuleIds, r.ID) {
					continue
				}
				gone = slices.DeleteFunc(gone, func(id string) bool { return id == r.ID })
				if d := describeRule(tx, home, g.ID, r); match(d) {
					all = append(all, d)
				}
			}
		}
		if len(gone) > 0 {
			return provision.SecurityRules.NotFound(gone...)
		}
		key := func(r ec2.SecurityGroupRule) string { return *r.SecurityGroupRuleId }
		slices.SortFunc(all, func(a, b ec2.SecurityGroupRule) int { return cmp.Compare(key(a), key(b)) })
		out.SecurityGroupRules, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 1000)
		return err
	})
}

func describeRule(tx *store.Tx, home resource.Home, group string, r resource.SecurityGroupRule) ec2.SecurityGroupRule {
	out := ec2.SecurityGroupRule{
		SecurityGroupRuleId: &r.ID, GroupId: &group, GroupOwnerId: &home.Account, IsEgress: &r.Egress, IpProtocol: &r.Protocol,
		FromPort: &r.FromPort, ToPort: &r.ToPort, PrefixListId: some(r.PrefixList), Description: some(r.Description), Tags: tagSet(r.Tags),
		SecurityGroupRuleArn: new("arn:aws:ec2:" + home.Region + ":" + home.Account + ":security-group-rule/" + r.ID),
	}
	switch {
	case r.Group != "":
		peer, _ := tx.SecurityGroups.Get(r.Group)
		out.ReferencedGroupInfo = &ec2.ReferencedSecurityGroup{GroupId: &r.Group, UserId: &home.Account, VpcId: some(peer.VPC)}
		if g, ok := tx.SecurityGroups.Get(group); ok && peer.VPC != "" && peer.VPC != g.VPC {
			c, _ := peeringBetween(tx, g.VPC, peer.VPC)
			out.ReferencedGroupInfo.VpcPeeringConnectionId, out.ReferencedGroupInfo.PeeringStatus = some(c.ID), some(c.State)
		}
	case r.CIDR.IsValid() && r.CIDR.Addr().Is4():
		out.CidrIpv4 = new(r.CIDR.String())
	case r.CIDR.IsValid():
		out.CidrIpv6 = new(r.CIDR.String())
	}
	return out
}
