package ec2

import (
	"context"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateEgressOnlyInternetGateway makes a way out by IPv6 that is no way in.
func (s *Service) CreateEgressOnlyInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.CreateEgressOnlyInternetGatewayInput) (*ec2.CreateEgressOnlyInternetGatewayOutput, error) {
	tags, err := specTags(in.TagSpecifications, "egress-only-internet-gateway")
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateEgressOnlyInternetGatewayOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		g := resource.EgressOnlyGateway{Home: homeOf(call), ID: awsid.New("eigw"), VPC: v.ID, Token: deref(in.ClientToken), Tags: tags["egress-only-internet-gateway"]}
		for prior := range tx.EgressOnlyGateways.Values(func(o resource.EgressOnlyGateway) bool {
			return o.Home == g.Home && g.Token != "" && o.Token == g.Token
		}) {
			if prior.VPC != g.VPC {
				return idempotentMismatch()
			}
			g = prior
		}
		tx.EgressOnlyGateways.Put(g.ID, g)
		out.EgressOnlyInternetGateway = new(describeEgressOnly(g))
		return nil
	})
}

// DeleteEgressOnlyInternetGateway takes one away; routes to it drop from then on.
func (s *Service) DeleteEgressOnlyInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.DeleteEgressOnlyInternetGatewayInput) (*ec2.DeleteEgressOnlyInternetGatewayOutput, error) {
	return &ec2.DeleteEgressOnlyInternetGatewayOutput{ReturnCode: new(true)}, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g, err := lookupEgressOnly(tx, homeOf(call), *in.EgressOnlyInternetGatewayId)
		if err == nil {
			tx.EgressOnlyGateways.Delete(g.ID)
		}
		return err
	})
}

// DescribeEgressOnlyInternetGateways lists them.
func (s *Service) DescribeEgressOnlyInternetGateways(ctx context.Context, call awsapi.Call, in *ec2.DescribeEgressOnlyInternetGatewaysInput) (*ec2.DescribeEgressOnlyInternetGatewaysOutput, error) {
	out := &ec2.DescribeEgressOnlyInternetGatewaysOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.EgressOnlyInternetGateways, out.NextToken, err = kind[resource.EgressOnlyGateway, ec2.EgressOnlyInternetGateway]{
			noun: provision.EgressOnly, table: tx.EgressOnlyGateways,
			home:     func(g resource.EgressOnlyGateway) resource.Home { return g.Home },
			describe: describeEgressOnly,
			id:       func(g ec2.EgressOnlyInternetGateway) string { return *g.EgressOnlyInternetGatewayId },
			tags:     func(g ec2.EgressOnlyInternetGateway) []ec2.Tag { return g.Tags },
			fields:   fields[ec2.EgressOnlyInternetGateway]{},
		}.list(homeOf(call), query{in.EgressOnlyInternetGatewayIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func lookupEgressOnly(tx *store.Tx, home resource.Home, id string) (resource.EgressOnlyGateway, error) {
	if g, ok := tx.EgressOnlyGateways.Get(id); ok && g.Home == home {
		return g, nil
	}
	return resource.EgressOnlyGateway{}, provision.EgressOnly.NotFound(id)
}

func describeEgressOnly(g resource.EgressOnlyGateway) ec2.EgressOnlyInternetGateway {
	return ec2.EgressOnlyInternetGateway{
		EgressOnlyInternetGatewayId: &g.ID, Attachments: []ec2.InternetGatewayAttachment{{VpcId: &g.VPC, State: new("attached")}}, Tags: tagSet(g.Tags),
	}
}
