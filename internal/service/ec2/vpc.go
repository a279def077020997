package ec2

import (
	"context"
	"net/netip"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateVpc makes a VPC with its main route table and default security group.
func (s *Service) CreateVpc(ctx context.Context, call awsapi.Call, in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
	tags, err := specTags(in.TagSpecifications, "vpc")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"An IPv6 CIDR block of one's own", in.Ipv6CidrBlock != nil || in.Ipv6Pool != nil || in.Ipv6IpamPoolId != nil},
		ask{"IPAM", in.Ipv4IpamPoolId != nil},
	); err != nil {
		return nil, err
	}
	if in.CidrBlock == nil {
		return nil, missing("cidrBlock")
	}
	cidr, err := readCIDR("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateVpcOutput{}
	err = s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.VPC(tx, provision.VPCRequest{
			Home: homeOf(call), CIDR: cidr, Tenancy: deref(in.InstanceTenancy), Tags: tags["vpc"],
		})
		if err == nil && is(in.AmazonProvidedIpv6CidrBlock) {
			v, _, err = provision.AssociateBlock6(tx, homeOf(call), v.ID)
		}
		out.Vpc = new(describeVPC(v))
		return err
	})
	return out, err
}

// DeleteVpc takes an empty VPC away.
func (s *Service) DeleteVpc(ctx context.Context, call awsapi.Call, in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteVPC(tx, homeOf(call), *in.VpcId, call.Time)
	})
}

// DescribeVpcs lists VPCs.
func (s *Service) DescribeVpcs(ctx context.Context, call awsapi.Call, in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	out := &ec2.DescribeVpcsOutput{}
	err := s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.Vpcs, out.NextToken, err = vpcs(tx).list(homeOf(call), query{in.VpcIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
	return out, err
}

func vpcs(tx *store.Tx) kind[resource.VPC, ec2.Vpc] {
	six := func(f func(ec2.VpcIpv6CidrBlockAssociation) *string) func(ec2.Vpc) []string {
		return func(v ec2.Vpc) []string {
			return each(v.Ipv6CidrBlockAssociationSet, func(a ec2.VpcIpv6CidrBlockAssociation) []string { return text(f(a)) })
		}
	}
	return kind[resource.VPC, ec2.Vpc]{
		noun: provision.VPCs, table: tx.VPCs,
		home:     func(v resource.VPC) resource.Home { return v.Home },
		describe: describeVPC,
		id:       func(v ec2.Vpc) string { return *v.VpcId },
		tags:     func(v ec2.Vpc) []ec2.Tag { return v.Tags },
		fields: fields[ec2.Vpc]{
			"vpc-id":          func(v ec2.Vpc) []string { return text(v.VpcId) },
			"cidr":            func(v ec2.Vpc) []string { return text(v.CidrBlock) },
			"cidr-block":      func(v ec2.Vpc) []string { return text(v.CidrBlock) },
			"cidrBlock":       func(v ec2.Vpc) []string { return text(v.CidrBlock) },
			"dhcp-options-id": func(v ec2.Vpc) []string { return text(v.DhcpOptionsId) },
			"dhcpOptionsId":   func(v ec2.Vpc) []string { return text(v.DhcpOptionsId) },
			"is-default":      func(v ec2.Vpc) []string { return flag(v.IsDefault) },
			"isDefault":       func(v ec2.Vpc) []string { return flag(v.IsDefault) },
			"owner-id":        func(v ec2.Vpc) []string { return text(v.OwnerId) },
			"state":           func(v ec2.Vpc) []string { return text(v.State) },
			"cidr-block-association.cidr-block": func(v ec2.Vpc) []string {
				return each(v.CidrBlockAssociationSet, func(a ec2.VpcCidrBlockAssociation) []string { return text(a.CidrBlock) })
			},
			"cidr-block-association.association-id": func(v ec2.Vpc) []string {
				return each(v.CidrBlockAssociationSet, func(a ec2.VpcCidrBlockAssociation) []string { return text(a.AssociationId) })
			},
			"cidr-block-association.state": func(v ec2.Vpc) []string {
				return each(v.CidrBlockAssociationSet, func(a ec2.VpcCidrBlockAssociation) []string { return text(a.CidrBlockState.State) })
			},
			"ipv6-cidr-block-association.association-id":  six(func(a ec2.VpcIpv6CidrBlockAssociation) *string { return a.AssociationId }),
			"ipv6-cidr-block-association.ipv6-cidr-block": six(func(a ec2.VpcIpv6CidrBlockAssociation) *string { return a.Ipv6CidrBlock }),
			"ipv6-cidr-block-association.ipv6-pool":       six(func(a ec2.VpcIpv6CidrBlockAssociation) *string { return a.Ipv6Pool }),
			"ipv6-cidr-block-association.state":           six(func(a ec2.VpcIpv6CidrBlockAssociation) *string { return a.Ipv6CidrBlockState.State }),
		},
	}
}

func describeVPC(v resource.VPC) ec2.Vpc {
	out := ec2.Vpc{
		VpcId: &v.ID, OwnerId: &v.Account, State: new("available"), IsDefault: &v.Default, InstanceTenancy: &v.InstanceTenancy,
		DhcpOptionsId: &v.DHCPOptions, Tags: tagSet(v.Tags),
		BlockPublicAccessStates: &ec2.BlockPublicAccessStates{InternetGatewayBlockMode: new("off")},
	}
	for i, c := range v.CIDRs {
		cidr := c.CIDR.String()
		if i == 0 {
			out.CidrBlock = &cidr
		}
		out.CidrBlockAssociationSet = append(out.CidrBlockAssociationSet, ec2.VpcCidrBlockAssociation{
			AssociationId: &c.ID, CidrBlock: &cidr, CidrBlockState: &ec2.VpcCidrBlockState{State: new("associated")},
		})
	}
	for _, c := range v.CIDRs6 {
		out.Ipv6CidrBlockAssociationSet = append(out.Ipv6CidrBlockAssociationSet, *describeBlock6(v.Region, c, "associated"))
	}
	return out
}

// DescribeVpcAttribute tells one attribute of a VPC.
func (s *Service) DescribeVpcAttribute(ctx context.Context, call awsapi.Call, in *ec2.DescribeVpcAttributeInput) (*ec2.DescribeVpcAttributeOutput, error) {
	out := &ec2.DescribeVpcAttributeOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		out.VpcId = &v.ID
		switch *in.Attribute {
		case ec2.VpcAttributeNameEnableDnsSupport:
			out.EnableDnsSupport = &ec2.AttributeBooleanValue{Value: &v.DNSSupport}
		case ec2.VpcAttributeNameEnableDnsHostnames:
			out.EnableDnsHostnames = &ec2.AttributeBooleanValue{Value: &v.DNSHostnames}
		case ec2.VpcAttributeNameEnableNetworkAddressUsageMetrics:
			out.EnableNetworkAddressUsageMetrics = &ec2.AttributeBooleanValue{Value: new(false)}
		default:
			return fault("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", *in.Attribute)
		}
		return nil
	})
}

// ModifyVpcAttribute changes one attribute of a VPC.
func (s *Service) ModifyVpcAttribute(ctx context.Context, call awsapi.Call, in *ec2.ModifyVpcAttributeInput) (*ec2.ModifyVpcAttributeOutput, error) {
	given := 0
	for _, a := range []*ec2.AttributeBooleanValue{in.EnableDnsSupport, in.EnableDnsHostnames, in.EnableNetworkAddressUsageMetrics} {
		if a != nil {
			given++
		}
	}
	if given != 1 {
		return nil, fault("InvalidParameterCombination", "Exactly one VPC attribute must be specified")
	}
	if err := reject(ask{"EnableNetworkAddressUsageMetrics", in.EnableNetworkAddressUsageMetrics != nil && is(in.EnableNetworkAddressUsageMetrics.Value)}); err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, nil, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		if in.EnableDnsSupport != nil {
			v.DNSSupport = is(in.EnableDnsSupport.Value)
		}
		if in.EnableDnsHostnames != nil {
			v.DNSHostnames = is(in.EnableDnsHostnames.Value)
		}
		tx.VPCs.Put(v.ID, v)
		return nil
	})
}

// readCIDR reads an IPv4 block. Bits beyond the mask are cut off, as EC2 does.
func readCIDR(parameter, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fault("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", s, parameter)
	}
	return p.Masked(), nil
}
