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

// CreateInternetGateway makes a gateway that is attached to nothing.
func (s *Service) CreateInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.CreateInternetGatewayInput) (*ec2.CreateInternetGatewayOutput, error) {
	tags, err := specTags(in.TagSpecifications, "internet-gateway")
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateInternetGatewayOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g := resource.InternetGateway{Home: homeOf(call), ID: awsid.New("igw"), Tags: tags["internet-gateway"]}
		tx.InternetGateways.Put(g.ID, g)
		out.InternetGateway = new(describeInternetGateway(g))
		return nil
	})
}

// AttachInternetGateway joins a VPC to the internet. A VPC takes one gateway.
func (s *Service) AttachInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.AttachInternetGatewayInput) (*ec2.AttachInternetGatewayOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g, err := provision.LookupInternetGateway(tx, homeOf(call), *in.InternetGatewayId)
		if err != nil {
			return err
		}
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		if g.VPC != "" {
			return fault("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC)
		}
		for range tx.InternetGateways.Values(func(o resource.InternetGateway) bool { return o.VPC == v.ID }) {
			return fault("InvalidParameterValue", "Network %s already has an internet gateway attached", v.ID)
		}
		g.VPC = v.ID
		tx.InternetGateways.Put(g.ID, g)
		return nil
	})
}

// DescribeInternetGateways lists internet gateways.
func (s *Service) DescribeInternetGateways(ctx context.Context, call awsapi.Call, in *ec2.DescribeInternetGatewaysInput) (*ec2.DescribeInternetGatewaysOutput, error) {
	out := &ec2.DescribeInternetGatewaysOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.InternetGateways, out.NextToken, err = kind[resource.InternetGateway, ec2.InternetGateway]{
			noun: provision.InternetGateways, table: tx.InternetGateways,
			home:     func(g resource.InternetGateway) resource.Home { return g.Home },
			describe: describeInternetGateway,
			id:       func(g ec2.InternetGateway) string { return *g.InternetGatewayId },
			tags:     func(g ec2.InternetGateway) []ec2.Tag { return g.Tags },
			fields: fields[ec2.InternetGateway]{
				"internet-gateway-id": func(g ec2.InternetGateway) []string { return text(g.InternetGatewayId) },
				"owner-id":            func(g ec2.InternetGateway) []string { return text(g.OwnerId) },
				"attachment.vpc-id": func(g ec2.InternetGateway) []string {
					return each(g.Attachments, func(a ec2.InternetGatewayAttachment) []string { return text(a.VpcId) })
				},
				"attachment.state": func(g ec2.InternetGateway) []string {
					return each(g.Attachments, func(a ec2.InternetGatewayAttachment) []string { return text(a.State) })
				},
			},
		}.list(homeOf(call), query{in.InternetGatewayIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func describeInternetGateway(g resource.InternetGateway) ec2.InternetGateway {
	out := ec2.InternetGateway{InternetGatewayId: &g.ID, OwnerId: &g.Account, Tags: tagSet(g.Tags)}
	if g.VPC != "" {
		// EC2 says "available" here, where its model says "attached".
		out.Attachments = []ec2.InternetGatewayAttachment{{VpcId: &g.VPC, State: new("available")}}
	}
	return out
}

// DetachInternetGateway parts a VPC from the internet, if nothing in it has a public address.
func (s *Service) DetachInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.DetachInternetGatewayInput) (*ec2.DetachInternetGatewayOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g, err := provision.LookupInternetGateway(tx, homeOf(call), *in.InternetGatewayId)
		if err != nil {
			return err
		}
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		if g.VPC != v.ID {
			return fault("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, v.ID)
		}
		for range tx.Interfaces.Values(func(i resource.NetworkInterface) bool {
			return i.VPC == v.ID && (i.PublicIP != "" || len(i.SecondaryPublic) > 0)
		}) {
			return fault("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", v.ID)
		}
		g.VPC = ""
		tx.InternetGateways.Put(g.ID, g)
		return nil
	})
}

// DeleteInternetGateway takes a detached gateway away.
func (s *Service) DeleteInternetGateway(ctx context.Context, call awsapi.Call, in *ec2.DeleteInternetGatewayInput) (*ec2.DeleteInternetGatewayOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g, err := provision.LookupInternetGateway(tx, homeOf(call), *in.InternetGatewayId)
		if err != nil {
			return err
		}
		if g.VPC != "" {
			return fault("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID)
		}
		tx.InternetGateways.Delete(g.ID)
		return nil
	})
}
