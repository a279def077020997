package ec2

import (
	"context"
	"net/netip"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxBlocks is EC2's default quota of a VPC's IPv4 blocks.
const maxBlocks = 5

// AssociateVpcCidrBlock gives a VPC one more block of addresses.
func (s *Service) AssociateVpcCidrBlock(ctx context.Context, call awsapi.Call, in *ec2.AssociateVpcCidrBlockInput) (*ec2.AssociateVpcCidrBlockOutput, error) {
	if err := reject(
		ask{"An IPv6 CIDR block of one's own", in.Ipv6CidrBlock != nil || in.Ipv6Pool != nil || in.Ipv6IpamPoolId != nil},
		ask{"IPAM", in.Ipv4IpamPoolId != nil},
	); err != nil {
		return nil, err
	}
	if is(in.AmazonProvidedIpv6CidrBlock) {
		if in.CidrBlock != nil {
			return nil, fault("InvalidParameterCombination", "Only one of cidrBlock and amazonProvidedIpv6CidrBlock may be specified")
		}
		out := &ec2.AssociateVpcCidrBlockOutput{VpcId: in.VpcId}
		return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
			_, c, err := provision.AssociateBlock6(tx, homeOf(call), *in.VpcId)
			out.Ipv6CidrBlockAssociation = describeBlock6(call.Region, c, ec2.VpcCidrBlockStateCodeAssociating)
			return err
		})
	}
	if in.CidrBlock == nil {
		return nil, missing("cidrBlock")
	}
	cidr, err := readCIDR("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if b := cidr.Bits(); !cidr.Addr().Is4() || b < 16 || b > 28 {
		return nil, fault("InvalidVpc.Range", "The CIDR '%s' is invalid.", cidr)
	}
	out := &ec2.AssociateVpcCidrBlockOutput{VpcId: in.VpcId}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(v.CIDRs, func(c resource.CIDRAssociation) bool { return c.CIDR.Overlaps(cidr) }) {
			return fault("InvalidVpc.Range", "The CIDR '%s' conflicts with another CIDR of the VPC", cidr)
		}
		if len(v.CIDRs) >= maxBlocks {
			return fault("CidrLimitExceeded", "This network '%s' has met its maximum number of allowed CIDRs: %d", v.ID, maxBlocks)
		}
		c := resource.CIDRAssociation{ID: awsid.New("vpc-cidr-assoc"), CIDR: cidr}
		v.CIDRs = append(v.CIDRs, c)
		tx.VPCs.Put(v.ID, v)
		out.CidrBlockAssociation = describeBlock(c, ec2.VpcCidrBlockStateCodeAssociating)
		return nil
	})
}

// DisassociateVpcCidrBlock takes a block away that no subnet is in. The first one stays.
func (s *Service) DisassociateVpcCidrBlock(ctx context.Context, call awsapi.Call, in *ec2.DisassociateVpcCidrBlockInput) (*ec2.DisassociateVpcCidrBlockOutput, error) {
	out := &ec2.DisassociateVpcCidrBlockOutput{}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		if vpc, c, found, err := provision.DisassociateBlock6(tx, homeOf(call), *in.AssociationId); found {
			out.VpcId, out.Ipv6CidrBlockAssociation = &vpc, describeBlock6(call.Region, c, ec2.VpcCidrBlockStateCodeDisassociating)
			return err
		}
		for id, v := range tx.VPCs.All() {
			at := slices.IndexFunc(v.CIDRs, func(c resource.CIDRAssociation) bool { return c.ID == *in.AssociationId })
			if at < 0 || v.Home != homeOf(call) {
				continue
			}
			c := v.CIDRs[at]
			if at == 0 {
				return fault("OperationNotPermitted", "The vpc CIDR block with association ID %s may not be disassociated. It is the primary IPv4 CIDR block of the VPC", c.ID)
			}
			for range tx.Subnets.Values(func(s resource.Subnet) bool { return s.VPC == id && c.CIDR.Overlaps(s.CIDR) }) {
				return fault("InvalidCidrBlock.InUse", "The vpc CIDR block with association ID %s is in use", c.ID)
			}
			v, _ = tx.VPCs.Get(id)
			v.CIDRs = slices.Delete(v.CIDRs, at, at+1)
			tx.VPCs.Put(id, v)
			out.VpcId, out.CidrBlockAssociation = &id, describeBlock(c, ec2.VpcCidrBlockStateCodeDisassociating)
			return nil
		}
		return fault("InvalidVpcCidrBlockAssociationID.NotFound", "The vpc CIDR block association ID '%s' does not exist", *in.AssociationId)
	})
}

func describeBlock(c resource.CIDRAssociation, state string) *ec2.VpcCidrBlockAssociation {
	return &ec2.VpcCidrBlockAssociation{AssociationId: &c.ID, CidrBlock: new(c.CIDR.String()), CidrBlockState: &ec2.VpcCidrBlockState{State: &state}}
}

func describeBlock6(region string, c resource.CIDRAssociation, state string) *ec2.VpcIpv6CidrBlockAssociation {
	return &ec2.VpcIpv6CidrBlockAssociation{
		AssociationId: &c.ID, Ipv6CidrBlock: new(c.CIDR.String()), Ipv6CidrBlockState: &ec2.VpcCidrBlockState{State: &state},
		NetworkBorderGroup: &region, Ipv6Pool: new("Amazon"), IpSource: new("amazon"), Ipv6AddressAttribute: new("public"),
	}
}

// AssociateSubnetCidrBlock gives a subnet its IPv6 block.
func (s *Service) AssociateSubnetCidrBlock(ctx context.Context, call awsapi.Call, in *ec2.AssociateSubnetCidrBlockInput) (*ec2.AssociateSubnetCidrBlockOutput, error) {
	if err := reject(ask{"IPAM", in.Ipv6IpamPoolId != nil || in.Ipv6NetmaskLength != nil}); err != nil {
		return nil, err
	}
	if in.Ipv6CidrBlock == nil {
		return nil, missing("ipv6CidrBlock")
	}
	block, err := readRange(*in.Ipv6CidrBlock, netip.Addr.Is6)
	if err != nil {
		return nil, err
	}
	out := &ec2.AssociateSubnetCidrBlockOutput{SubnetId: in.SubnetId}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		sub, err := provision.AssociateSubnet6(tx, homeOf(call), *in.SubnetId, block)
		out.Ipv6CidrBlockAssociation = describeSubnet6(sub.CIDR6, ec2.SubnetCidrBlockStateCodeAssociating)
		return err
	})
}

// DisassociateSubnetCidrBlock takes a subnet's IPv6 block away while nothing uses it.
func (s *Service) DisassociateSubnetCidrBlock(ctx context.Context, call awsapi.Call, in *ec2.DisassociateSubnetCidrBlockInput) (*ec2.DisassociateSubnetCidrBlockOutput, error) {
	out := &ec2.DisassociateSubnetCidrBlockOutput{}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		sub, c, err := provision.DisassociateSubnet6(tx, homeOf(call), *in.AssociationId)
		out.SubnetId, out.Ipv6CidrBlockAssociation = &sub.ID, describeSubnet6(c, ec2.SubnetCidrBlockStateCodeDisassociating)
		return err
	})
}

func describeSubnet6(c resource.CIDRAssociation, state string) *ec2.SubnetIpv6CidrBlockAssociation {
	return &ec2.SubnetIpv6CidrBlockAssociation{
		AssociationId: &c.ID, Ipv6CidrBlock: new(c.CIDR.String()), Ipv6CidrBlockState: &ec2.SubnetCidrBlockState{State: &state},
		IpSource: new("amazon"), Ipv6AddressAttribute: new("public"),
	}
}
