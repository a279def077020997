package eks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A clusterSetting is one kind of change that UpdateClusterConfig can make: whether a request
// asks for it, and what it does to the record. It returns what the update shows.
type clusterSetting struct {
	kind  string
	given func(*eks.UpdateClusterConfigInput) bool
	apply func(*settingChange) ([]resource.UpdateParam, error)
}

// A settingChange is one request to change a setting, inside its transaction.
type settingChange struct {
	tx   *store.Tx
	call awsapi.Call
	sub  subject
	in   *eks.UpdateClusterConfigInput
	c    *resource.Cluster
}

var clusterSettings = []clusterSetting{
	{"LoggingUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.Logging != nil }, (*settingChange).logging},
	{"EndpointAccessUpdate", func(in *eks.UpdateClusterConfigInput) bool {
		v := in.ResourcesVpcConfig
		return v != nil && (v.EndpointPublicAccess != nil || v.EndpointPrivateAccess != nil || v.PublicAccessCidrs != nil)
	}, (*settingChange).endpointAccess},
	{"VpcConfigUpdate", func(in *eks.UpdateClusterConfigInput) bool {
		v := in.ResourcesVpcConfig
		return v != nil && (v.SubnetIds != nil || v.SecurityGroupIds != nil)
	}, (*settingChange).vpc},
	{"ControlPlaneEgressUpdate", func(in *eks.UpdateClusterConfigInput) bool {
		return in.ResourcesVpcConfig != nil && in.ResourcesVpcConfig.ControlPlaneEgressMode != nil
	}, (*settingChange).egress},
	{"AccessConfigUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.AccessConfig != nil }, (*settingChange).authentication},
	{"UpgradePolicyUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.UpgradePolicy != nil }, (*settingChange).upgradePolicy},
	{"ZonalShiftConfigUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.ZonalShiftConfig != nil }, (*settingChange).zonalShift},
	{"AutoModeUpdate", func(in *eks.UpdateClusterConfigInput) bool {
		return in.ComputeConfig != nil || in.StorageConfig != nil || in.KubernetesNetworkConfig != nil
	}, (*settingChange).autoMode},
	{"RemoteNetworkConfigUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.RemoteNetworkConfig != nil }, (*settingChange).remoteNetworks},
	{"DeletionProtectionUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.DeletionProtection != nil }, (*settingChange).deletionProtection},
	{"ControlPlaneScalingConfigUpdate", func(in *eks.UpdateClusterConfigInput) bool { return in.ControlPlaneScalingConfig != nil }, (*settingChange).scalingTier},
}

// UpdateClusterConfig changes one kind of a cluster's settings, and records the update that
// package controller/cluster carries out and ends.
func (s *Service) UpdateClusterConfig(ctx context.Context, call awsapi.Call, in *eks.UpdateClusterConfigInput) (*eks.UpdateClusterConfigOutput, error) {
	sub := subject{cluster: deref(in.Name)}
	var asked []clusterSetting
	for _, k := range clusterSettings {
		if k.given(in) {
			asked = append(asked, k)
		}
	}
	switch len(asked) {
	case 0:
		return nil, sub.invalidParameter("The type for cluster update was not provided.")
	case 1:
	default:
		return nil, sub.invalidParameter("Only one type of update can be allowed.")
	}
	same := *in
	same.ClientRequestToken = nil
	kind := asked[0].kind
	u, err := s.updateCluster(ctx, call, deref(in.Name), deref(in.ClientRequestToken), kind, same, func(tx *store.Tx, c *resource.Cluster) (change, error) {
		params, err := asked[0].apply(&settingChange{tx: tx, call: call, sub: sub, in: in, c: c})
		return change{kind: kind, params: params}, err
	})
	if err != nil {
		return nil, err
	}
	return &eks.UpdateClusterConfigOutput{Update: u}, nil
}

// jsonLogging is a logging configuration in an update's parameters.
type jsonLogging struct {
	ClusterLogging []jsonLogSetup `json:"clusterLogging"`
}

type jsonLogSetup struct {
	Types   []string `json:"types"`
	Enabled bool     `json:"enabled"`
}

func (s *settingChange) logging() ([]resource.UpdateParam, error) {
	before := s.c.Spec.LogTypes
	if err := applyLogging(s.sub, s.in.Logging, &s.c.Spec); err != nil {
		return nil, err
	}
	if slices.Equal(before, s.c.Spec.LogTypes) {
		return nil, s.sub.invalidParameter("No changes needed for the logging config provided")
	}
	shown := jsonLogging{ClusterLogging: []jsonLogSetup{}}
	for _, l := range s.in.Logging.ClusterLogging {
		shown.ClusterLogging = append(shown.ClusterLogging, jsonLogSetup{list(l.Types), deref(l.Enabled)})
	}
	return []resource.UpdateParam{param("ClusterLogging", shown)}, nil
}

func (s *settingChange) endpointAccess() ([]resource.UpdateParam, error) {
	v, spec := s.in.ResourcesVpcConfig, &s.c.Spec
	public, private, cidrs := or(v.EndpointPublicAccess, spec.PublicAccess), or(v.EndpointPrivateAccess, spec.PrivateAccess), spec.PublicAccessCIDRs
	if len(v.PublicAccessCidrs) > 0 {
		cidrs = unique(v.PublicAccessCidrs)
	}
	if !public && !private {
		return nil, s.sub.invalidParameter("Private and public endpoint access cannot be false at same time.")
	}
	if err := checkPublicCIDRs(s.sub, cidrs); err != nil {
		return nil, err
	}
	if public == spec.PublicAccess && private == spec.PrivateAccess && sameSet(cidrs, spec.PublicAccessCIDRs) {
		return nil, s.sub.invalidParameter("Cluster is already at the desired configuration with endpointPrivateAccess: %t , endpointPublicAccess: %t, and Public Endpoint Restrictions: [%s]", private, public, strings.Join(cidrs, ", "))
	}
	spec.PublicAccess, spec.PrivateAccess, spec.PublicAccessCIDRs = public, private, cidrs
	return []resource.UpdateParam{param("EndpointPublicAccess", public), param("EndpointPrivateAccess", private), param("PublicAccessCidrs", cidrs)}, nil
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// vpc changes the cluster's subnets and additional security groups. The interfaces of the
// control plane stay where they are, since nodes know it by their addresses.
func (s *settingChange) vpc() (out []resource.UpdateParam, err error) {
	v, was := s.in.ResourcesVpcConfig, s.c.Spec
	if len(v.SubnetIds) > 0 {
		s.c.Spec.Subnets = unique(v.SubnetIds)
		out = append(out, param("Subnets", s.c.Spec.Subnets))
	}
	if v.SecurityGroupIds != nil {
		s.c.Spec.SecurityGroups = unique(v.SecurityGroupIds)
		out = append(out, param("SecurityGroups", list(s.c.Spec.SecurityGroups)))
	}
	if len(s.c.Spec.SecurityGroups) > maxSecurityGroups {
		return nil, s.sub.invalidParameter("You have exceeded the maximum number of control plane security groups: %d", maxSecurityGroups)
	}
	if _, err := checkSubnetsAndGroups(s.tx, s.call, s.c); err != nil {
		return nil, err
	}
	if s.c.Spec.VPC != was.VPC {
		return nil, s.sub.invalidParameter("Subnets specified must belong to the VPC of the cluster: %s", was.VPC)
	}
	if now, then := zonesOf(s.tx, s.c.Spec.Subnets), zonesOf(s.tx, was.Subnets); !slices.Equal(now, then) {
		return nil, s.sub.invalidParameter("Subnets specified must be in the same set of AZs as those that the cluster was created with: [%s]", strings.Join(then, ", "))
	}
	for _, id := range s.c.Spec.Interfaces {
		e, ok := s.tx.Interfaces.Get(id)
		if !ok {
			return nil, fmt.Errorf("cluster %s has lost its interface %s", s.c.Name, id)
		}
		if !slices.Contains(s.c.Spec.Subnets, e.Subnet) {
			return nil, s.sub.notYet("Taking away the subnet of a control plane's network interface is")
		}
		if err := provision.SetGroups(s.tx, s.c.Home, id, append([]string{s.c.Spec.ClusterSecurityGroup}, s.c.Spec.SecurityGroups...)); err != nil {
			return nil, s.sub.ofEC2(s.call, err)
		}
	}
	return out, nil
}

// zonesOf are the zones of subnets, each once, in their order.
func zonesOf(tx *store.Tx, subnets []string) (zones []string) {
	for _, id := range subnets {
		if sn, ok := tx.Subnets.Get(id); ok && !slices.Contains(zones, sn.Zone) {
			zones = append(zones, sn.Zone)
		}
	}
	slices.Sort(zones)
	return zones
}

func (s *settingChange) egress() ([]resource.UpdateParam, error) {
	mode := s.in.ResourcesVpcConfig.ControlPlaneEgressMode
	if *mode != defaultEgressMode {
		return nil, s.sub.notYet("The controlPlaneEgressMode " + *mode + " is")
	}
	return []resource.UpdateParam{{Type: "ControlPlaneEgressMode", Value: *mode}}, nil
}

// modeOrder is the one way that authentication modes are gone.
var modeOrder = map[string]string{modeConfigMap: modeBoth, modeBoth: modeAPI}

// authentication moves the mode on. The authenticators read it from the record, so it is in
// force at once. Whoever was let in without an access entry gets one: EKS itself, the creator,
// and the roles of node groups.
func (s *settingChange) authentication() ([]resource.UpdateParam, error) {
	from, to := s.c.Spec.AuthenticationMode, deref(s.in.AccessConfig.AuthenticationMode)
	if modeOrder[from] != to {
		return nil, s.sub.invalidParameter("Unsupported authentication mode update from %s to %s", from, to)
	}
	s.c.Spec.AuthenticationMode = to
	if from == modeConfigMap {
		letIn(s.tx, s.call, s.c)
		letNodesIn(s.tx, s.call, s.c)
	}
	return []resource.UpdateParam{param("AuthenticationMode", to)}, nil
}

func (s *settingChange) upgradePolicy() ([]resource.UpdateParam, error) {
	to := or(s.in.UpgradePolicy.SupportType, supportExtended)
	if v, _ := eksversion.Lookup(s.c.Version()); to != s.c.Spec.SupportType && v.Support(s.call.Time) != eksversion.Standard {
		return nil, s.sub.invalidParameter("The support type cannot be changed to %s because Kubernetes version %s is not in standard support", to, v.Minor)
	}
	s.c.Spec.SupportType = to
	return []resource.UpdateParam{param("UpgradePolicy", map[string]string{"supportType": to})}, nil
}

func (s *settingChange) zonalShift() ([]resource.UpdateParam, error) {
	on := deref(s.in.ZonalShiftConfig.Enabled)
	s.c.Spec.ZonalShiftOn, s.c.Spec.ZonalShiftOff = on, !on
	return []resource.UpdateParam{param("ZonalShiftConfig", map[string]bool{"enabled": on})}, nil
}

func (s *settingChange) autoMode() ([]resource.UpdateParam, error) {
	var on [3]bool
	if c := s.in.ComputeConfig; c != nil {
		on[0] = deref(c.Enabled)
	}
	if n := s.in.KubernetesNetworkConfig; n != nil && n.ElasticLoadBalancing != nil {
		on[1] = deref(n.ElasticLoadBalancing.Enabled)
	}
	if st := s.in.StorageConfig; st != nil && st.BlockStorage != nil {
		on[2] = deref(st.BlockStorage.Enabled)
	}
	switch {
	case on == [3]bool{}:
		return nil, s.sub.invalidRequest("Cannot modify EKS Auto Mode configuration. Auto Mode is not enabled on this cluster.")
	case on != [3]bool{true, true, true}:
		return nil, s.sub.invalidParameter(autoModeTriple)
	}
	return nil, s.sub.notYet("EKS Auto Mode is")
}

func (s *settingChange) remoteNetworks() ([]resource.UpdateParam, error) {
	if r := s.in.RemoteNetworkConfig; len(r.RemoteNodeNetworks)+len(r.RemotePodNetworks) > 0 {
		return nil, s.sub.notYet("The remoteNetworkConfig of hybrid nodes is")
	}
	return []resource.UpdateParam{param("RemoteNetworkConfig", map[string][]string{"remoteNodeNetworks": {}, "remotePodNetworks": {}})}, nil
}

func (s *settingChange) deletionProtection() ([]resource.UpdateParam, error) {
	s.c.Spec.DeletionProtection = *s.in.DeletionProtection
	return []resource.UpdateParam{param("DeletionProtection", s.c.Spec.DeletionProtection)}, nil
}

// scalingTier changes what is provisioned for the control plane. Whether its data fit into
// another tier shows when that is carried out.
func (s *settingChange) scalingTier() ([]resource.UpdateParam, error) {
	from, to := s.c.Tier(), or(s.in.ControlPlaneScalingConfig.Tier, resource.TierStandard)
	s.c.Spec.ScalingTier = to
	return []resource.UpdateParam{{Type: "PreviousTier", Value: from}, {Type: "UpdatedTier", Value: to}}, nil
}
