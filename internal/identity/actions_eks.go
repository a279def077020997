package identity

import (
	"strconv"
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

// newEntryKeys are the condition keys of an access entry that is to be made.
func newEntryKeys(in *eks.CreateAccessEntryInput) map[string][]string {
	keys := requestTags(in.Tags)
	keys["eks:principalArn"] = []string{deref(in.PrincipalArn)}
	keys["eks:accessEntryType"] = []string{"STANDARD"}
	keys["eks:clusterName"] = []string{deref(in.ClusterName)}
	if in.Type != nil {
		keys["eks:accessEntryType"] = []string{*in.Type}
	}
	if in.Username != nil {
		keys["eks:username"] = []string{*in.Username}
	}
	if len(in.KubernetesGroups) > 0 {
		keys["eks:kubernetesGroups"] = in.KubernetesGroups
	}
	return keys
}

// newClusterKeys are the condition keys of a cluster that is to be made: of what the request says.
func newClusterKeys(in *eks.CreateClusterInput) map[string][]string {
	keys := requestTags(in.Tags)
	text := func(key string, v *string) {
		if v != nil {
			keys["eks:"+key] = []string{*v}
		}
	}
	flag := func(key string, v *bool) {
		if v != nil {
			keys["eks:"+key] = []string{strconv.FormatBool(*v)}
		}
	}
	text("kubernetesVersion", in.Version)
	flag("bootstrapSelfManagedAddons", in.BootstrapSelfManagedAddons)
	flag("deletionProtection", in.DeletionProtection)
	if c := in.AccessConfig; c != nil {
		text("authenticationMode", c.AuthenticationMode)
		flag("bootstrapClusterCreatorAdminPermissions", c.BootstrapClusterCreatorAdminPermissions)
	}
	if c := in.ResourcesVpcConfig; c != nil {
		flag("endpointPublicAccess", c.EndpointPublicAccess)
		flag("endpointPrivateAccess", c.EndpointPrivateAccess)
		text("controlPlaneEgressMode", c.ControlPlaneEgressMode)
	}
	if c := in.ComputeConfig; c != nil {
		flag("computeConfigEnabled", c.Enabled)
	}
	if c := in.StorageConfig; c != nil && c.BlockStorage != nil {
		flag("blockStorageEnabled", c.BlockStorage.Enabled)
	}
	if c := in.KubernetesNetworkConfig; c != nil && c.ElasticLoadBalancing != nil {
		flag("elasticLoadBalancingEnabled", c.ElasticLoadBalancing.Enabled)
	}
	if c := in.UpgradePolicy; c != nil {
		text("supportType", c.SupportType)
	}
	if c := in.ZonalShiftConfig; c != nil {
		flag("zonalShiftEnabled", c.Enabled)
	}
	if c := in.ControlPlaneScalingConfig; c != nil {
		text("controlPlaneScalingTier", c.Tier)
	}
	for _, c := range in.EncryptionConfig {
		if c.Provider != nil {
			keys["eks:encryptionConfigProviderKeyArns"] = append(keys["eks:encryptionConfigProviderKeyArns"], deref(c.Provider.KeyArn))
		}
	}
	if in.Logging != nil {
		for _, setup := range in.Logging.ClusterLogging {
			for _, kind := range setup.Types {
				flag("loggingType/"+kind, setup.Enabled)
			}
		}
	}
	return keys
}

var eksRules = rules{
	"AssociateAccessPolicy": with(on(func(s scope, in *eks.AssociateAccessPolicyInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}), func(in *eks.AssociateAccessPolicyInput) map[string][]string {
		keys := map[string][]string{"eks:policyArn": {deref(in.PolicyArn)}}
		if in.AccessScope != nil {
			keys["eks:accessScope"] = []string{deref(in.AccessScope.Type)}
			keys["eks:namespaces"] = in.AccessScope.Namespaces
		}
		return keys
	}),
	"CancelUpdate": on(func(s scope, in *eks.CancelUpdateInput) []string { return []string{s.cluster(in.Name)} }),
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
				checks = append(checks, check{action: "eks:CreateAccessEntry", resources: []string{s.cluster(in.Name)}})
			}
			return append(checks, s.tagResource(s.cluster(in.Name), in.Tags)...)
		}),
	"CreateNodegroup": needs(with(on(func(s scope, in *eks.CreateNodegroupInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}), func(in *eks.CreateNodegroupInput) map[string][]string { return requestTags(in.Tags) }),
		func(s scope, in *eks.CreateNodegroupInput) []check {
			checks := append(s.pass(in.NodeRole, "eks.amazonaws.com"), s.linked("eks-nodegroup.amazonaws.com")...)
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
	"DescribeClusterVersions": anything,
	"DescribeInsight":         on(func(s scope, in *eks.DescribeInsightInput) []string { return []string{s.cluster(in.ClusterName)} }),
	"DescribeInsightsRefresh": on(func(s scope, in *eks.DescribeInsightsRefreshInput) []string {
		return []string{s.cluster(in.ClusterName)}
	}),
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
	"ListInsights": on(func(s scope, in *eks.ListInsightsInput) []string { return []string{s.cluster(in.ClusterName)} }),
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
	"StartInsightsRefresh": on(func(s scope, in *eks.StartInsightsRefreshInput) []string { return []string{s.cluster(in.ClusterName)} }),
	"TagResource":          with(on(func(_ scope, in *eks.TagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.TagResourceInput) map[string][]string { return requestTags(in.Tags) }),
	"UntagResource": with(on(func(_ scope, in *eks.UntagResourceInput) []string { return []string{deref(in.ResourceArn)} }), func(in *eks.UntagResourceInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UpdateAccessEntry": on(func(s scope, in *eks.UpdateAccessEntryInput) []string {
		return []string{s.accessEntry(in.ClusterName, in.PrincipalArn)}
	}),
	"UpdateClusterConfig":  on(func(s scope, in *eks.UpdateClusterConfigInput) []string { return []string{s.cluster(in.Name)} }),
	"UpdateClusterVersion": on(func(s scope, in *eks.UpdateClusterVersionInput) []string { return []string{s.cluster(in.Name)} }),
	"UpdateNodegroupConfig": on(func(s scope, in *eks.UpdateNodegroupConfigInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
	"UpdateNodegroupVersion": on(func(s scope, in *eks.UpdateNodegroupVersionInput) []string {
		return []string{s.nodegroup(in.ClusterName, in.NodegroupName)}
	}),
}
