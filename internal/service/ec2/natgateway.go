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

// CreateNatGateway makes a public NAT gateway.
func (s *Service) CreateNatGateway(ctx context.Context, call awsapi.Call, in *ec2.CreateNatGatewayInput) (*ec2.CreateNatGatewayOutput, error) {
	tags, err := specTags(in.TagSpecifications, "natgateway")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"A private NAT gateway", or(deref(in.ConnectivityType), ec2.ConnectivityTypePublic) != ec2.ConnectivityTypePublic},
		ask{"A regional NAT gateway", or(deref(in.AvailabilityMode), ec2.AvailabilityModeZonal) != ec2.AvailabilityModeZonal || len(in.AvailabilityZoneAddresses) > 0},
		ask{"A second address of a NAT gateway", len(in.SecondaryAllocationIds)+len(in.SecondaryPrivateIpAddresses) > 0 || deref(in.SecondaryPrivateIpAddressCount) > 0},
	); err != nil {
		return nil, err
	}
	if in.SubnetId == nil {
		return nil, missing("subnetId")
	}
	if in.AllocationId == nil {
		return nil, missing("AllocationId")
	}
	var private netip.Addr
	if in.PrivateIpAddress != nil {
		if private, err = provision.ParseAddress(*in.PrivateIpAddress); err != nil {
			return nil, err
		}
	}
	out := &ec2.CreateNatGatewayOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		if token := deref(in.ClientToken); token != "" {
			same := func(g resource.NATGateway) bool { return g.Home == homeOf(call) && g.Token == token }
			for prior := range tx.NATGateways.Values(same) {
				if prior.Subnet != *in.SubnetId || prior.Address != *in.AllocationId {
					return idempotentMismatch()
				}
				out.NatGateway = new(describeNATGateway(tx, prior))
				return nil
			}
		}
		g, err := provision.NATGateway(tx, provision.NATGatewayRequest{
			Home: homeOf(call), Subnet: *in.SubnetId, Allocation: *in.AllocationId, Private: private, Token: deref(in.ClientToken),
			Tags: tags["natgateway"], Now: call.Time,
		})
		out.NatGateway = new(describeNATGateway(tx, g))
		return err
	})
}

// DeleteNatGateway takes a NAT gateway away.
func (s *Service) DeleteNatGateway(ctx context.Context, call awsapi.Call, in *ec2.DeleteNatGatewayInput) (*ec2.DeleteNatGatewayOutput, error) {
	return &ec2.DeleteNatGatewayOutput{NatGatewayId: in.NatGatewayId}, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteNATGateway(tx, homeOf(call), *in.NatGatewayId, call.Time)
	})
}

// DescribeNatGateways lists NAT gateways, deleted ones for an hour.
func (s *Service) DescribeNatGateways(ctx context.Context, call awsapi.Call, in *ec2.DescribeNatGatewaysInput) (*ec2.DescribeNatGatewaysOutput, error) {
	out := &ec2.DescribeNatGatewaysOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		// One that is shown no more is in no account.
		home := func(g resource.NATGateway) resource.Home {
			if !g.Deleted.IsZero() && call.Time.Sub(g.Deleted) > provision.EndedVisible {
				return resource.Home{}
			}
			return g.Home
		}
		out.NatGateways, out.NextToken, err = kind[resource.NATGateway, ec2.NatGateway]{
			noun: provision.NATGateways, table: tx.NATGateways, home: home,
			describe: func(g resource.NATGateway) ec2.NatGateway { return describeNATGateway(tx, g) },
			id:       func(g ec2.NatGateway) string { return *g.NatGatewayId },
			tags:     func(g ec2.NatGateway) []ec2.Tag { return g.Tags },
			fields: fields[ec2.NatGateway]{
				"nat-gateway-id": func(g ec2.NatGateway) []string { return text(g.NatGatewayId) },
				"state":          func(g ec2.NatGateway) []string { return text(g.State) },
				"subnet-id":      func(g ec2.NatGateway) []string { return text(g.SubnetId) },
				"vpc-id":         func(g ec2.NatGateway) []string { return text(g.VpcId) },
			},
		}.list(homeOf(call), query{in.NatGatewayIds, in.Filter, in.MaxResults, in.NextToken})
		return err
	})
}

func describeNATGateway(tx *store.Tx, g resource.NATGateway) ec2.NatGateway {
	out := ec2.NatGateway{
		NatGatewayId: &g.ID, VpcId: &g.VPC, SubnetId: &g.Subnet, CreateTime: &g.Created, State: new(ec2.NatGatewayStateAvailable),
		ConnectivityType: new(ec2.ConnectivityTypePublic), Tags: tagSet(g.Tags),
	}
	address := ec2.NatGatewayAddress{
		AllocationId: &g.Address, NetworkInterfaceId: &g.Interface, PrivateIp: new(g.Private.String()), PublicIp: new(g.PublicIP.String()),
		IsPrimary: new(true), Status: new(ec2.NatGatewayAddressStatusSucceeded),
	}
	if a, ok := tx.Addresses.Get(g.Address); ok && a.NATGateway == g.ID {
		address.AssociationId = some(a.Association)
	}
	if !g.Deleted.IsZero() {
		out.State, out.DeleteTime = new(ec2.NatGatewayStateDeleted), &g.Deleted
	}
	out.NatGatewayAddresses = []ec2.NatGatewayAddress{address}
	return out
}
