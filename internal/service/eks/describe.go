package eks

import (
	"encoding/base64"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/resource"
)

// describeCluster is a cluster as the API shows it. Endpoint, certificate authority and
// identity show once the cluster has been ACTIVE.
func describeCluster(c resource.Cluster) *eks.Cluster {
	v, _ := eksversion.Lookup(c.Version())
	out := &eks.Cluster{
		Name: new(c.Name), Arn: new(c.ARN), CreatedAt: new(c.Created), Version: new(c.Version()), RoleArn: new(c.Spec.RoleARN),
		Endpoint: optional(c.Status.Endpoint),
		ResourcesVpcConfig: &eks.VpcConfigResponse{
			SubnetIds: list(c.Spec.Subnets), SecurityGroupIds: list(c.Spec.SecurityGroups), ClusterSecurityGroupId: optional(c.Spec.ClusterSecurityGroup),
			VpcId: new(c.Spec.VPC), EndpointPublicAccess: new(c.Spec.PublicAccess), EndpointPrivateAccess: new(c.Spec.PrivateAccess),
			PublicAccessCidrs: list(c.Spec.PublicAccessCIDRs), ControlPlaneEgressMode: new(defaultEgressMode),
		},
		KubernetesNetworkConfig: &eks.KubernetesNetworkConfigResponse{
			ServiceIpv4Cidr: new(c.Spec.ServiceCIDR.String()), IpFamily: new("ipv4"),
			ElasticLoadBalancing: &eks.ElasticLoadBalancing{Enabled: new(false)},
		},
		Logging: &eks.Logging{ClusterLogging: describeLogging(c.Spec.LogTypes)}, Status: new(c.Current()),
		CertificateAuthority: &eks.Certificate{}, PlatformVersion: optional(v.Platform),
		Tags: tagsOf(c.Spec.Tags), Health: &eks.ClusterHealth{Issues: []eks.ClusterIssue{}},
		AccessConfig:       &eks.AccessConfigResponse{AuthenticationMode: new(c.Spec.AuthenticationMode)},
		UpgradePolicy:      &eks.UpgradePolicyResponse{SupportType: new(c.Spec.SupportType)},
		DeletionProtection: new(c.Spec.DeletionProtection), ControlPlaneScalingConfig: &eks.ControlPlaneScalingConfig{Tier: new(c.Tier())},
	}
	if len(c.Status.CA) > 0 {
		out.CertificateAuthority.Data = new(base64.StdEncoding.EncodeToString(c.Status.CA))
	}
	if c.Status.Issuer != "" {
		out.Identity = &eks.Identity{Oidc: &eks.OIDC{Issuer: new(c.Status.Issuer)}}
	}
	for _, i := range c.Status.Issues {
		out.Health.Issues = append(out.Health.Issues, eks.ClusterIssue{Code: new(i.Code), Message: new(i.Message), ResourceIds: list(i.ResourceIDs)})
	}
	if c.Spec.AutoModeOff {
		out.ComputeConfig = &eks.ComputeConfigResponse{Enabled: new(false), NodePools: []string{}}
		out.StorageConfig = &eks.StorageConfigResponse{BlockStorage: &eks.BlockStorage{Enabled: new(false)}}
	}
	if c.Spec.ZonalShiftOn || c.Spec.ZonalShiftOff {
		out.ZonalShiftConfig = &eks.ZonalShiftConfigResponse{Enabled: new(c.Spec.ZonalShiftOn)}
	}
	return out
}

// describeLogging lists the five types of logs, those that are on first.
func describeLogging(on []string) []eks.LogSetup {
	var off []string
	for _, t := range logTypes {
		if !slices.Contains(on, t) {
			off = append(off, t)
		}
	}
	var out []eks.LogSetup
	if len(on) > 0 {
		out = append(out, eks.LogSetup{Types: on, Enabled: new(true)})
	}
	if len(off) > 0 {
		out = append(out, eks.LogSetup{Types: off, Enabled: new(false)})
	}
	return out
}

// list is a list that is shown also when it is empty.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// tagsOf are tags that are shown also when there are none.
func tagsOf(t map[string]string) map[string]string {
	if t == nil {
		return map[string]string{}
	}
	return t
}
