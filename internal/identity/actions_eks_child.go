package identity

import (
	"strings"

	"ekster.dev/ekster/gen/eks"
)

// eksChildRules are about what belongs to a cluster.
var eksChildRules = rules{
	"AssociateEncryptionConfig":       inCluster("ClusterName", ""),
	"AssociateIdentityProviderConfig": with(inCluster("ClusterName", "identityproviderconfig"), newProviderKeys),
	"CancelUpdate":                    inCluster("Name", ""),
	"CreateAddon": needs(passing(inCluster("ClusterName", "addon"), "ServiceAccountRoleArn", "eks.amazonaws.com"), func(s scope, in *eks.CreateAddonInput) []check {
		return s.passToPods(in.PodIdentityAssociations)
	}),
	"CreateCapability":             passing(inCluster("ClusterName", "capability"), "RoleArn", "eks.amazonaws.com"),
	"CreateFargateProfile":         linking(passing(inCluster("ClusterName", "fargateprofile"), "PodExecutionRoleArn", "eks.amazonaws.com"), "eks-fargate.amazonaws.com"),
	"CreatePodIdentityAssociation": getting(passing(inCluster("ClusterName", "podidentityassociation"), "RoleArn", podService)),
	"DeleteAddon":                  child("addon", "AddonName", true),
	"DeleteCapability":             child("capability", "CapabilityName", true),
	"DeleteFargateProfile":         child("fargateprofile", "FargateProfileName", true),
	"DeletePodIdentityAssociation": child("podidentityassociation", "AssociationId", false),
	"DeregisterCluster":            inCluster("Name", ""),
	"DescribeAddon":                child("addon", "AddonName", true),
	"DescribeAddonConfiguration":   anything,
	"DescribeAddonVersions":        anything,
	"DescribeCapability":           child("capability", "CapabilityName", true),
	"DescribeFargateProfile":       child("fargateprofile", "FargateProfileName", true),
	"DescribeIdentityProviderConfig": on(func(s scope, in *eks.DescribeIdentityProviderConfigInput) []string {
		return s.provider(in.ClusterName, in.IdentityProviderConfig)
	}),
	"DescribeInsight":                inCluster("ClusterName", ""),
	"DescribeInsightsRefresh":        inCluster("ClusterName", ""),
	"DescribePodIdentityAssociation": child("podidentityassociation", "AssociationId", false),
	"DisassociateIdentityProviderConfig": on(func(s scope, in *eks.DisassociateIdentityProviderConfigInput) []string {
		return s.provider(in.ClusterName, in.IdentityProviderConfig)
	}),
	"ListAddons":                  inCluster("ClusterName", ""),
	"ListCapabilities":            inCluster("ClusterName", ""),
	"ListFargateProfiles":         inCluster("ClusterName", ""),
	"ListIdentityProviderConfigs": inCluster("ClusterName", ""),
	"ListInsights":                inCluster("ClusterName", ""),
	"ListPodIdentityAssociations": inCluster("ClusterName", ""),
	"RegisterCluster":             anything,
	"StartInsightsRefresh":        inCluster("ClusterName", ""),
	"UpdateAddon": needs(passing(child("addon", "AddonName", true), "ServiceAccountRoleArn", "eks.amazonaws.com"), func(s scope, in *eks.UpdateAddonInput) []check {
		return s.passToPods(in.PodIdentityAssociations)
	}),
	"UpdateCapability":             passing(child("capability", "CapabilityName", true), "RoleArn", "eks.amazonaws.com"),
	"UpdatePodIdentityAssociation": getting(passing(child("podidentityassociation", "AssociationId", false), "RoleArn", podService)),
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

// passToPods is the check that the caller may hand an add-on's pods their roles.
func (s scope) passToPods(list []eks.AddonPodIdentityAssociations) []check {
	var out []check
	for _, a := range list {
		out = append(out, s.pass(a.RoleArn, podService)...)
	}
	return out
}
