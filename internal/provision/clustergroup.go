package provision

import (
	"slices"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// KeepClusterGroup gives the security group that EKS has made for a cluster the tags that it
// has on EKS, and the rule by which its members reach each other, as far as they are missing.
// A group that is no more is left to the cluster's health to tell.
func KeepClusterGroup(tx *store.Tx, c resource.Cluster) error {
	g, ok := tx.SecurityGroups.Get(c.Spec.ClusterSecurityGroup)
	if !ok {
		return nil
	}
	err := tx.SecurityGroups.Edit(g.ID, func(g *resource.SecurityGroup) error {
		g.Tags = g.Tags.With(resource.Tags{"Name": g.Name, "aws:eks:cluster-name": c.Name, "kubernetes.io/cluster/" + c.Name: "owned"})
		return nil
	})
	self := resource.SecurityGroupRule{Protocol: "-1", FromPort: -1, ToPort: -1, Group: g.ID}
	if err != nil || slices.ContainsFunc(g.Rules, func(r resource.SecurityGroupRule) bool { return !r.Egress && SameRule(r, self) }) {
		return err
	}
	_, err = AuthorizeRules(tx, c.Home, g.ID, []resource.SecurityGroupRule{self})
	return err
}
