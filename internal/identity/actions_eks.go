package identity

import "ekster.dev/ekster/gen/eks"

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

var eksRules = rules{
	"AssociateAccessPolicy": with(on(func(s scope, in *eks.AssociateAccessPolicyInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), func(in *eks.AssociateAccessPolicyInput) map[string][]string {
		return map[string][]string{"eks:policyArn": {deref(in.PolicyArn)}}
	}),
	"CreateAccessEntry": with(on(func(s scope, in *eks.CreateAccessEntryInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}), func(in *eks.CreateAccessEntryInput) map[string][]string {
		return map[string][]string{"eks:principalArn": {deref(in.PrincipalArn)}}
	}),
	"CreateCluster": with(on(func(s scope, in *eks.CreateClusterInput) []string { return []string{s.cluster(in.Name)} }), func(in *eks.CreateClusterInput) map[string][]string { return requestTags(in.Tags) }),
	"CreateNodegroup": with(on(func(s scope, in *eks.CreateNodegroupInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}), func(in *eks.CreateNodegroupInput) map[string][]string { return requestTags(in.Tags) }),
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
	"DescribeClusterVersions": anything,
	"DescribeNodegroup": on(func(s scope, in *eks.DescribeNodegroupInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
	"DescribeUpdate": on(func(s scope, in *eks.DescribeUpdateInput) []string {
		if in.NodegroupName != nil {
			return []string{s.cluster(in.Name), s.nodegroup(in.Name, in.NodegroupName)}
		}
		return []string{s.cluster(in.Name)}
	}),
	"DisassociateAccessPolicy": with(on(func(s scope, in *eks.DisassociateAccessPolicyInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), func(in *eks.DisassociateAccessPolicyInput) map[string][]string {
		return map[string][]string{"eks:policyArn": {deref(in.PolicyArn)}}
	}),
	"ListAccessEntries": on(func(s scope, in *eks.ListAccessEntriesInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}),
	"ListAccessPolicies": anything,
	"ListAssociatedAccessPolicies": on(func(s scope, in *eks.ListAssociatedAccessPoliciesInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"ListClusters": anything,
	"ListNodegroups": on(func(s scope, in *eks.ListNodegroupsInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}),
	"ListTagsForResource": on(func(_ scope, in *eks.ListTagsForResourceInput) []string { return []string{deref(in.ResourceArn)} }),
	"ListUpdates": on(func(s scope, in *eks.ListUpdatesInput) []string {
		if in.NodegroupName != nil {
			return []string{s.cluster(in.Name), s.nodegroup(in.Name, in.NodegroupName)}
		}
		return []string{s.cluster(in.Name)}
	}),
	"TagResource": with(on(func(_ scope, in *eks.TagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.TagResourceInput) map[string][]string { return requestTags(in.Tags) }),
	"UntagResource": with(on(func(_ scope, in *eks.UntagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.UntagResourceInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UpdateAccessEntry": on(func(s scope, in *eks.UpdateAccessEntryInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"UpdateNodegroupConfig": on(func(s scope, in *eks.UpdateNodegroupConfigInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
}
