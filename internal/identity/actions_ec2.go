package identity

import (
	"strings"

	"ekster.dev/ekster/gen/ec2"
)

// ec2Types are the resource types in EC2's ARNs, by the prefix of their ids.
var ec2Types = map[string]string{
	"acl":      "network-acl",
	"ami":      "image",
	"dopt":     "dhcp-options",
	"eigw":     "egress-only-internet-gateway",
	"eipalloc": "elastic-ip",
	"eni":      "network-interface",
	"fleet":    "fleet",
	"i":        "instance",
	"igw":      "internet-gateway",
	"key":      "key-pair",
	"lt":       "launch-template",
	"nat":      "natgateway",
	"pcx":      "vpc-peering-connection",
	"pl":       "prefix-list",
	"rtb":      "route-table",
	"pg":       "placement-group",
	"sg":       "security-group",
	"sgr":      "security-group-rule",
	"sir":      "spot-instances-request",
	"snap":     "snapshot",
	"subnet":   "subnet",
	"vol":      "volume",
	"vpc":      "vpc",
	"vpce":     "vpc-endpoint",
}

// ec2 returns the ARNs of EC2's resources with these ids; an id that says nothing of its
// type is any resource.
func (s scope) ec2(ids ...*string) []string {
	var out []string
	for _, p := range ids {
		id := deref(p)
		if id == "" {
			continue
		}
		prefix, _, _ := strings.Cut(id, "-")
		kind, ok := ec2Types[prefix]
		switch {
		case !ok:
			out = append(out, "*")
		case kind == "image":
			out = append(out, "arn:aws:ec2:"+s.call.Region+"::image/"+id)
		default:
			out = append(out, s.arn("ec2", kind+"/"+id))
		}
	}
	return out
}

func (s scope) ec2s(ids []string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, s.ec2(&id)...)
	}
	return out
}

// templates are the ARNs of a launch template that is named by its id or its name.
func (s scope) templates(id, name *string) []string {
	if lt, _ := s.template(id, name, nil); lt.ID != "" {
		return s.ec2(&lt.ID)
	}
	if id == nil {
		return []string{s.arn("ec2", "launch-template/*")}
	}
	return s.ec2(id)
}

// groups are the ARNs of a security group that is named by its id or, in the default VPC, its name.
func (s scope) groups(id, name *string) []string {
	if id != nil || name == nil {
		return s.ec2(id)
	}
	for _, g := range s.tx.SecurityGroups.All() {
		if v, ok := s.tx.VPCs.Get(g.VPC); ok && v.Default && g.Name == *name && g.Account == s.call.Account && g.Region == s.call.Region {
			return s.ec2(&g.ID)
		}
	}
	return []string{s.arn("ec2", "security-group/*")}
}

// runInstances is checked for what the request says together with its launch template.
var runInstances = rule{
	targets: func(s scope, in any) []target {
		if i, ok := in.(*ec2.RunInstancesInput); ok {
			return s.launchOf(i).targets(s)
		}
		return nil
	},
	keys: within(rule{}, func(s scope, in *ec2.RunInstancesInput) map[string][]string { return s.launchOf(in).keys(s) }).keys,
	made: func(s scope, in any) created {
		if i, ok := in.(*ec2.RunInstancesInput); ok {
			return s.launchOf(i).tags
		}
		return nil
	},
	also: needs(rule{}, func(s scope, in *ec2.RunInstancesInput) []check { return s.launchOf(in).also(s) }).also,
}

var ec2Rules = rules{
	"AssignPrivateIpAddresses": on(func(s scope, in *ec2.AssignPrivateIpAddressesInput) []string { return s.ec2(in.NetworkInterfaceId) }),
	"AssociateRouteTable":      on(func(s scope, in *ec2.AssociateRouteTableInput) []string { return s.ec2(in.RouteTableId, in.SubnetId) }),
	"AttachInternetGateway": on(func(s scope, in *ec2.AttachInternetGatewayInput) []string {
		return s.ec2(in.InternetGatewayId, in.VpcId)
	}),
	"AttachNetworkInterface": on(func(s scope, in *ec2.AttachNetworkInterfaceInput) []string {
		return s.ec2(in.NetworkInterfaceId, in.InstanceId)
	}),
	"AuthorizeSecurityGroupEgress": tagging(on(func(s scope, in *ec2.AuthorizeSecurityGroupEgressInput) []string {
		return s.groups(in.GroupId, nil)
	}), func(in *ec2.AuthorizeSecurityGroupEgressInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"AuthorizeSecurityGroupIngress": tagging(on(func(s scope, in *ec2.AuthorizeSecurityGroupIngressInput) []string {
		return s.groups(in.GroupId, in.GroupName)
	}), func(in *ec2.AuthorizeSecurityGroupIngressInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateInternetGateway": tagging(on(func(s scope, _ *ec2.CreateInternetGatewayInput) []string {
		return []string{s.arn("ec2", "internet-gateway/*")}
	}), func(in *ec2.CreateInternetGatewayInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateLaunchTemplate": tagging(on(func(s scope, _ *ec2.CreateLaunchTemplateInput) []string {
		return []string{s.arn("ec2", "launch-template/*")}
	}), func(in *ec2.CreateLaunchTemplateInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateLaunchTemplateVersion": on(func(s scope, in *ec2.CreateLaunchTemplateVersionInput) []string {
		return s.templates(in.LaunchTemplateId, in.LaunchTemplateName)
	}),
	"CreateNetworkInterface": tagging(on(func(s scope, in *ec2.CreateNetworkInterfaceInput) []string {
		return append(append([]string{s.arn("ec2", "network-interface/*")}, s.ec2(in.SubnetId)...), s.ec2s(in.Groups)...)
	}), func(in *ec2.CreateNetworkInterfaceInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateRoute": on(func(s scope, in *ec2.CreateRouteInput) []string { return s.ec2(in.RouteTableId) }),
	"CreateRouteTable": tagging(on(func(s scope, in *ec2.CreateRouteTableInput) []string {
		return append([]string{s.arn("ec2", "route-table/*")}, s.ec2(in.VpcId)...)
	}), func(in *ec2.CreateRouteTableInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateSecurityGroup": tagging(on(func(s scope, in *ec2.CreateSecurityGroupInput) []string {
		return append([]string{s.arn("ec2", "security-group/*")}, s.ec2(in.VpcId)...)
	}), func(in *ec2.CreateSecurityGroupInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateSubnet": tagging(on(func(s scope, in *ec2.CreateSubnetInput) []string {
		return append([]string{s.arn("ec2", "subnet/*")}, s.ec2(in.VpcId)...)
	}), func(in *ec2.CreateSubnetInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"CreateTags": with(on(func(s scope, in *ec2.CreateTagsInput) []string { return s.ec2s(in.Resources) }), func(in *ec2.CreateTagsInput) map[string][]string {
		tags := map[string]string{}
		for _, t := range in.Tags {
			tags[deref(t.Key)] = deref(t.Value)
		}
		return requestTags(tags)
	}),
	"CreateVpc": tagging(on(func(s scope, _ *ec2.CreateVpcInput) []string { return []string{s.arn("ec2", "vpc/*")} }),
		func(in *ec2.CreateVpcInput) []ec2.TagSpecification { return in.TagSpecifications }),
	"DeleteLaunchTemplate": on(func(s scope, in *ec2.DeleteLaunchTemplateInput) []string {
		return s.templates(in.LaunchTemplateId, in.LaunchTemplateName)
	}),
	"DeleteLaunchTemplateVersions": on(func(s scope, in *ec2.DeleteLaunchTemplateVersionsInput) []string {
		return s.templates(in.LaunchTemplateId, in.LaunchTemplateName)
	}),
	"DeleteNetworkInterface": on(func(s scope, in *ec2.DeleteNetworkInterfaceInput) []string { return s.ec2(in.NetworkInterfaceId) }),
	"DeleteSecurityGroup": on(func(s scope, in *ec2.DeleteSecurityGroupInput) []string {
		return s.groups(in.GroupId, in.GroupName)
	}),
	"DeleteSubnet": on(func(s scope, in *ec2.DeleteSubnetInput) []string { return s.ec2(in.SubnetId) }),
	"DeleteTags": with(on(func(s scope, in *ec2.DeleteTagsInput) []string { return s.ec2s(in.Resources) }), func(in *ec2.DeleteTagsInput) map[string][]string {
		var keys []string
		for _, t := range in.Tags {
			keys = append(keys, deref(t.Key))
		}
		return map[string][]string{"aws:TagKeys": keys}
	}),
	"DeleteVpc":                      on(func(s scope, in *ec2.DeleteVpcInput) []string { return s.ec2(in.VpcId) }),
	"DescribeAccountAttributes":      anything,
	"DescribeAvailabilityZones":      anything,
	"DescribeImages":                 anything,
	"DescribeInstanceStatus":         anything,
	"DescribeInstanceTypeOfferings":  anything,
	"DescribeInstanceTypes":          anything,
	"DescribeInstances":              anything,
	"DescribeInternetGateways":       anything,
	"DescribeKeyPairs":               anything,
	"DescribeLaunchTemplateVersions": anything,
	"DescribeLaunchTemplates":        anything,
	"DescribeNetworkInterfaces":      anything,
	"DescribeRegions":                anything,
	"DescribeRouteTables":            anything,
	"DescribeSecurityGroupRules":     anything,
	"DescribeSecurityGroups":         anything,
	"DescribeSubnets":                anything,
	"DescribeTags":                   anything,
	"DescribeVpcAttribute":           anything,
	"DescribeVpcs":                   anything,
	"DetachNetworkInterface": on(func(s scope, in *ec2.DetachNetworkInterfaceInput) []string {
		for _, n := range s.tx.Interfaces.All() {
			if n.Attachment != nil && n.Attachment.ID == deref(in.AttachmentId) && n.Account == s.call.Account {
				return s.ec2(&n.ID, &n.Attachment.Instance)
			}
		}
		return []string{s.arn("ec2", "network-interface/*")}
	}),
	"ModifyLaunchTemplate": on(func(s scope, in *ec2.ModifyLaunchTemplateInput) []string {
		return s.templates(in.LaunchTemplateId, in.LaunchTemplateName)
	}),
	"ModifyNetworkInterfaceAttribute": on(func(s scope, in *ec2.ModifyNetworkInterfaceAttributeInput) []string {
		return append(s.ec2(in.NetworkInterfaceId), s.ec2s(in.Groups)...)
	}),
	"ModifySubnetAttribute":     on(func(s scope, in *ec2.ModifySubnetAttributeInput) []string { return s.ec2(in.SubnetId) }),
	"ModifyVpcAttribute":        on(func(s scope, in *ec2.ModifyVpcAttributeInput) []string { return s.ec2(in.VpcId) }),
	"RevokeSecurityGroupEgress": on(func(s scope, in *ec2.RevokeSecurityGroupEgressInput) []string { return s.ec2(in.GroupId) }),
	"RevokeSecurityGroupIngress": on(func(s scope, in *ec2.RevokeSecurityGroupIngressInput) []string {
		return s.groups(in.GroupId, in.GroupName)
	}),
	"RunInstances":               runInstances,
	"TerminateInstances":         on(func(s scope, in *ec2.TerminateInstancesInput) []string { return s.ec2s(in.InstanceIds) }),
	"UnassignPrivateIpAddresses": on(func(s scope, in *ec2.UnassignPrivateIpAddressesInput) []string { return s.ec2(in.NetworkInterfaceId) }),
}
