package identity

import (
	"strings"

	"ekster.dev/ekster/gen/ec2"
)

// ec2Types are the resource types in EC2's ARNs, by the prefix of their ids.
var ec2Types = map[string]string{
	"ami": "image",
	"eni": "network-interface",
	"i":   "instance",
	"igw": "internet-gateway",
	"key": "key-pair",
	"lt":  "launch-template",
	"rtb": "route-table",
	"sg":  "security-group",
	"sgr": "security-group-rule",
	"vol": "volume",
	"vpc": "vpc",

	"subnet": "subnet",
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

var ec2Rules = rules{
	"AssignPrivateIpAddresses": on(func(s scope, in *ec2.AssignPrivateIpAddressesInput) []string { return s.ec2(in.NetworkInterfaceId) }),
	"AssociateRouteTable":      on(func(s scope, in *ec2.AssociateRouteTableInput) []string { return s.ec2(in.RouteTableId, in.SubnetId) }),
	"AttachInternetGateway": on(func(s scope, in *ec2.AttachInternetGatewayInput) []string {
		return s.ec2(in.InternetGatewayId, in.VpcId)
	}),
	"AttachNetworkInterface": on(func(s scope, in *ec2.AttachNetworkInterfaceInput) []string {
		return s.ec2(in.NetworkInterfaceId, in.InstanceId)
	}),
	"AuthorizeSecurityGroupEgress":  on(func(s scope, in *ec2.AuthorizeSecurityGroupEgressInput) []string { return s.ec2(in.GroupId) }),
	"AuthorizeSecurityGroupIngress": on(func(s scope, in *ec2.AuthorizeSecurityGroupIngressInput) []string { return s.ec2(in.GroupId) }),
	"CreateInternetGateway": on(func(s scope, _ *ec2.CreateInternetGatewayInput) []string {
		return []string{s.arn("ec2", "internet-gateway/*")}
	}),
	"CreateLaunchTemplate": on(func(s scope, _ *ec2.CreateLaunchTemplateInput) []string {
		return []string{s.arn("ec2", "launch-template/*")}
	}),
	"CreateLaunchTemplateVersion": on(func(s scope, in *ec2.CreateLaunchTemplateVersionInput) []string { return s.ec2(in.LaunchTemplateId) }),
	"CreateNetworkInterface": on(func(s scope, in *ec2.CreateNetworkInterfaceInput) []string {
		return append(s.ec2(in.SubnetId), s.arn("ec2", "network-interface/*"))
	}),
	"CreateRoute": on(func(s scope, in *ec2.CreateRouteInput) []string { return s.ec2(in.RouteTableId) }),
	"CreateRouteTable": on(func(s scope, in *ec2.CreateRouteTableInput) []string {
		return append(s.ec2(in.VpcId), s.arn("ec2", "route-table/*"))
	}),
	"CreateSecurityGroup": on(func(s scope, in *ec2.CreateSecurityGroupInput) []string {
		return append(s.ec2(in.VpcId), s.arn("ec2", "security-group/*"))
	}),
	"CreateSubnet": on(func(s scope, in *ec2.CreateSubnetInput) []string {
		return append(s.ec2(in.VpcId), s.arn("ec2", "subnet/*"))
	}),
	"CreateTags":                     on(func(s scope, in *ec2.CreateTagsInput) []string { return s.ec2s(in.Resources) }),
	"CreateVpc":                      on(func(s scope, _ *ec2.CreateVpcInput) []string { return []string{s.arn("ec2", "vpc/*")} }),
	"DeleteLaunchTemplate":           on(func(s scope, in *ec2.DeleteLaunchTemplateInput) []string { return s.ec2(in.LaunchTemplateId) }),
	"DeleteNetworkInterface":         on(func(s scope, in *ec2.DeleteNetworkInterfaceInput) []string { return s.ec2(in.NetworkInterfaceId) }),
	"DeleteSecurityGroup":            on(func(s scope, in *ec2.DeleteSecurityGroupInput) []string { return s.ec2(in.GroupId) }),
	"DeleteSubnet":                   on(func(s scope, in *ec2.DeleteSubnetInput) []string { return s.ec2(in.SubnetId) }),
	"DeleteTags":                     on(func(s scope, in *ec2.DeleteTagsInput) []string { return s.ec2s(in.Resources) }),
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
	"DetachNetworkInterface":         anything, // names an attachment, whose interface and instance issue 3 looks up
	"ModifyLaunchTemplate":           on(func(s scope, in *ec2.ModifyLaunchTemplateInput) []string { return s.ec2(in.LaunchTemplateId) }),
	"ModifyNetworkInterfaceAttribute": on(func(s scope, in *ec2.ModifyNetworkInterfaceAttributeInput) []string {
		return s.ec2(in.NetworkInterfaceId)
	}),
	"ModifySubnetAttribute":      on(func(s scope, in *ec2.ModifySubnetAttributeInput) []string { return s.ec2(in.SubnetId) }),
	"ModifyVpcAttribute":         on(func(s scope, in *ec2.ModifyVpcAttributeInput) []string { return s.ec2(in.VpcId) }),
	"RevokeSecurityGroupEgress":  on(func(s scope, in *ec2.RevokeSecurityGroupEgressInput) []string { return s.ec2(in.GroupId) }),
	"RevokeSecurityGroupIngress": on(func(s scope, in *ec2.RevokeSecurityGroupIngressInput) []string { return s.ec2(in.GroupId) }),
	"RunInstances": on(func(s scope, in *ec2.RunInstancesInput) []string {
		out := append([]string{s.arn("ec2", "instance/*")}, s.ec2(in.ImageId, in.SubnetId)...)
		return append(out, s.ec2s(in.SecurityGroupIds)...)
	}),
	"TerminateInstances":         on(func(s scope, in *ec2.TerminateInstancesInput) []string { return s.ec2s(in.InstanceIds) }),
	"UnassignPrivateIpAddresses": on(func(s scope, in *ec2.UnassignPrivateIpAddressesInput) []string { return s.ec2(in.NetworkInterfaceId) }),
}
