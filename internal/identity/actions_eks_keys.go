package identity

import (
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/eks"
)

// The condition keys of EKS's own, as its service authorization reference lists them. What
// a request does not say has no key: EKS's defaults are filled in after the decision.

// said are condition keys with what a request says of them.
type said map[string][]string

func (k said) text(key string, v *string) {
	if v != nil {
		k["eks:"+key] = []string{*v}
	}
}

func (k said) flag(key string, v *bool) {
	if v != nil {
		k["eks:"+key] = []string{strconv.FormatBool(*v)}
	}
}

func (k said) list(key string, v []string) {
	if len(v) > 0 {
		k["eks:"+key] = v
	}
}

// newClusterKeys are the condition keys of a cluster that is to be made.
func newClusterKeys(in *eks.CreateClusterInput) map[string][]string {
	keys := said(requestTags(in.Tags))
	keys.text("kubernetesVersion", in.Version)
	keys.flag("bootstrapSelfManagedAddons", in.BootstrapSelfManagedAddons)
	keys.flag("deletionProtection", in.DeletionProtection)
	keys.list("encryptionConfigProviderKeyArns", providerKeys(in.EncryptionConfig))
	if c := in.AccessConfig; c != nil {
		keys.text("authenticationMode", c.AuthenticationMode)
		keys.flag("bootstrapClusterCreatorAdminPermissions", c.BootstrapClusterCreatorAdminPermissions)
	}
	if c := in.ResourcesVpcConfig; c != nil {
		keys.flag("endpointPublicAccess", c.EndpointPublicAccess)
		keys.flag("endpointPrivateAccess", c.EndpointPrivateAccess)
		keys.text("controlPlaneEgressMode", c.ControlPlaneEgressMode)
	}
	if c := in.ComputeConfig; c != nil {
		keys.flag("computeConfigEnabled", c.Enabled)
	}
	if c := in.StorageConfig; c != nil && c.BlockStorage != nil {
		keys.flag("blockStorageEnabled", c.BlockStorage.Enabled)
	}
	if c := in.KubernetesNetworkConfig; c != nil && c.ElasticLoadBalancing != nil {
		keys.flag("elasticLoadBalancingEnabled", c.ElasticLoadBalancing.Enabled)
	}
	if c := in.UpgradePolicy; c != nil {
		keys.text("supportType", c.SupportType)
	}
	if c := in.ZonalShiftConfig; c != nil {
		keys.flag("zonalShiftEnabled", c.Enabled)
	}
	if c := in.ControlPlaneScalingConfig; c != nil {
		keys.text("controlPlaneScalingTier", c.Tier)
	}
	if in.Logging != nil {
		for _, setup := range in.Logging.ClusterLogging {
			for _, kind := range setup.Types {
				keys.flag("loggingType/"+kind, setup.Enabled)
			}
		}
	}
	return keys
}

// changedClusterKeys are the condition keys of a cluster's new settings: those of a new
// cluster that UpdateClusterConfig takes.
func changedClusterKeys(in *eks.UpdateClusterConfigInput) map[string][]string {
	same := &eks.CreateClusterInput{
		ResourcesVpcConfig: in.ResourcesVpcConfig, Logging: in.Logging, UpgradePolicy: in.UpgradePolicy, ZonalShiftConfig: in.ZonalShiftConfig,
		ComputeConfig: in.ComputeConfig, KubernetesNetworkConfig: in.KubernetesNetworkConfig, StorageConfig: in.StorageConfig,
		DeletionProtection: in.DeletionProtection, ControlPlaneScalingConfig: in.ControlPlaneScalingConfig,
	}
	if c := in.AccessConfig; c != nil {
		same.AccessConfig = &eks.CreateAccessConfigRequest{AuthenticationMode: c.AuthenticationMode}
	}
	return newClusterKeys(same)
}

func providerKeys(config []eks.EncryptionConfig) []string {
	var out []string
	for _, c := range config {
		if c.Provider != nil && c.Provider.KeyArn != nil {
			out = append(out, *c.Provider.KeyArn)
		}
	}
	return out
}

// newEntryKeys are the condition keys of an access entry that is to be made.
func newEntryKeys(in *eks.CreateAccessEntryInput) map[string][]string {
	keys := said(requestTags(in.Tags))
	keys.text("principalArn", in.PrincipalArn)
	keys.text("clusterName", in.ClusterName)
	keys["eks:accessEntryType"] = []string{"STANDARD"}
	keys.text("accessEntryType", in.Type)
	keys.text("username", in.Username)
	keys.list("kubernetesGroups", in.KubernetesGroups)
	return keys
}

// changedEntryKeys are those that an access entry is to have; of what stays as it is the
// entry itself gives them.
func changedEntryKeys(in *eks.UpdateAccessEntryInput) map[string][]string {
	keys := said{}
	keys.text("username", in.Username)
	keys.list("kubernetesGroups", in.KubernetesGroups)
	return keys
}

// scopeKeys are the condition keys of an access policy that an entry is to have.
func scopeKeys(in *eks.AssociateAccessPolicyInput) map[string][]string {
	keys := said{}
	keys.text("policyArn", in.PolicyArn)
	if in.AccessScope != nil {
		keys.text("accessScope", in.AccessScope.Type)
		keys.list("namespaces", in.AccessScope.Namespaces)
	}
	return keys
}

// pastScopeKeys are the condition keys of an access policy that an entry is to lose. The
// request names no scope: it is the one that the association has.
func pastScopeKeys(s scope, in *eks.DisassociateAccessPolicyInput) map[string][]string {
	keys := said{}
	keys.text("policyArn", in.PolicyArn)
	for _, e := range s.tx.AccessEntries.All() {
		if e.Cluster != s.cluster(in.ClusterName) || e.Principal != deref(in.PrincipalArn) {
			continue
		}
		for _, p := range e.Policies {
			if p.PolicyARN == deref(in.PolicyArn) {
				keys.text("accessScope", &p.ScopeType)
				keys.list("namespaces", slices.Clone(p.Namespaces))
			}
		}
	}
	return keys
}

// newProviderKeys are the condition keys of an OIDC identity provider for people.
func newProviderKeys(in *eks.AssociateIdentityProviderConfigInput) map[string][]string {
	keys := said(requestTags(in.Tags))
	if in.Oidc != nil {
		keys.text("clientId", in.Oidc.ClientId)
		keys.text("issuerUrl", in.Oidc.IssuerUrl)
	}
	return keys
}

// creatorKeys are the condition keys of the access entry that a cluster's creator gets.
func (s scope) creatorKeys(cluster *string) map[string][]string {
	principal := s.call.Caller.ARN
	if s.call.Caller.RoleARN != "" {
		principal = s.call.Caller.RoleARN
	}
	return newEntryKeys(&eks.CreateAccessEntryInput{ClusterName: cluster, PrincipalArn: &principal})
}
