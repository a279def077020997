package eks

import (
	"regexp"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

const (
	defaultDiskGiB      = 20
	maxDiskGiB          = 16384
	defaultSize         = 2
	maxNodes            = 450
	maxInstanceTypes    = 20
	maxTaints           = 50
	maxUnavailableLimit = 100
	versionsBehind      = 3
	onDemand            = "ON_DEMAND"
	customAMI           = "CUSTOM"
	defaultStrategy     = "DEFAULT"
)

var (
	nodegroupName  = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]*$`)
	qualifiedName  = regexp.MustCompile(`^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`)
	dnsSubdomain   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	reservedLabels = []string{"kubernetes.io/", "k8s.io/", "eks.amazonaws.com/"}
)

// qualifiedRule is how Kubernetes words the syntax of names, as EKS passes it on.
const qualifiedRule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

// newNodegroup is the record that a CreateNodegroup asks for in a cluster, defaults filled
// in where they need no look at other records, and everything checked that can be without
// one. It is pure but for the node group's random ID.
func newNodegroup(call awsapi.Call, c resource.Cluster, in *eks.CreateNodegroupInput) (resource.Nodegroup, error) {
	name := deref(in.NodegroupName)
	sub := subject{cluster: c.Name, nodegroup: name}
	n := resource.Nodegroup{
		Home: c.Home, Cluster: c.ARN, Name: name, ID: awsid.UUID(), Created: moment(call.Time), Modified: moment(call.Time),
		Token: deref(in.ClientRequestToken),
		Spec: resource.NodegroupSpec{
			Version: or(in.Version, c.Version()), ReleaseVersion: deref(in.ReleaseVersion), AMIType: deref(in.AmiType),
			InstanceTypes: unique(in.InstanceTypes), CapacityType: or(in.CapacityType, onDemand), Subnets: unique(in.Subnets),
			NodeRole: deref(in.NodeRole), Labels: in.Labels, Tags: in.Tags,
		},
		Status: resource.NodegroupStatus{State: resource.NodegroupCreating},
	}
	n.ARN = arn(call, "nodegroup/"+c.Name+"/"+name+"/"+n.ID)
	same := *in
	same.ClientRequestToken = nil
	var err error
	if n.Fingerprint, err = fingerprint(same); err != nil {
		return n, err
	}
	switch {
	case len(name) > 63:
		return n, sub.invalidParameter("nodeGroupName can't be longer than 63 characters!")
	case !nodegroupName.MatchString(name):
		return n, sub.invalidParameter("The nodegroup name parameter contains invalid characters")
	case len(n.Spec.Subnets) == 0:
		return n, sub.invalidParameter("Subnet Id is required")
	}
	for _, check := range []func(subject, *eks.CreateNodegroupInput, *resource.NodegroupSpec) error{
		sizeSettings, labelSettings, updateSettings, repairSettings, templateSettings, capacitySettings,
	} {
		if err := check(sub, in, &n.Spec); err != nil {
			return n, err
		}
	}
	allowed := nodeVersions(c.Version())
	if !slices.Contains(allowed, n.Spec.Version) {
		return n, sub.invalidParameter("Cluster Kubernetes version %s supports the following Nodegroup Kubernetes versions: [%s]", c.Version(), strings.Join(allowed, ", "))
	}
	return n, checkTags(sub, in.Tags)
}

// sizeSettings take 2, 2, 2 where nothing is said, and stay around what is said.
func sizeSettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	s := in.ScalingConfig
	if s == nil {
		s = &eks.NodegroupScalingConfig{}
	}
	spec.Desired = or(s.DesiredSize, max(deref(s.MinSize), min(defaultSize, or(s.MaxSize, defaultSize))))
	spec.Min = or(s.MinSize, min(defaultSize, spec.Desired))
	spec.Max = or(s.MaxSize, max(defaultSize, spec.Desired))
	return checkSizes(sub, spec)
}

func checkSizes(sub subject, spec *resource.NodegroupSpec) error {
	switch {
	case spec.Min > spec.Desired:
		return sub.invalidParameter("minSize can't be greater than desiredSize")
	case spec.Desired > spec.Max:
		return sub.invalidParameter("desiredSize can't be greater than maxSize")
	case spec.Max > maxNodes:
		return sub.invalidParameter("maxSize can't be greater than the maximum number of nodes per managed node group: %d", maxNodes)
	}
	return nil
}

func labelSettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	if err := checkLabels(sub, in.Labels); err != nil {
		return err
	}
	var err error
	if spec.Taints, err = taintsOf(sub, in.Taints); err != nil {
		return err
	}
	return checkTaintCount(sub, spec.Taints)
}

func checkLabels(sub subject, labels map[string]string) error {
	for k, v := range labels {
		for _, p := range reservedLabels {
			if strings.HasPrefix(k, p) {
				return sub.invalidParameter("Label cannot start with reserved prefixes [%s]", strings.Join(reservedLabels, ", "))
			}
		}
		if !isQualified(k) {
			return sub.invalidParameter("Invalid value: %s : field %s", k, qualifiedRule)
		}
		if v != "" && (len(v) > 63 || !qualifiedName.MatchString(v)) {
			return sub.invalidParameter("Invalid value: %s : field %s", v, qualifiedRule)
		}
	}
	return nil
}

// isQualified says whether a key is a name, perhaps with a DNS prefix, as Kubernetes
// wants it.
func isQualified(key string) bool {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		name = prefix
	} else if len(prefix) > 253 || !dnsSubdomain.MatchString(prefix) {
		return false
	}
	return len(name) <= 63 && qualifiedName.MatchString(name)
}

// taintsOf checks taints one by one; a key and effect may be given once.
func taintsOf(sub subject, in []eks.Taint) ([]resource.Taint, error) {
	var out []resource.Taint
	for _, t := range in {
		taint := resource.Taint{Key: deref(t.Key), Value: deref(t.Value), Effect: deref(t.Effect)}
		if !isQualified(taint.Key) {
			return nil, sub.invalidParameter("invalid taint spec: %s , a qualified name %s", taint.Key, qualifiedRule)
		}
		if taint.Value != "" && (len(taint.Value) > 63 || !qualifiedName.MatchString(taint.Value)) {
			return nil, sub.invalidParameter("invalid taint spec: %s , a qualified name %s", taint.Value, qualifiedRule)
		}
		if taint.Effect == "" {
			return nil, sub.invalidParameter("invalid taint spec: %s , the effect is required", taint.Key)
		}
		if taintAt(out, taint) >= 0 {
			return nil, sub.invalidParameter("duplicated taints with the same key and effect: %s", taint.Key)
		}
		out = append(out, taint)
	}
	return out, nil
}

func checkTaintCount(sub subject, taints []resource.Taint) error {
	if len(taints) > maxTaints {
		return sub.invalidParameter("The maximum number of taints per node group is %d", maxTaints)
	}
	return nil
}

// taintAt finds the taint with the same key and effect.
func taintAt(list []resource.Taint, t resource.Taint) int {
	return slices.IndexFunc(list, func(o resource.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
}

func updateSettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	spec.MaxUnavailable, spec.UpdateStrategy = 1, defaultStrategy
	return applyUpdateConfig(sub, in.UpdateConfig, spec)
}

// applyUpdateConfig changes what is given; count and percentage replace each other.
func applyUpdateConfig(sub subject, u *eks.NodegroupUpdateConfig, spec *resource.NodegroupSpec) error {
	if u == nil {
		return nil
	}
	switch {
	case u.MaxUnavailable != nil && u.MaxUnavailablePercentage != nil:
		return sub.invalidParameter("Either provide max-unavailable or max-unavailable-percentage in the request.")
	case u.MaxUnavailable == nil && u.MaxUnavailablePercentage == nil && u.UpdateStrategy == nil:
		return sub.invalidParameter("UpdateConfig cannot be empty if set in the request.")
	case deref(u.MaxUnavailable) > maxUnavailableLimit:
		return sub.invalidParameter("max-unavailable can't be greater than %d", maxUnavailableLimit)
	case u.MaxUnavailable != nil:
		spec.MaxUnavailable, spec.MaxUnavailablePercentage = *u.MaxUnavailable, 0
	case u.MaxUnavailablePercentage != nil:
		spec.MaxUnavailable, spec.MaxUnavailablePercentage = 0, *u.MaxUnavailablePercentage
	}
	spec.UpdateStrategy = or(u.UpdateStrategy, spec.UpdateStrategy)
	return nil
}

// templateSettings checks how a launch template is named and what may not stand beside it.
func templateSettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	lt := in.LaunchTemplate
	switch {
	case lt == nil && spec.AMIType == customAMI:
		return sub.invalidParameter("Launch template details can't be null for Custom ami type node group")
	case lt == nil:
		spec.DiskGiB = or(in.DiskSize, defaultDiskGiB)
		if spec.DiskGiB < 1 || spec.DiskGiB > maxDiskGiB {
			return sub.invalidParameter("The disk size must be between 1 and %d GiB", maxDiskGiB)
		}
		return nil
	case deref(lt.Id) == "" && deref(lt.Name) == "":
		return sub.invalidParameter("Either a launch template ID or a launch template name must be specified in the request.")
	case deref(lt.Id) != "" && deref(lt.Name) != "":
		return sub.invalidParameter("Either provide launch template ID or launch template name in the request.")
	case in.DiskSize != nil:
		return sub.invalidParameter("Disk size must be specified within the launch template.")
	case in.RemoteAccess != nil:
		return sub.invalidParameter("Remote access configuration cannot be specified with a launch template.")
	}
	spec.LaunchTemplateID, spec.LaunchTemplateName, spec.LaunchTemplateVersion = deref(lt.Id), deref(lt.Name), deref(lt.Version)
	return nil
}

func capacitySettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	switch {
	case len(spec.InstanceTypes) > maxInstanceTypes:
		return sub.invalidParameter("The maximum number of instance types per node group is %d", maxInstanceTypes)
	case spec.CapacityType == "CAPACITY_BLOCK":
		return sub.notYet("The capacityType CAPACITY_BLOCK is")
	case in.WarmPoolConfig != nil && deref(in.WarmPoolConfig.Enabled):
		return sub.notYet("The warmPoolConfig of node groups is")
	}
	if r := in.RemoteAccess; r != nil && deref(r.Ec2SshKey) == "" {
		return sub.invalidParameter("The ec2SshKey is required when remoteAccess is specified")
	}
	return nil
}
