package identity

import (
	"strings"

	"ekster.dev/ekster/gen/eks"
)

func (s scope) cluster(name *string) string { return s.arn("eks", "cluster/"+deref(name)) }

// nodegroup finds the node group's ARN, which ends in a UUID that no input has.
func (s scope) nodegroup(cluster, name *string) string {
	c, n := deref(cluster), deref(name)
	for arn, ng := range s.tx.Nodegroups.All() {
		if ng.Name == n && ng.Account == s.call.Account && ng.Cluster == s.cluster(cluster) {
			return arn
		}
	}
	return s.arn("eks", "nodegroup/"+c+"/"+n+"/*")
}

// accessEntry finds the access entry's ARN, which has a UUID too.
func (s scope) accessEntry(cluster, principal *string) string {
	for _, e := range s.tx.AccessEntries.All() {
		if e.Cluster == s.cluster(cluster) && e.Principal == deref(principal) {
			return e.ARN
		}
	}
	return s.arn("eks", "access-entry/"+deref(cluster)+"/*")
}

// addon finds the ARN of what belongs to a cluster and has a name and a UUID: what is not
// there is any.
func (s scope) addon(kind string, cluster, name *string) string {
	arn := s.arn("eks", kind+"/"+deref(cluster)+"/"+deref(name))
	for found := range s.tx.Addons.All() {
		if strings.HasPrefix(found, arn+"/") {
			return found
		}
	}
	return arn + "/*"
}

// provider finds the ARN of an identity provider.
func (s scope) provider(cluster *string, config *eks.IdentityProviderConfig) []string {
	if config == nil {
		return []string{s.arn("eks", "identityproviderconfig/"+deref(cluster)+"/*")}
	}
	for _, p := range s.tx.IdentityProviders.All() {
		if p.Cluster == s.cluster(cluster) && p.Name == deref(config.Name) {
			return []string{p.ARN}
		}
	}
	return []string{s.arn("eks", "identityproviderconfig/"+deref(cluster)+"/"+deref(config.Type)+"/"+deref(config.Name)+"/*")}
}

// updated are the resources whose updates are asked for: a cluster, and what of it.
func (s scope) updated(cluster, nodegroup, addon, capability *string) []string {
	out := []string{s.cluster(cluster)}
	if nodegroup != nil {
		out = append(out, s.nodegroup(cluster, nodegroup))
	}
	if addon != nil {
		out = append(out, s.addon("addon", cluster, addon))
	}
	if capability != nil {
		out = append(out, s.addon("capability", cluster, capability))
	}
	return out
}

var eksRules = rules{
	"AssociateAccessPolicy": with(on(func(s scope, in *eks.AssociateAccessPolicyInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), scopeKeys),
	"CreateAccessEntry": needs(with(on(func(s scope, in *eks.CreateAccessEntryInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}), newEntryKeys), func(s scope, in *eks.CreateAccessEntryInput) []check {
		checks := s.tagResource(s.arn("eks", "access-entry/"+deref(in.ClusterName)+"/*"), in.Tags)
		switch deref(in.Type) {
		case "EC2_LINUX", "EC2_WINDOWS", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX": // whoever is one of these joins as a node
			checks = append(s.pass(in.PrincipalArn, "ec2.amazonaws.com"), checks...)
		}
		return checks
	}),
	"CreateCluster": needs(with(on(func(s scope, in *eks.CreateClusterInput) []string { return []string{s.cluster(in.Name)} }), newClusterKeys),
		func(s scope, in *eks.CreateClusterInput) []check {
			checks := s.pass(in.RoleArn, "eks.amazonaws.com")
			if in.ComputeConfig != nil {
				checks = append(checks, s.pass(in.ComputeConfig.NodeRoleArn, "ec2.amazonaws.com")...)
			}
			checks = append(checks, s.linked("eks.amazonaws.com")...)
			if c := in.AccessConfig; c != nil && strings.HasPrefix(deref(c.AuthenticationMode), "API") && (c.BootstrapClusterCreatorAdminPermissions == nil || *c.BootstrapClusterCreatorAdminPermissions) {
				// The creator becomes the cluster's administrator by an entry.
				checks = append(checks, check{action: "eks:CreateAccessEntry", resources: []string{s.cluster(in.Name)}, keys: s.creatorKeys(in.Name)})
			}
			return append(checks, s.tagResource(s.cluster(in.Name), in.Tags)...)
		}),
	"CreateNodegroup": needs(with(on(func(s scope, in *eks.CreateNodegroupInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}), func(in *eks.CreateNodegroupInput) map[string][]string { return requestTags(in.Tags) }),
		func(s scope, in *eks.CreateNodegroupInput) []check {
			checks := append(s.pass(in.NodeRole, "eks.amazonaws.com"), s.linked("eks-nodegroup.amazonaws.com")...)
			checks = append(checks, s.nodeLaunch(in.LaunchTemplate, in.Subnets, in.InstanceTypes)...)
			return append(checks, s.tagResource(s.arn("eks", "nodegroup/"+deref(in.ClusterName)+"/"+deref(in.NodegroupName)+"/*"), in.Tags)...)
		}),
	"DeleteAccessEntry": on(func(s scope, in *eks.DeleteAccessEntryInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"DeleteCluster": on(func(s scope, in *eks.DeleteClusterInput) []string { return []string{s.cluster(in.Name)} }),
	"DeleteNodegroup": on(func(s scope, in *eks.DeleteNodegroupInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
	"DescribeAccessEntry": on(func(s scope, in *eks.DescribeAccessEntryInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"DescribeCluster":         on(func(s scope, in *eks.DescribeClusterInput) []string { return []string{s.cluster(in.Name)} }),
	"DescribeClusterVersions": on(func(s scope, _ *eks.DescribeClusterVersionsInput) []string { return []string{s.arn("eks", "*")} }),
	"DescribeNodegroup": on(func(s scope, in *eks.DescribeNodegroupInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
	"DescribeUpdate": on(func(s scope, in *eks.DescribeUpdateInput) []string {
		return s.updated(in.Name, in.NodegroupName, in.AddonName, in.CapabilityName)
	}),
	"DisassociateAccessPolicy": within(on(func(s scope, in *eks.DisassociateAccessPolicyInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), pastScopeKeys),
	"ListAccessEntries": on(func(s scope, in *eks.ListAccessEntriesInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}),
	"ListAccessPolicies": anything,
	"ListAssociatedAccessPolicies": on(func(s scope, in *eks.ListAssociatedAccessPoliciesInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"ListClusters": on(func(s scope, _ *eks.ListClustersInput) []string { return []string{s.arn("eks", "cluster/*")} }),
	"ListNodegroups": on(func(s scope, in *eks.ListNodegroupsInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}),
	"ListTagsForResource": on(func(_ scope, in *eks.ListTagsForResourceInput) []string { return []string{deref(in.ResourceArn)} }),
	"ListUpdates": on(func(s scope, in *eks.ListUpdatesInput) []string {
		return s.updated(in.Name, in.NodegroupName, in.AddonName, in.CapabilityName)
	}),
	"TagResource": with(on(func(_ scope, in *eks.TagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.TagResourceInput) map[string][]string { return requestTags(in.Tags) }),
	"UntagResource": with(on(func(_ scope, in *eks.UntagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.UntagResourceInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UpdateAccessEntry": with(on(func(s scope, in *eks.UpdateAccessEntryInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), changedEntryKeys),
	"UpdateClusterConfig": with(on(func(s scope, in *eks.UpdateClusterConfigInput) []string { return []string{s.cluster(in.Name)} }), changedClusterKeys),
	"UpdateClusterVersion": with(on(func(s scope, in *eks.UpdateClusterVersionInput) []string { return []string{s.cluster(in.Name)} }),
		func(in *eks.UpdateClusterVersionInput) map[string][]string {
			keys := said{}
			keys.text("kubernetesVersion", in.Version)
			return keys
		}),
	"UpdateNodegroupConfig": on(func(s scope, in *eks.UpdateNodegroupConfigInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
	"UpdateNodegroupVersion": needs(on(func(s scope, in *eks.UpdateNodegroupVersionInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}), func(s scope, in *eks.UpdateNodegroupVersionInput) []check {
		n, _ := s.tx.Nodegroups.Get(s.nodegroup(in.ClusterName, in.NodegroupName))
		return s.nodeLaunch(in.LaunchTemplate, n.Spec.Subnets, n.Spec.InstanceTypes)
	}),
}
