package eks

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/resource"
)

// Authentication modes.
const (
	modeConfigMap = "CONFIG_MAP"
	modeAPI       = "API"
	modeBoth      = "API_AND_CONFIG_MAP"
)

const (
	supportExtended   = "EXTENDED"
	maxSecurityGroups = 4
	maxPublicCIDRs    = 40
	defaultEgressMode = "AWS_MANAGED"
)

// logTypes are the control plane's logs, in the order in which EKS lists them.
var logTypes = []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}

var clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]{0,99}$`)

// newCluster is the record that a CreateCluster asks for, defaults filled in, and
// everything checked that can be without looking at other records. It is pure but for
// the cluster's random Hex.
func newCluster(call awsapi.Call, in *eks.CreateClusterInput, payload func(string) bool) (resource.Cluster, error) {
	name := deref(in.Name)
	sub := subject{cluster: name}
	c := resource.Cluster{
		Home: home(call), ARN: clusterARN(call, name), Name: name, Created: moment(call.Time), Creator: creator(call.Caller),
		Token: deref(in.ClientRequestToken),
		Spec: resource.ClusterSpec{
			RoleARN: deref(in.RoleArn), SelfManagedAddons: or(in.BootstrapSelfManagedAddons, true),
			DeletionProtection: deref(in.DeletionProtection), Hex: strings.ToUpper(awsid.Hex(32)), Tags: in.Tags,
		},
		Status: resource.ClusterStatus{State: resource.ClusterCreating},
	}
	if !clusterName.MatchString(name) {
		return c, sub.invalidParameter("The cluster name parameter contains invalid characters")
	}
	same := *in
	same.ClientRequestToken = nil
	var err error
	if c.Fingerprint, err = fingerprint(same); err != nil {
		return c, err
	}
	for _, check := range []func(subject, awsapi.Call, *eks.CreateClusterInput, *resource.ClusterSpec) error{
		endpointSettings, networkSettings, accessSettings, logSettings, autoModeSettings, encryptionSettings, otherSettings,
	} {
		if err := check(sub, call, in, &c.Spec); err != nil {
			return c, err
		}
	}
	if err := versionSettings(sub, call.Time, in, &c.Spec, payload); err != nil {
		return c, err
	}
	return c, checkTags(sub, in.Tags)
}

// moment is a time as EKS keeps it, in milliseconds.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// creator is the principal that a cluster's access is given to: for a session of a role
// the role, which sessions come and go of.
func creator(p awsapi.Principal) string {
	if p.Type == awsapi.TypeAssumedRole {
		return p.RoleARN
	}
	return p.ARN
}

func versionSettings(sub subject, now time.Time, in *eks.CreateClusterInput, spec *resource.ClusterSpec, payload func(string) bool) error {
	v, ok := eksversion.Default(payload)
	if in.Version != nil {
		if v, ok = eksversion.Lookup(*in.Version); ok {
			ok = payload(v.Minor)
		}
	}
	if !ok {
		return sub.invalidParameter("unsupported Kubernetes version %s", deref(in.Version))
	}
	spec.Version, spec.SupportType = v.Minor, supportExtended
	if in.UpgradePolicy != nil {
		spec.SupportType = or(in.UpgradePolicy.SupportType, supportExtended)
	}
	if spec.SupportType != supportExtended && v.Support(now) != eksversion.Standard {
		return sub.invalidParameter("The support type STANDARD cannot be used with Kubernetes version %s, which is not in standard support", v.Minor)
	}
	return nil
}

func endpointSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	vpc := in.ResourcesVpcConfig
	if vpc == nil {
		vpc = &eks.VpcConfigRequest{}
	}
	spec.Subnets, spec.SecurityGroups = unique(vpc.SubnetIds), unique(vpc.SecurityGroupIds)
	spec.PublicAccess, spec.PrivateAccess = or(vpc.EndpointPublicAccess, true), deref(vpc.EndpointPrivateAccess)
	switch {
	case !spec.PublicAccess && !spec.PrivateAccess:
		return sub.invalidParameter("Private and public endpoint access cannot be false")
	case len(spec.Subnets) == 0:
		return sub.invalidParameter("Subnet Id is required")
	case len(spec.SecurityGroups) > maxSecurityGroups:
		return sub.invalidParameter("You have exceeded the maximum number of control plane security groups: %d", maxSecurityGroups)
	case or(vpc.ControlPlaneEgressMode, defaultEgressMode) != defaultEgressMode:
		return sub.notYet("The controlPlaneEgressMode " + *vpc.ControlPlaneEgressMode + " is")
	}
	spec.PublicAccessCIDRs = []string{"0.0.0.0/0"}
	if len(vpc.PublicAccessCidrs) > 0 {
		spec.PublicAccessCIDRs = unique(vpc.PublicAccessCidrs)
	}
	return checkPublicCIDRs(sub, spec.PublicAccessCIDRs)
}

// ownLoopback are the loopback addresses that are everybody's own; others stand for public
// ones here (docs/decisions/0011-the-host-is-the-internet.md).
var ownLoopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 0}), 10)

func checkPublicCIDRs(sub subject, cidrs []string) error {
	if len(cidrs) > maxPublicCIDRs {
		return sub.invalidParameter("You have exceeded the maximum number of public access CIDR ranges: %d", maxPublicCIDRs)
	}
	for _, s := range cidrs {
		p, err := netip.ParsePrefix(s)
		if err != nil || !p.Addr().Is4() || p.Masked() != p {
			return sub.invalidParameter("The following CIDRs are invalid in publicAccessCidrs: [%s]", s)
		}
		if p.Addr().IsPrivate() || p.Addr().IsLoopback() && ownLoopback.Overlaps(p) || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
			return sub.invalidParameter("The following CIDRs are not allowed in publicAccessCidrs: [%s]", s)
		}
	}
	return nil
}

var rfc1918 = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// networkSettings leaves ServiceCIDR invalid where the caller gave none: the default
// depends on the VPC.
func networkSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	n := in.KubernetesNetworkConfig
	if n == nil {
		return nil
	}
	if deref(n.IpFamily) == "ipv6" {
		if n.ServiceIpv4Cidr != nil {
			return sub.invalidParameter("serviceIpv4Cidr cannot be specified when creating an \"ipv6\" cluster")
		}
		return sub.notYet("The ipFamily ipv6 is")
	}
	if n.ServiceIpv4Cidr == nil {
		return nil
	}
	p, err := netip.ParsePrefix(*n.ServiceIpv4Cidr)
	invalid := "Invalid Cluster Service Ipv4 CIDR " + *n.ServiceIpv4Cidr + " for the cluster " + sub.cluster + ", must "
	switch {
	case err != nil || !p.Addr().Is4() || p.Masked() != p:
		return sub.invalidParameter("%sbe a valid IPv4 CIDR", invalid)
	case p.Bits() < 12 || p.Bits() > 24:
		return sub.invalidParameter("%shave netmask size between /12 and /24 inclusive", invalid)
	case !slices.ContainsFunc(rfc1918, func(r netip.Prefix) bool { return r.Contains(p.Addr()) && r.Bits() <= p.Bits() }):
		return sub.invalidParameter("%sbe within RFC1918 range", invalid)
	}
	spec.ServiceCIDR = p
	return nil
}

func accessSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	spec.AuthenticationMode, spec.CreatorAdmin = modeConfigMap, true
	if a := in.AccessConfig; a != nil {
		spec.AuthenticationMode = or(a.AuthenticationMode, modeConfigMap)
		spec.CreatorAdmin = or(a.BootstrapClusterCreatorAdminPermissions, true)
	}
	if spec.AuthenticationMode == modeConfigMap && !spec.CreatorAdmin {
		return sub.invalidParameter("bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to CONFIG_MAP")
	}
	return nil
}

func logSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	if in.Logging == nil {
		return nil
	}
	return applyLogging(sub, in.Logging, spec)
}

// applyLogging switches the logs on and off that a request names, and leaves the others.
func applyLogging(sub subject, in *eks.Logging, spec *resource.ClusterSpec) error {
	state := map[string]bool{}
	for _, setup := range in.ClusterLogging {
		for _, t := range setup.Types {
			if on, given := state[t]; given && on != deref(setup.Enabled) {
				return sub.invalidParameter("The log type %s is both enabled and disabled", t)
			}
			state[t] = deref(setup.Enabled)
		}
	}
	var types []string
	for _, t := range logTypes {
		on, given := state[t]
		if on || !given && slices.Contains(spec.LogTypes, t) {
			types = append(types, t)
		}
	}
	spec.LogTypes = types
	return nil
}

const autoModeTriple = "For EKS Auto Mode, please ensure that all required configs, including computeConfig, kubernetesNetworkConfig, and blockStorage are all either fully enabled or fully disabled."

func autoModeSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	var compute, balancing, storage bool
	if c := in.ComputeConfig; c != nil {
		compute = deref(c.Enabled)
		if deref(c.NodeRoleArn) == "" && len(c.NodePools) > 0 {
			return sub.invalidParameter("When Compute Config nodeRoleArn is null or empty, nodePool list cannot be populated.")
		}
	}
	if n := in.KubernetesNetworkConfig; n != nil && n.ElasticLoadBalancing != nil {
		balancing = deref(n.ElasticLoadBalancing.Enabled)
	}
	if st := in.StorageConfig; st != nil && st.BlockStorage != nil {
		storage = deref(st.BlockStorage.Enabled)
	}
	switch {
	case compute != balancing || compute != storage:
		return sub.invalidParameter(autoModeTriple)
	case compute && spec.AuthenticationMode == modeConfigMap:
		return sub.invalidParameter("When EKS Auto Mode is enabled, you must use an EKS access config authentication mode of API_AND_CONFIG_MAP or API")
	case compute:
		return sub.notYet("EKS Auto Mode is")
	}
	spec.AutoModeOff = in.ComputeConfig != nil || in.StorageConfig != nil
	return nil
}

func encryptionSettings(sub subject, call awsapi.Call, in *eks.CreateClusterInput, _ *resource.ClusterSpec) error {
	if len(in.EncryptionConfig) == 0 {
		return nil
	}
	for _, e := range in.EncryptionConfig {
		for _, r := range e.Resources {
			if r != "secrets" {
				return sub.invalidParameter("Invalid k8s resource for encryption")
			}
		}
		key := ""
		if e.Provider != nil {
			key = deref(e.Provider.KeyArn)
		}
		if parts := strings.Split(key, ":"); len(parts) < 6 || parts[1] != "aws" || parts[3] != call.Region {
			return sub.invalidParameter("The keyArn for encryptionConfig is scoped to invalid aws region.")
		}
	}
	return sub.notYet("Encryption with a key of AWS KMS is")
}

func otherSettings(sub subject, _ awsapi.Call, in *eks.CreateClusterInput, spec *resource.ClusterSpec) error {
	if in.OutpostConfig != nil {
		return sub.notYet("A local cluster on Outposts is")
	}
	if in.RemoteNetworkConfig != nil {
		if spec.AuthenticationMode == modeConfigMap {
			return sub.invalidParameter("AccessConfig AuthMode must be API_AND_CONFIG_MAP or API when remoteNetworkConfig is specified")
		}
		if len(in.RemoteNetworkConfig.RemoteNodeNetworks) == 0 {
			return sub.invalidParameter("remoteNodeNetworks are required when specifying remoteNetworkConfig.")
		}
		return sub.notYet("The remoteNetworkConfig of hybrid nodes is")
	}
	if z := in.ZonalShiftConfig; z != nil {
		spec.ZonalShiftOn, spec.ZonalShiftOff = deref(z.Enabled), !deref(z.Enabled)
	}
	if c := in.ControlPlaneScalingConfig; c != nil {
		spec.ScalingTier = or(c.Tier, resource.TierStandard)
	}
	return nil
}

// checkTags checks a resource's tags beyond what the model does.
func checkTags(sub subject, tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return sub.invalidParameter("Tag keys cannot start with the reserved prefix aws:")
		}
	}
	return nil
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
