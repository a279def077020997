package identity_test

import (
	"errors"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	viewPolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
	entryARN   = "arn:aws:eks:us-west-2:000000000000:access-entry/mine/role/000000000000/node/1"
)

// Each of EKS's own condition keys has the value that the request or the resource has: a
// policy that asks for it allows the call, and one that asks for another value does not.
func TestEKSConditionKeys(t *testing.T) {
	w := newDependents(t)
	w.update(func(tx *store.Tx) {
		const cluster = "arn:aws:eks:us-west-2:000000000000:cluster/mine"
		tx.AccessEntries.Put("e", resource.AccessEntry{ARN: entryARN, Cluster: cluster, Principal: roleARN + "node", Type: "STANDARD", Username: "ann", Groups: []string{"devs"},
			Policies: []resource.AssociatedPolicy{{PolicyARN: viewPolicy, ScopeType: "namespace", Namespaces: []string{"dev"}}}})
	})
	cluster := &eks.CreateClusterInput{
		Name: new("c"), RoleArn: new(roleARN + "cluster"), Version: new("1.35"), BootstrapSelfManagedAddons: new(false), DeletionProtection: new(true),
		AccessConfig:              &eks.CreateAccessConfigRequest{AuthenticationMode: new("API"), BootstrapClusterCreatorAdminPermissions: new(false)},
		ResourcesVpcConfig:        &eks.VpcConfigRequest{EndpointPublicAccess: new(false), EndpointPrivateAccess: new(true), ControlPlaneEgressMode: new("X")},
		ComputeConfig:             &eks.ComputeConfigRequest{Enabled: new(true)},
		StorageConfig:             &eks.StorageConfigRequest{BlockStorage: &eks.BlockStorage{Enabled: new(true)}},
		KubernetesNetworkConfig:   &eks.KubernetesNetworkConfigRequest{ElasticLoadBalancing: &eks.ElasticLoadBalancing{Enabled: new(true)}},
		UpgradePolicy:             &eks.UpgradePolicyRequest{SupportType: new("STANDARD")},
		ZonalShiftConfig:          &eks.ZonalShiftConfigRequest{Enabled: new(true)},
		ControlPlaneScalingConfig: &eks.ControlPlaneScalingConfig{Tier: new("tier-xl")},
		EncryptionConfig:          []eks.EncryptionConfig{{Provider: &eks.Provider{KeyArn: new("arn:aws:kms:us-west-2:000000000000:key/1")}}},
		Logging:                   &eks.Logging{ClusterLogging: []eks.LogSetup{{Types: []string{"api", "audit"}, Enabled: new(true)}, {Types: []string{"scheduler"}, Enabled: new(false)}}},
		Tags:                      map[string]string{"team": "a"},
	}
	config := &eks.UpdateClusterConfigInput{
		Name: new("mine"), DeletionProtection: new(true), AccessConfig: &eks.UpdateAccessConfigRequest{AuthenticationMode: new("API")},
		ResourcesVpcConfig: cluster.ResourcesVpcConfig, Logging: cluster.Logging, UpgradePolicy: cluster.UpgradePolicy, ZonalShiftConfig: cluster.ZonalShiftConfig,
		ComputeConfig: cluster.ComputeConfig, StorageConfig: cluster.StorageConfig, KubernetesNetworkConfig: cluster.KubernetesNetworkConfig,
		ControlPlaneScalingConfig: cluster.ControlPlaneScalingConfig,
	}
	entry := &eks.CreateAccessEntryInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node"), Username: new("ann"), KubernetesGroups: []string{"devs"}, Tags: map[string]string{"team": "a"}}
	associate := &eks.AssociateAccessPolicyInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node"), PolicyArn: new(viewPolicy),
		AccessScope: &eks.AccessScope{Type: new("namespace"), Namespaces: []string{"dev"}}}
	disassociate := &eks.DisassociateAccessPolicyInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node"), PolicyArn: new(viewPolicy)}
	people := &eks.AssociateIdentityProviderConfigInput{ClusterName: new("mine"), Oidc: &eks.OidcIdentityProviderConfigRequest{ClientId: new("kube"), IssuerUrl: new("https://issuer.example.com")}}
	both := map[string]string{ // of CreateCluster and UpdateClusterConfig
		"eks:authenticationMode": "API", "eks:deletionProtection": "true", "eks:endpointPublicAccess": "false", "eks:endpointPrivateAccess": "true",
		"eks:controlPlaneEgressMode": "X", "eks:computeConfigEnabled": "true", "eks:blockStorageEnabled": "true", "eks:elasticLoadBalancingEnabled": "true",
		"eks:supportType": "STANDARD", "eks:zonalShiftEnabled": "true", "eks:controlPlaneScalingTier": "tier-xl",
		"eks:loggingType/api": "true", "eks:loggingType/audit": "true", "eks:loggingType/scheduler": "false",
	}
	ofEntry := map[string]string{
		"eks:accessEntryType": "STANDARD", "eks:principalArn": roleARN + "node", "eks:clusterName": "mine", "eks:username": "ann", "eks:kubernetesGroups": "devs",
	}
	scoped := map[string]string{"eks:policyArn": viewPolicy, "eks:accessScope": "namespace", "eks:namespaces": "dev"}
	for _, c := range []struct {
		operation string
		in        any
		keys      []map[string]string
	}{
		{"CreateCluster", cluster, []map[string]string{both, {
			"eks:kubernetesVersion": "1.35", "eks:bootstrapClusterCreatorAdminPermissions": "false", "eks:bootstrapSelfManagedAddons": "false",
			"eks:encryptionConfigProviderKeyArns": "arn:aws:kms:us-west-2:000000000000:key/1", "aws:RequestTag/team": "a", "aws:TagKeys": "team",
		}}},
		{"UpdateClusterConfig", config, []map[string]string{both, {"aws:ResourceTag/owner": "s"}}},
		{"UpdateClusterVersion", &eks.UpdateClusterVersionInput{Name: new("mine"), Version: new("1.36")}, []map[string]string{{"eks:kubernetesVersion": "1.36"}}},
		{"CreateAccessEntry", entry, []map[string]string{ofEntry, {"aws:RequestTag/team": "a"}}},
		{"DescribeAccessEntry", &eks.DescribeAccessEntryInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node")}, []map[string]string{ofEntry}},
		{"UpdateAccessEntry", &eks.UpdateAccessEntryInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node"), Username: new("bob"), KubernetesGroups: []string{"ops"}},
			[]map[string]string{{"eks:username": "bob", "eks:kubernetesGroups": "ops", "eks:accessEntryType": "STANDARD", "eks:clusterName": "mine"}}},
		{"DeleteAccessEntry", &eks.DeleteAccessEntryInput{ClusterName: new("mine"), PrincipalArn: new(roleARN + "node")}, []map[string]string{ofEntry}},
		{"TagResource", &eks.TagResourceInput{ResourceArn: new(entryARN), Tags: map[string]string{"team": "a"}}, []map[string]string{ofEntry, {"aws:RequestTag/team": "a"}}},
		{"AssociateAccessPolicy", associate, []map[string]string{ofEntry, scoped}},
		{"DisassociateAccessPolicy", disassociate, []map[string]string{ofEntry, scoped}},
		{"AssociateIdentityProviderConfig", people, []map[string]string{{"eks:clientId": "kube", "eks:issuerUrl": "https://issuer.example.com"}}},
	} {
		for _, keys := range c.keys {
			for key, value := range keys {
				policy := func(value string) string {
					return policyOf("Allow iam:* *", "Allow eks:TagResource *", "Allow eks:CreateAccessEntry arn:aws:eks:*:*:cluster/c",
						`Allow eks:`+c.operation+` * {"ForAnyValue:StringEquals":{"`+key+`":"`+value+`"}}`)
				}
				if c.operation == "TagResource" {
					policy = func(value string) string { return policyOf("Allow eks:TagResource * " + is(key, value)) }
				}
				if err := w.authorize(policy(value), "eks:"+c.operation, c.in); err != nil {
					t.Errorf("%s with %s %s: %v", c.operation, key, value, err)
				}
				err := w.authorize(policy("another"), "eks:"+c.operation, c.in)
				if err == nil || !strings.Contains(err.Error(), "not authorized to perform: eks:"+c.operation+" on resource: ") {
					t.Errorf("%s with another %s than %s: %v", c.operation, key, value, err)
				}
			}
		}
	}
}

// A key of what the request leaves to EKS has no value: IfExists lets it pass, and nothing else does.
func TestEKSConditionKeysUnsaid(t *testing.T) {
	w := newDependents(t)
	in := &eks.UpdateClusterConfigInput{Name: new("mine"), DeletionProtection: new(true)}
	for _, key := range []string{"eks:endpointPublicAccess", "eks:authenticationMode", "eks:loggingType/api", "eks:supportType"} {
		if w.authorize(policyOf(`Allow eks:UpdateClusterConfig * {"StringNotEquals":{"`+key+`":"x"}}`), "eks:UpdateClusterConfig", in) != nil {
			t.Errorf("%s is something", key)
		}
		if w.authorize(policyOf(`Allow eks:UpdateClusterConfig * {"Null":{"`+key+`":"false"}}`), "eks:UpdateClusterConfig", in) == nil {
			t.Errorf("%s is there", key)
		}
		if err := w.authorize(policyOf(`Allow eks:UpdateClusterConfig * {"StringEqualsIfExists":{"`+key+`":"x"}}`), "eks:UpdateClusterConfig", in); err != nil {
			t.Error(err)
		}
	}
}

// EKS makes a dry run of a node group's launch template in the caller's name.
func TestNodeGroupLaunchTemplate(t *testing.T) {
	w := newDependents(t)
	const ngARN = "arn:aws:eks:us-west-2:000000000000:nodegroup/mine/g/1"
	w.update(func(tx *store.Tx) {
		addRole(tx, "node", "")
		lt, _ := tx.LaunchTemplates.Get("lt-1")
		lt.Versions[0].Data = []byte(`{"ImageId":"ami-1","InstanceType":"m5.large","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"team","Value":"a"}]}]}`)
		tx.LaunchTemplates.Put("lt-1", lt)
		tx.Nodegroups.Put(ngARN, resource.Nodegroup{Home: lt.Home, ARN: ngARN, Name: "g", Cluster: "arn:aws:eks:us-west-2:000000000000:cluster/mine",
			Spec: resource.NodegroupSpec{Subnets: []string{"subnet-1"}}})
	})
	create := func(lt *eks.LaunchTemplateSpecification) *eks.CreateNodegroupInput {
		return &eks.CreateNodegroupInput{ClusterName: new("c"), NodegroupName: new("n"), NodeRole: new(roleARN + "node"), Subnets: []string{"subnet-1", "subnet-2"}, LaunchTemplate: lt}
	}
	byName, byID := &eks.LaunchTemplateSpecification{Name: new("lt")}, &eks.LaunchTemplateSpecification{Id: new("lt-1"), Version: new("1")}
	update := &eks.UpdateNodegroupVersionInput{ClusterName: new("mine"), NodegroupName: new("g"), LaunchTemplate: byID}
	own := []string{"Allow eks:* *", "Allow iam:* *"}
	all := append(own[:2:2], "Allow ec2:RunInstances *", "Allow ec2:CreateTags * "+is("ec2:CreateAction", "RunInstances"), "Allow ec2:DescribeLaunchTemplateVersions *")
	const no = "You are not authorized to launch instances with this launch template. Encoded authorization failure message: "
	for _, c := range []struct {
		name      string
		policy    []string
		operation string
		in        any
		want      string // the message's beginning; "" for allowed
	}{
		{"without one", own, "CreateNodegroup", create(nil), ""},
		{"one that is not there", append(own[:2:2], "Allow ec2:DescribeLaunchTemplateVersions *"), "CreateNodegroup", create(&eks.LaunchTemplateSpecification{Name: new("none")}), ""},
		{"all of it", all, "CreateNodegroup", create(byName), ""},
		{"all of it, by id", all, "CreateNodegroup", create(byID), ""},
		{"not to read it", append(own[:2:2], "Allow ec2:RunInstances *", "Allow ec2:CreateTags *"), "CreateNodegroup", create(byID),
			"You are not authorized to perform this operation. User: "},
		{"no RunInstances", append(own[:2:2], "Allow ec2:DescribeLaunchTemplateVersions *", "Allow ec2:CreateTags *"), "CreateNodegroup", create(byID), no},
		{"no CreateTags", append(own[:2:2], "Allow ec2:DescribeLaunchTemplateVersions *", "Allow ec2:RunInstances *"), "CreateNodegroup", create(byID), no},
		{"not this image", append(all[:5:5], "Deny ec2:RunInstances arn:aws:ec2:*::image/ami-1"), "CreateNodegroup", create(byID), no},
		{"not this template", append(all[:5:5], "Deny ec2:RunInstances "+ec2ARN+"launch-template/lt-1"), "CreateNodegroup", create(byID), no},
		{"not this type", append(all[:5:5], "Deny ec2:RunInstances * "+is("ec2:InstanceType", "m5.large")), "CreateNodegroup", create(byID), no},
		{"not in this subnet", append(all[:5:5], "Deny ec2:RunInstances "+ec2ARN+"subnet/subnet-1"), "CreateNodegroup", create(byID), no},
		{"not with this tag", append(all[:5:5], "Deny ec2:RunInstances "+ec2ARN+"instance/* "+is("aws:RequestTag/team", "a")), "CreateNodegroup", create(byID), no},
		{"another version", all, "UpdateNodegroupVersion", update, ""},
		{"another version, no RunInstances", own, "UpdateNodegroupVersion", update, "You are not authorized to perform this operation. User: "},
		{"another version, not in the group's subnet", append(all[:5:5], "Deny ec2:RunInstances "+ec2ARN+"subnet/subnet-1"), "UpdateNodegroupVersion", update, no},
		{"another release", own, "UpdateNodegroupVersion", &eks.UpdateNodegroupVersionInput{ClusterName: new("mine"), NodegroupName: new("g")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.authorize(policyOf(c.policy...), "eks:"+c.operation, c.in)
			refused, _ := errors.AsType[*eks.InvalidRequestException](err)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (refused == nil || !strings.HasPrefix(*refused.Message, c.want)):
				t.Errorf("got %v\nwant %s…", err, c.want)
			}
		})
	}
}

// What belongs to a cluster is named by its own ARN.
func TestEKSChildARNs(t *testing.T) {
	w := newDependents(t)
	const eksARN = "arn:aws:eks:us-west-2:000000000000:"
	const cluster = eksARN + "cluster/mine"
	w.update(func(tx *store.Tx) {
		tx.Addons.Put(eksARN+"addon/mine/vpc-cni/1", resource.Addon{})
		tx.IdentityProviders.Put(eksARN+"identityproviderconfig/mine/oidc/people/1", resource.IdentityProvider{ARN: eksARN + "identityproviderconfig/mine/oidc/people/1", Cluster: cluster, Name: "people", Tags: resource.Tags{"team": "a"}})
	})
	people := &eks.IdentityProviderConfig{Type: new("oidc"), Name: new("people")}
	for _, c := range []struct {
		operation string
		in        any
		resource  string
	}{
		{"DescribeIdentityProviderConfig", &eks.DescribeIdentityProviderConfigInput{ClusterName: new("mine"), IdentityProviderConfig: people}, "identityproviderconfig/mine/oidc/people/1"},
		{"DisassociateIdentityProviderConfig", &eks.DisassociateIdentityProviderConfigInput{ClusterName: new("mine"), IdentityProviderConfig: people}, "identityproviderconfig/mine/oidc/people/1"},
		{"DescribeIdentityProviderConfig", &eks.DescribeIdentityProviderConfigInput{ClusterName: new("mine"), IdentityProviderConfig: &eks.IdentityProviderConfig{Type: new("oidc"), Name: new("x")}},
			"identityproviderconfig/mine/oidc/x/*"},
		{"DescribeIdentityProviderConfig", &eks.DescribeIdentityProviderConfigInput{ClusterName: new("mine")}, "identityproviderconfig/mine/*"},
		{"DescribeAddon", &eks.DescribeAddonInput{ClusterName: new("mine"), AddonName: new("vpc-cni")}, "addon/mine/vpc-cni/1"},
		{"DescribeAddon", &eks.DescribeAddonInput{ClusterName: new("mine"), AddonName: new("vpc")}, "addon/mine/vpc/*"},
	} {
		if err := w.authorize(policyOf("Allow eks:"+c.operation+" "+eksARN+c.resource), "eks:"+c.operation, c.in); err != nil {
			t.Error(err)
		}
		err := w.authorize(policyOf("Allow eks:"+c.operation+" "+eksARN+"cluster/*"), "eks:"+c.operation, c.in)
		if err == nil || !strings.Contains(err.Error(), "on resource: "+eksARN+c.resource+" ") {
			t.Errorf("%s is denied with %v", c.operation, err)
		}
	}
	// The updates of an add-on are the cluster's, too: both have to be allowed.
	in := &eks.DescribeUpdateInput{Name: new("mine"), AddonName: new("vpc-cni"), UpdateId: new("1")}
	for resource, missing := range map[string]string{"cluster/mine": "addon/mine/vpc-cni/1", "addon/mine/*": "cluster/mine"} {
		err := w.authorize(policyOf("Allow eks:DescribeUpdate "+eksARN+resource), "eks:DescribeUpdate", in)
		if err == nil || !strings.Contains(err.Error(), "on resource: "+eksARN+missing) {
			t.Errorf("with only %s: %v", resource, err)
		}
	}
}
