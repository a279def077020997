package eks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const scalingService = "autoscaling.amazonaws.com"

const defaultInstanceType = "t3.medium"
const defaultARMInstanceType = "t4g.medium"

// resolveNodegroup checks a node group against what is there and fills in what follows
// from that: image type, release and instance types.
func resolveNodegroup(tx *store.Tx, call awsapi.Call, sub subject, c resource.Cluster, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec, payload func(string) bool) error {
	for _, id := range spec.Subnets {
		s, err := provision.LookupSubnet(tx, c.Home, id)
		if err != nil {
			return sub.ofEC2(call, err)
		}
		if s.VPC != c.Spec.VPC {
			return sub.invalidParameter("Subnets specified must belong to the VPC: %s", c.Spec.VPC)
		}
	}
	if err := resolveRemoteAccess(tx, call, sub, c, in.RemoteAccess, spec); err != nil {
		return err
	}
	image, err := resolveTemplate(tx, call, sub, c, spec)
	if err != nil {
		return err
	}
	if image != "" {
		return resolveCustom(tx, call, in, sub, spec, image)
	}
	return resolveImage(sub, c, in, spec, payload)
}

// resolveRemoteAccess checks the key that nodes are to have, and the security groups from
// which their port 22 is open. Package controller/nodegroup makes the group that opens it.
func resolveRemoteAccess(tx *store.Tx, call awsapi.Call, sub subject, c resource.Cluster, r *eks.RemoteAccessConfig, spec *resource.NodegroupSpec) error {
	if r == nil {
		return nil
	}
	spec.SSHKey, spec.SSHSourceSecurityGroups = deref(r.Ec2SshKey), unique(r.SourceSecurityGroups)
	if n := count(tx.KeyPairs.Values(func(k resource.KeyPair) bool { return k.Home == c.Home && k.Name == spec.SSHKey })); n == 0 {
		return sub.invalidParameter("The key pair '%s' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidKeyPair.NotFound; Request ID: %s; Proxy: null)", spec.SSHKey, call.RequestID)
	}
	for _, id := range spec.SSHSourceSecurityGroups {
		g, err := provision.LookupSecurityGroup(tx, c.Home, id)
		if err != nil {
			return sub.ofEC2(call, err)
		}
		if g.VPC != c.Spec.VPC {
			return sub.invalidParameter("The security group '%s' does not belong to the VPC: %s", id, c.Spec.VPC)
		}
	}
	return nil
}

// resolveTemplate checks the caller's launch template, if any, and returns the image that
// it names.
func resolveTemplate(tx *store.Tx, call awsapi.Call, sub subject, c resource.Cluster, spec *resource.NodegroupSpec) (image string, err error) {
	if spec.LaunchTemplateID == "" && spec.LaunchTemplateName == "" {
		return "", nil
	}
	lt, err := provision.LookupLaunchTemplate(tx, c.Home, spec.LaunchTemplateID, spec.LaunchTemplateName)
	if err != nil {
		return "", sub.ofEC2(call, err)
	}
	v, err := provision.TemplateVersion(lt, spec.LaunchTemplateVersion)
	if err != nil {
		return "", sub.ofEC2(call, err)
	}
	spec.LaunchTemplateID, spec.LaunchTemplateName, spec.LaunchTemplateVersion = lt.ID, lt.Name, strconv.FormatInt(v.Number, 10)
	d, err := provision.TemplateData(v)
	if err != nil {
		return "", fmt.Errorf("launch template %s: %w", lt.ID, err)
	}
	if what := forbidden(d); what != "" {
		return "", sub.invalidParameter("%s cannot be specified in the launch template of a node group", what)
	}
	for _, n := range d.NetworkInterfaces {
		if n.SubnetId != nil {
			return "", sub.invalidParameter("You must not specify a subnet in your launch template. All subnets must be specified in the API.")
		}
	}
	if t := deref(d.InstanceType); t != "" {
		if len(spec.InstanceTypes) > 0 {
			return "", sub.invalidParameter("Cannot specify instance types in launch template and API request")
		}
		spec.InstanceTypes, spec.TemplateType = []string{t}, true
	}
	return deref(d.ImageId), nil
}

// forbidden names what a node group's launch template must not hold.
func forbidden(d ec2.RequestLaunchTemplateData) string {
	switch {
	case d.IamInstanceProfile != nil:
		return "IamInstanceProfile"
	case d.InstanceMarketOptions != nil:
		return "RequestSpotInstances"
	case d.HibernationOptions != nil && deref(d.HibernationOptions.Configured):
		return "HibernationOptions"
	case d.InstanceInitiatedShutdownBehavior != nil:
		return "InstanceInitiatedShutdownBehavior"
	}
	return ""
}

// resolveCustom is for a launch template that brings its own image.
func resolveCustom(tx *store.Tx, call awsapi.Call, in *eks.CreateNodegroupInput, sub subject, spec *resource.NodegroupSpec, image string) error {
	switch {
	case in.Version != nil || in.ReleaseVersion != nil:
		return sub.invalidParameter("You cannot specify the kubernetesVersion or releaseVersion when an image id is specified within the launch template.")
	case spec.AMIType != "" && spec.AMIType != customAMI:
		return sub.invalidParameter("You cannot specify the amiType when an image id is specified within the launch template.")
	}
	id, ok := ami.Resolve(call.Region, image)
	if !ok {
		return sub.invalidParameter("The parameter of '%s' does not exist", image)
	}
	if _, err := provision.LookupImage(tx, resource.Home{Account: call.Account, Region: call.Region}, id); err != nil {
		return sub.ofEC2(call, err)
	}
	spec.AMIType, spec.ReleaseVersion = customAMI, image
	if len(spec.InstanceTypes) == 0 {
		spec.InstanceTypes = []string{defaultInstanceType}
	}
	_, err := typesOf(sub, spec.InstanceTypes)
	return err
}

// resolveImage picks EKS's image for the instance types and the Kubernetes version.
func resolveImage(sub subject, c resource.Cluster, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec, payload func(string) bool) error {
	if spec.AMIType == customAMI {
		return sub.invalidParameter("The launch template of a CUSTOM ami type node group must specify an image id.")
	}
	if len(spec.InstanceTypes) == 0 {
		spec.InstanceTypes = []string{defaultInstanceType}
		if amiTypes[spec.AMIType].arch == ami.ARM64 {
			spec.InstanceTypes = []string{defaultARMInstanceType}
		}
	}
	types, err := typesOf(sub, spec.InstanceTypes)
	if err != nil {
		return err
	}
	if spec.AMIType == "" {
		spec.AMIType = amiX86
		if types[0].Arch == instancetype.ARM64 {
			spec.AMIType = amiARM
		}
	}
	if strings.HasPrefix(spec.AMIType, "AL2_") && !slices.Contains([]string{"1.30", "1.31", "1.32"}, spec.Version) {
		return sub.invalidParameter("AMI Type %s is only supported for kubernetes versions 1.32 or earlier", spec.AMIType)
	}
	kind := amiTypes[spec.AMIType]
	for _, t := range types {
		if !kind.runsOn(t) {
			return sub.invalidParameter("[%s] is not a valid instance type for requested amiType %s", t.Name, spec.AMIType)
		}
	}
	if err := kind.available(sub); err != nil {
		return err
	}
	image, ok := ami.Recommended(c.Region, spec.Version, kind.arch, kind.variant)
	if !ok || !payload(spec.Version) {
		return sub.invalidParameter("Requested AMI for this version %s is not supported", spec.Version)
	}
	if in.ReleaseVersion != nil && *in.ReleaseVersion != image.Release {
		return sub.invalidParameter("Requested Nodegroup release version %s is invalid. Allowed release version is %s", *in.ReleaseVersion, image.Release)
	}
	spec.ReleaseVersion = image.Release
	return nil
}

func typesOf(sub subject, names []string) ([]instancetype.Type, error) {
	var out []instancetype.Type
	var missing []string
	for _, name := range names {
		t, ok := instancetype.Lookup(name)
		if !ok {
			missing = append(missing, name)
		}
		out = append(out, t)
	}
	if len(missing) > 0 {
		return nil, sub.invalidParameter("The following supplied instance types do not exist: [%s]", strings.Join(missing, ", "))
	}
	return out, nil
}
