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

// DescribeStaleSecurityGroups lists the groups of a VPC with rules that name groups of VPCs
// which are no longer joined with it, or groups that are gone.
func (s *Service) DescribeStaleSecurityGroups(ctx context.Context, call awsapi.Call, in *ec2.DescribeStaleSecurityGroupsInput) (*ec2.DescribeStaleSecurityGroupsOutput, error) {
	out := &ec2.DescribeStaleSecurityGroupsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		var all []ec2.StaleSecurityGroup
		for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.VPC == v.ID }) {
			stale := ec2.StaleSecurityGroup{GroupId: &g.ID, GroupName: &g.Name, Description: &g.Description, VpcId: &g.VPC}
			var rules []resource.SecurityGroupRule
			for _, r := range g.Rules {
				if peer, ok := tx.SecurityGroups.Get(r.Group); r.Group != "" && (!ok || peer.VPC != v.ID && !provision.Peered(tx, v.ID, peer.VPC)) {
					rules = append(rules, r)
				}
			}
			for _, p := range permissions(tx, g, rules, false) {
				stale.StaleIpPermissions = append(stale.StaleIpPermissions, stalePermission(p))
			}
			for _, p := range permissions(tx, g, rules, true) {
				stale.StaleIpPermissionsEgress = append(stale.StaleIpPermissionsEgress, stalePermission(p))
			}
			if len(rules) > 0 {
				all = append(all, stale)
			}
		}
		key := func(g ec2.StaleSecurityGroup) string { return *g.GroupId }
		slices.SortFunc(all, func(a, b ec2.StaleSecurityGroup) int { return cmp.Compare(key(a), key(b)) })
		out.StaleSecurityGroupSet, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 0)
		return err
	})
}

func stalePermission(p ec2.IpPermission) ec2.StaleIpPermission {
	return ec2.StaleIpPermission{IpProtocol: p.IpProtocol, FromPort: p.FromPort, ToPort: p.ToPort, UserIdGroupPairs: p.UserIdGroupPairs}
}

// DescribeSecurityGroupReferences says which VPCs have rules that name groups of the caller's
// across a peering connection.
func (s *Service) DescribeSecurityGroupReferences(ctx context.Context, call awsapi.Call, in *ec2.DescribeSecurityGroupReferencesInput) (*ec2.DescribeSecurityGroupReferencesOutput, error) {
	out := &ec2.DescribeSecurityGroupReferencesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, id := range in.GroupId {
			g, err := provision.LookupSecurityGroup(tx, homeOf(call), id)
			if err != nil {
				return err
			}
			seen := map[string]bool{g.VPC: true}
			for _, other := range tx.SecurityGroups.All() {
				for _, r := range other.Rules {
					p, ok := peeringBetween(tx, g.VPC, other.VPC)
					if r.Group != id || seen[other.VPC] || !ok {
						continue
					}
					seen[other.VPC] = true
					out.SecurityGroupReferenceSet = append(out.SecurityGroupReferenceSet, ec2.SecurityGroupReference{GroupId: &id, ReferencingVpcId: &other.VPC, VpcPeeringConnectionId: &p.ID})
				}
			}
		}
		slices.SortFunc(out.SecurityGroupReferenceSet, func(a, b ec2.SecurityGroupReference) int {
			return cmp.Or(cmp.Compare(*a.GroupId, *b.GroupId), cmp.Compare(*a.ReferencingVpcId, *b.ReferencingVpcId))
		})
		return nil
	})
}

// peeringBetween is the connection of two VPCs: the active one, or else one that has ended.
func peeringBetween(tx *store.Tx, a, b string) (out resource.PeeringConnection, found bool) {
	for p := range tx.PeeringConnections.Values(func(p resource.PeeringConnection) bool {
		return p.Requester == a && p.Accepter == b || p.Requester == b && p.Accepter == a
	}) {
		if !found || p.State == resource.PeeringActive || out.State != resource.PeeringActive && p.Ended.After(out.Ended) {
			out, found = p, true
		}
	}
	return out, found
}
