package ec2

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateSecurityGroup makes a security group, in the default VPC where none is named.
func (s *Service) CreateSecurityGroup(ctx context.Context, call awsapi.Call, in *ec2.CreateSecurityGroupInput) (*ec2.CreateSecurityGroupOutput, error) {
	tags, err := specTags(in.TagSpecifications, "security-group")
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateSecurityGroupOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		vpc := deref(in.VpcId)
		if vpc == "" {
			v, ok := provision.DefaultVPC(tx, homeOf(call))
			if !ok {
				return fault("VPCIdNotSpecified", "No default VPC for this user")
			}
			vpc = v.ID
		}
		g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{
			Home: homeOf(call), VPC: vpc, Name: *in.GroupName, Description: *in.Description, Tags: tags["security-group"],
		})
		out.GroupId, out.Tags, out.SecurityGroupArn = &g.ID, tagSet(g.Tags), new(groupARN(g))
		return err
	})
}

func groupARN(g resource.SecurityGroup) string {
	return "arn:aws:ec2:" + g.Region + ":" + g.Account + ":security-group/" + g.ID
}

// DeleteSecurityGroup takes a security group away that nothing uses.
func (s *Service) DeleteSecurityGroup(ctx context.Context, call awsapi.Call, in *ec2.DeleteSecurityGroupInput) (*ec2.DeleteSecurityGroupOutput, error) {
	out := &ec2.DeleteSecurityGroupOutput{Return: new(true)}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		id, err := groupID(tx, homeOf(call), in.GroupId, in.GroupName)
		if err != nil {
			return err
		}
		out.GroupId = &id
		return provision.DeleteSecurityGroup(tx, homeOf(call), id)
	})
}

// groupID is the id of a group that is named by its id or, in the default VPC, by name.
func groupID(tx *store.Tx, home resource.Home, id, name *string) (string, error) {
	switch {
	case deref(id) != "":
		return *id, nil
	case deref(name) == "":
		return "", fault("MissingParameter", "The request must contain the parameter groupName or groupId")
	}
	vpc := "" // no default VPC: no group is in it
	if v, ok := provision.DefaultVPC(tx, home); ok {
		vpc = v.ID
	}
	for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.Home == home && g.VPC == vpc && g.Name == *name }) {
		return g.ID, nil
	}
	return "", fault("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", *name, vpc)
}

// DescribeSecurityGroups lists security groups.
func (s *Service) DescribeSecurityGroups(ctx context.Context, call awsapi.Call, in *ec2.DescribeSecurityGroupsInput) (*ec2.DescribeSecurityGroupsOutput, error) {
	out := &ec2.DescribeSecurityGroupsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		ids := slices.Clone(in.GroupIds)
		for _, name := range in.GroupNames {
			id, err := groupID(tx, homeOf(call), nil, &name)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		out.SecurityGroups, out.NextToken, err = securityGroups(tx).list(homeOf(call), query{ids, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func securityGroups(tx *store.Tx) kind[resource.SecurityGroup, ec2.SecurityGroup] {
	k := kind[resource.SecurityGroup, ec2.SecurityGroup]{
		noun: provision.SecurityGroups, table: tx.SecurityGroups,
		home:     func(g resource.SecurityGroup) resource.Home { return g.Home },
		describe: func(g resource.SecurityGroup) ec2.SecurityGroup { return describeSecurityGroup(tx, g) },
		id:       func(g ec2.SecurityGroup) string { return *g.GroupId },
		tags:     func(g ec2.SecurityGroup) []ec2.Tag { return g.Tags },
		fields: fields[ec2.SecurityGroup]{
			"description": func(g ec2.SecurityGroup) []string { return text(g.Description) },
			"group-id":    func(g ec2.SecurityGroup) []string { return text(g.GroupId) },
			"group-name":  func(g ec2.SecurityGroup) []string { return text(g.GroupName) },
			"owner-id":    func(g ec2.SecurityGroup) []string { return text(g.OwnerId) },
			"vpc-id":      func(g ec2.SecurityGroup) []string { return text(g.VpcId) },
		},
	}
	groupName := func(p ec2.UserIdGroupPair) []string {
		g, ok := tx.SecurityGroups.Get(deref(p.GroupId))
		if !ok {
			return nil
		}
		return []string{g.Name}
	}
	for prefix, permissions := range map[string]func(ec2.SecurityGroup) []ec2.IpPermission{
		"ip-permission.":        func(g ec2.SecurityGroup) []ec2.IpPermission { return g.IpPermissions },
		"egress.ip-permission.": func(g ec2.SecurityGroup) []ec2.IpPermission { return g.IpPermissionsEgress },
	} {
		for name, f := range map[string]func(ec2.IpPermission) []string{
			"from-port": func(p ec2.IpPermission) []string { return integer(p.FromPort) },
			"to-port":   func(p ec2.IpPermission) []string { return integer(p.ToPort) },
			"protocol":  func(p ec2.IpPermission) []string { return text(p.IpProtocol) },
			"cidr": func(p ec2.IpPermission) []string {
				return each(p.IpRanges, func(r ec2.IpRange) []string { return text(r.CidrIp) })
			},
			"ipv6-cidr": func(p ec2.IpPermission) []string {
				return each(p.Ipv6Ranges, func(r ec2.Ipv6Range) []string { return text(r.CidrIpv6) })
			},
			"prefix-list-id": func(p ec2.IpPermission) []string {
				return each(p.PrefixListIds, func(l ec2.PrefixListId) []string { return text(l.PrefixListId) })
			},
			"group-id": func(p ec2.IpPermission) []string {
				return each(p.UserIdGroupPairs, func(u ec2.UserIdGroupPair) []string { return text(u.GroupId) })
			},
			"group-name": func(p ec2.IpPermission) []string { return each(p.UserIdGroupPairs, groupName) },
			"user-id": func(p ec2.IpPermission) []string {
				return each(p.UserIdGroupPairs, func(u ec2.UserIdGroupPair) []string { return text(u.UserId) })
			},
		} {
			k.fields[prefix+name] = func(g ec2.SecurityGroup) []string { return each(permissions(g), f) }
		}
	}
	return k
}

func describeSecurityGroup(tx *store.Tx, g resource.SecurityGroup) ec2.SecurityGroup {
	return ec2.SecurityGroup{
		GroupId: &g.ID, GroupName: &g.Name, Description: &g.Description, VpcId: &g.VPC, OwnerId: &g.Account, SecurityGroupArn: new(groupARN(g)),
		IpPermissions: permissions(tx, g, g.Rules, false), IpPermissionsEgress: permissions(tx, g, g.Rules, true), Tags: tagSet(g.Tags),
	}
}

// groupIdentifiers names the security groups that something has.
func groupIdentifiers(tx *store.Tx, ids []string) []ec2.GroupIdentifier {
	var out []ec2.GroupIdentifier
	for _, id := range ids {
		g, _ := tx.SecurityGroups.Get(id)
		out = append(out, ec2.GroupIdentifier{GroupId: &id, GroupName: &g.Name})
	}
	return out
}
