package identity

import "strings"

// eksChildRules are about what belongs to a cluster, and about changing one.
var eksChildRules = rules{
	"AssociateEncryptionConfig":          inCluster("ClusterName", ""),
	"AssociateIdentityProviderConfig":    inCluster("ClusterName", "identityproviderconfig"),
	"CancelUpdate":                       inCluster("Name", ""),
	"CreateAddon":                        passing(inCluster("ClusterName", "addon"), "ServiceAccountRoleArn", "eks.amazonaws.com"),
	"CreateCapability":                   passing(inCluster("ClusterName", "capability"), "RoleArn", "eks.amazonaws.com"),
	"CreateFargateProfile":               linking(passing(inCluster("ClusterName", "fargateprofile"), "PodExecutionRoleArn", "eks.amazonaws.com"), "eks-fargate.amazonaws.com"),
	"CreatePodIdentityAssociation":       getting(passing(inCluster("ClusterName", "podidentityassociation"), "RoleArn", "pods.eks.amazonaws.com")),
	"DeleteAddon":                        child("addon", "AddonName", true),
	"DeleteCapability":                   child("capability", "CapabilityName", true),
	"DeleteFargateProfile":               child("fargateprofile", "FargateProfileName", true),
	"DeletePodIdentityAssociation":       child("podidentityassociation", "AssociationId", false),
	"DeregisterCluster":                  inCluster("Name", ""),
	"DescribeAddon":                      child("addon", "AddonName", true),
	"DescribeAddonConfiguration":         anything,
	"DescribeAddonVersions":              anything,
	"DescribeCapability":                 child("capability", "CapabilityName", true),
	"DescribeFargateProfile":             child("fargateprofile", "FargateProfileName", true),
	"DescribeIdentityProviderConfig":     inCluster("ClusterName", ""),
	"DescribeInsight":                    inCluster("ClusterName", ""),
	"DescribeInsightsRefresh":            inCluster("ClusterName", ""),
	"DescribePodIdentityAssociation":     child("podidentityassociation", "AssociationId", false),
	"DisassociateIdentityProviderConfig": inCluster("ClusterName", ""),
	"ListAddons":                         inCluster("ClusterName", ""),
	"ListCapabilities":                   inCluster("ClusterName", ""),
	"ListFargateProfiles":                inCluster("ClusterName", ""),
	"ListIdentityProviderConfigs":        inCluster("ClusterName", ""),
	"ListInsights":                       inCluster("ClusterName", ""),
	"ListPodIdentityAssociations":        inCluster("ClusterName", ""),
	"RegisterCluster":                    anything,
	"StartInsightsRefresh":               inCluster("ClusterName", ""),
	"UpdateAddon":                        passing(child("addon", "AddonName", true), "ServiceAccountRoleArn", "eks.amazonaws.com"),
	"UpdateCapability":                   passing(child("capability", "CapabilityName", true), "RoleArn", "eks.amazonaws.com"),
	"UpdateClusterConfig":                inCluster("Name", ""),
	"UpdateClusterVersion":               {fields: []string{"Name", "Version"}, resources: inCluster("Name", "").resources, keys: versionKey},
	"UpdateNodegroupVersion": {fields: []string{"ClusterName", "NodegroupName"}, resources: func(s scope, in any) []string {
		return []string{s.nodegroup(one(in, "ClusterName"), one(in, "NodegroupName"))}
	}},
	"UpdatePodIdentityAssociation": getting(passing(child("podidentityassociation", "AssociationId", false), "RoleArn", "pods.eks.amazonaws.com")),
}

func versionKey(_ scope, in any) map[string][]string {
	return map[string][]string{"eks:kubernetesVersion": field(in, "Version")}
}

// getting adds to a rule the check that the caller may read the role that it hands to pods.
func getting(r rule) rule {
	before := r.also
	r.also = func(s scope, in any) []check {
		out := before(s, in)
		if role := one(in, "RoleArn"); role != nil && strings.Contains(*role, ":"+s.call.Account+":") {
			out = append(out, check{action: "iam:GetRole", resources: []string{*role}})
		}
		return out
	}
	return r
}
