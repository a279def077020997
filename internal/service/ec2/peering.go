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

// CreateVpcPeeringConnection asks for two VPCs of the caller's in one region to be joined.
func (s *Service) CreateVpcPeeringConnection(ctx context.Context, call awsapi.Call, in *ec2.CreateVpcPeeringConnectionInput) (*ec2.CreateVpcPeeringConnectionOutput, error) {
	tags, err := specTags(in.TagSpecifications, "vpc-peering-connection")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"Peering with another region", or(deref(in.PeerRegion), call.Region) != call.Region},
		ask{"Peering with another account", or(deref(in.PeerOwnerId), call.Account) != call.Account},
	); err != nil {
		return nil, err
	}
	if in.PeerVpcId == nil {
		return nil, missing("peerVpcId")
	}
	out := &ec2.CreateVpcPeeringConnectionOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		p, err := provision.Peering(tx, homeOf(call), *in.VpcId, *in.PeerVpcId, tags["vpc-peering-connection"], call.Time)
		out.VpcPeeringConnection = new(describePeering(tx, p))
		return err
	})
}

func (s *Service) movePeering(ctx context.Context, call awsapi.Call, dryRun *bool, id, state string) (out *ec2.VpcPeeringConnection, err error) {
	return out, s.update(ctx, call, dryRun, func(tx *store.Tx) error {
		p, err := provision.MovePeering(tx, homeOf(call), id, state, call.Time)
		out = new(describePeering(tx, p))
		return err
	})
}

// AcceptVpcPeeringConnection joins the two VPCs.
func (s *Service) AcceptVpcPeeringConnection(ctx context.Context, call awsapi.Call, in *ec2.AcceptVpcPeeringConnectionInput) (*ec2.AcceptVpcPeeringConnectionOutput, error) {
	p, err := s.movePeering(ctx, call, in.DryRun, *in.VpcPeeringConnectionId, resource.PeeringActive)
	return &ec2.AcceptVpcPeeringConnectionOutput{VpcPeeringConnection: p}, err
}

// RejectVpcPeeringConnection declines a request.
func (s *Service) RejectVpcPeeringConnection(ctx context.Context, call awsapi.Call, in *ec2.RejectVpcPeeringConnectionInput) (*ec2.RejectVpcPeeringConnectionOutput, error) {
	_, err := s.movePeering(ctx, call, in.DryRun, *in.VpcPeeringConnectionId, resource.PeeringRejected)
	return &ec2.RejectVpcPeeringConnectionOutput{Return: new(true)}, err
}

// DeleteVpcPeeringConnection parts the two VPCs.
func (s *Service) DeleteVpcPeeringConnection(ctx context.Context, call awsapi.Call, in *ec2.DeleteVpcPeeringConnectionInput) (*ec2.DeleteVpcPeeringConnectionOutput, error) {
	_, err := s.movePeering(ctx, call, in.DryRun, *in.VpcPeeringConnectionId, resource.PeeringDeleted)
	return &ec2.DeleteVpcPeeringConnectionOutput{Return: new(true)}, err
}

// DescribeVpcPeeringConnections lists peering connections, ended ones for an hour.
func (s *Service) DescribeVpcPeeringConnections(ctx context.Context, call awsapi.Call, in *ec2.DescribeVpcPeeringConnectionsInput) (*ec2.DescribeVpcPeeringConnectionsOutput, error) {
	out := &ec2.DescribeVpcPeeringConnectionsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		home := func(p resource.PeeringConnection) resource.Home {
			if !p.Ended.IsZero() && call.Time.Sub(p.Ended) > provision.EndedVisible {
				return resource.Home{}
			}
			return p.Home
		}
		out.VpcPeeringConnections, out.NextToken, err = kind[resource.PeeringConnection, ec2.VpcPeeringConnection]{
			noun: provision.Peerings, table: tx.PeeringConnections, home: home,
			describe: func(p resource.PeeringConnection) ec2.VpcPeeringConnection { return describePeering(tx, p) },
			id:       func(p ec2.VpcPeeringConnection) string { return *p.VpcPeeringConnectionId },
			tags:     func(p ec2.VpcPeeringConnection) []ec2.Tag { return p.Tags },
			fields: fields[ec2.VpcPeeringConnection]{
				"accepter-vpc-info.cidr-block":  func(p ec2.VpcPeeringConnection) []string { return text(p.AccepterVpcInfo.CidrBlock) },
				"accepter-vpc-info.owner-id":    func(p ec2.VpcPeeringConnection) []string { return text(p.AccepterVpcInfo.OwnerId) },
				"accepter-vpc-info.vpc-id":      func(p ec2.VpcPeeringConnection) []string { return text(p.AccepterVpcInfo.VpcId) },
				"requester-vpc-info.cidr-block": func(p ec2.VpcPeeringConnection) []string { return text(p.RequesterVpcInfo.CidrBlock) },
				"requester-vpc-info.owner-id":   func(p ec2.VpcPeeringConnection) []string { return text(p.RequesterVpcInfo.OwnerId) },
				"requester-vpc-info.vpc-id":     func(p ec2.VpcPeeringConnection) []string { return text(p.RequesterVpcInfo.VpcId) },
				"status-code":                   func(p ec2.VpcPeeringConnection) []string { return text(p.Status.Code) },
				"vpc-peering-connection-id":     func(p ec2.VpcPeeringConnection) []string { return text(p.VpcPeeringConnectionId) },
			},
		}.list(homeOf(call), query{in.VpcPeeringConnectionIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

// peeringMessages are EC2's words for the states.
var peeringMessages = map[string]string{
	resource.PeeringPending: "Pending Acceptance by %s", resource.PeeringActive: "Active", resource.PeeringDeleted: "Deleted by %s",
	resource.PeeringRejected: "Rejected by %s", resource.PeeringFailed: "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range",
}

func describePeering(tx *store.Tx, p resource.PeeringConnection) ec2.VpcPeeringConnection {
	message := peeringMessages[p.State]
	if n := len(message); n > 2 && message[n-2:] == "%s" {
		message = message[:n-2] + p.Account
	}
	accepter := peeringSide(tx, p, p.Accepter, p.AccepterCIDR)
	if p.State != resource.PeeringActive {
		accepter.CidrBlock, accepter.CidrBlockSet, accepter.Ipv6CidrBlockSet = nil, nil, nil
	}
	return ec2.VpcPeeringConnection{
		VpcPeeringConnectionId: &p.ID, Status: &ec2.VpcPeeringConnectionStateReason{Code: &p.State, Message: &message}, Tags: tagSet(p.Tags),
		RequesterVpcInfo: peeringSide(tx, p, p.Requester, p.RequesterCIDR), AccepterVpcInfo: accepter,
	}
}

// peeringSide is one VPC of a peering connection, with the blocks that it has now or, once the
// connection has ended, had when it was made.
func peeringSide(tx *store.Tx, p resource.PeeringConnection, vpc string, had []netip.Prefix) *ec2.VpcPeeringConnectionVpcInfo {
	out := &ec2.VpcPeeringConnectionVpcInfo{VpcId: &vpc, OwnerId: &p.Account, Region: &p.Region}
	if v, ok := tx.VPCs.Get(vpc); ok && p.Ended.IsZero() {
		had = nil
		for _, c := range v.CIDRs {
			had = append(had, c.CIDR)
		}
		for _, c := range v.CIDRs6 {
			out.Ipv6CidrBlockSet = append(out.Ipv6CidrBlockSet, ec2.Ipv6CidrBlock{Ipv6CidrBlock: new(c.CIDR.String())})
		}
	}
	for i, c := range had {
		if i == 0 {
			out.CidrBlock = new(c.String())
		}
		out.CidrBlockSet = append(out.CidrBlockSet, ec2.CidrBlock{CidrBlock: new(c.String())})
	}
	return out
}
