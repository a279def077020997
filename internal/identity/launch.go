package identity

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/resource"
)

// A launch is what RunInstances is checked for, whoever calls it: the request, and what it
// leaves to its launch template.
type launch struct {
	template    resource.LaunchTemplate
	version     string   // of the template, as it was asked for
	image, kind string   // AMI and instance type
	kinds       []string // types that it may be of besides
	subnet, key string
	market      string
	markets     []string // as kinds
	groups      []string // security groups, by id
	named       []string // and by name, in the default VPC
	place       string   // zone that is asked for, by name or id
	profile     *ec2.IamInstanceProfileSpecification
	tags        created

	tokens, endpoint string // metadata options
	hops             *int32
	tenancy          string
	ebsOptimized     *bool
	interfaces       []networkCard
	disks            []disk
}

// A networkCard is a network interface that a launch makes or, with an id, takes.
type networkCard struct {
	id, subnet string
	groups     []string // none: the launch's
	public     *bool    // AssociatePublicIpAddress
}

func cardsOf(specs []ec2.InstanceNetworkInterfaceSpecification) (out []networkCard) {
	for _, n := range specs {
		out = append(out, networkCard{deref(n.NetworkInterfaceId), deref(n.SubnetId), n.Groups, n.AssociatePublicIpAddress})
	}
	return out
}

// A disk is a volume that a launch makes.
type disk struct {
	device, kind, snapshot string
	gib, iops, throughput  *int32
	encrypted              *bool
}

// template finds a launch template and what its version says, both empty if there is none.
func (s scope) template(id, name, version *string) (resource.LaunchTemplate, ec2.RequestLaunchTemplateData) {
	var data ec2.RequestLaunchTemplateData
	lt, ok := s.tx.LaunchTemplates.Get(deref(id))
	if id == nil && name != nil {
		for _, t := range s.tx.LaunchTemplates.All() {
			if t.Name == *name && t.Account == s.call.Account && t.Region == s.call.Region {
				lt, ok = t, true
			}
		}
	}
	if !ok || lt.Account != s.call.Account || lt.Region != s.call.Region {
		return resource.LaunchTemplate{}, data
	}
	number := lt.Default
	switch v := deref(version); v {
	case "", "$Default":
	case "$Latest":
		number = lt.Latest
	default:
		number, _ = strconv.ParseInt(v, 10, 64) // the handler refuses what is no number
	}
	for _, v := range lt.Versions {
		if v.Number == number {
			if err := json.Unmarshal(v.Data, &data); err != nil {
				return lt, ec2.RequestLaunchTemplateData{}
			}
		}
	}
	return lt, data
}

// launchOf merges a request to run instances with its launch template.
func (s scope) launchOf(in *ec2.RunInstancesInput) launch {
	l := launch{
		image: deref(in.ImageId), kind: deref(in.InstanceType), subnet: deref(in.SubnetId), key: deref(in.KeyName),
		groups: in.SecurityGroupIds, named: in.SecurityGroups, profile: in.IamInstanceProfile, tags: tagsByType(in.TagSpecifications),
	}
	if in.InstanceMarketOptions != nil {
		l.market = deref(in.InstanceMarketOptions.MarketType)
	}
	if m := in.MetadataOptions; m != nil {
		l.tokens, l.endpoint, l.hops = deref(m.HttpTokens), deref(m.HttpEndpoint), set(m.HttpPutResponseHopLimit)
	}
	if p := in.Placement; p != nil {
		l.tenancy, l.place = deref(p.Tenancy), cmp.Or(deref(p.AvailabilityZone), deref(p.AvailabilityZoneId))
	}
	l.ebsOptimized = in.EbsOptimized
	l.disks = disksOf(in.BlockDeviceMappings)
	l.interfaces = cardsOf(in.NetworkInterfaces)
	if in.LaunchTemplate == nil {
		return l
	}
	var data ec2.RequestLaunchTemplateData
	l.template, data = s.template(in.LaunchTemplate.LaunchTemplateId, in.LaunchTemplate.LaunchTemplateName, in.LaunchTemplate.Version)
	l.fill(data)
	return l
}

// fill takes from a launch template what is not there yet.
func (l *launch) fill(data ec2.RequestLaunchTemplateData) {
	or := func(have *string, more *string) {
		if *have == "" {
			*have = deref(more)
		}
	}
	or(&l.image, data.ImageId)
	or(&l.kind, data.InstanceType)
	or(&l.key, data.KeyName)
	if data.InstanceMarketOptions != nil {
		or(&l.market, data.InstanceMarketOptions.MarketType)
	}
	if m := data.MetadataOptions; m != nil {
		or(&l.tokens, m.HttpTokens)
		or(&l.endpoint, m.HttpEndpoint)
		l.hops = cmp.Or(l.hops, m.HttpPutResponseHopLimit)
	}
	if p := data.Placement; p != nil {
		or(&l.tenancy, p.Tenancy)
		or(&l.place, p.AvailabilityZone)
		or(&l.place, p.AvailabilityZoneId)
	}
	l.ebsOptimized = cmp.Or(l.ebsOptimized, data.EbsOptimized)
	for _, b := range data.BlockDeviceMappings {
		if e := b.Ebs; e != nil {
			l.addDisk(disk{deref(b.DeviceName), deref(e.VolumeType), deref(e.SnapshotId), e.VolumeSize, e.Iops, e.Throughput, e.Encrypted})
		}
	}
	if len(l.interfaces) == 0 { // which a template's do not add to
		for _, n := range data.NetworkInterfaces {
			l.interfaces = append(l.interfaces, networkCard{deref(n.NetworkInterfaceId), deref(n.SubnetId), n.Groups, n.AssociatePublicIpAddress})
		}
	}
	if len(l.groups)+len(l.named) == 0 {
		l.groups, l.named = data.SecurityGroupIds, data.SecurityGroups
	}
	if p := data.IamInstanceProfile; !l.hasProfile() && p != nil {
		l.profile = &ec2.IamInstanceProfileSpecification{Arn: p.Arn, Name: p.Name}
	}
	if l.tags == nil {
		l.tags = created{}
	}
	for _, spec := range data.TagSpecifications {
		kind := deref(spec.ResourceType)
		for _, t := range spec.Tags {
			if l.tags[kind] == nil {
				l.tags[kind] = map[string]string{}
			}
			if _, ok := l.tags[kind][deref(t.Key)]; !ok {
				l.tags[kind][deref(t.Key)] = deref(t.Value)
			}
		}
	}
}

// hasProfile says whether the launch names an instance profile. One that is named "" is none:
// the launch takes its template's.
func (l *launch) hasProfile() bool {
	return l.profile != nil && (deref(l.profile.Arn) != "" || deref(l.profile.Name) != "")
}

// passes is the check that the caller may hand the role in the launch's profile to EC2.
func (l *launch) passes(s scope) []check {
	if !l.hasProfile() {
		return nil
	}
	return s.passProfile(l.profile.Arn, l.profile.Name)
}

func disksOf(mappings []ec2.BlockDeviceMapping) (out []disk) {
	for _, b := range mappings {
		if e := b.Ebs; e != nil {
			out = append(out, disk{deref(b.DeviceName), deref(e.VolumeType), deref(e.SnapshotId), set(e.VolumeSize), set(e.Iops), set(e.Throughput), e.Encrypted})
		}
	}
	return out
}

// set is a number that a request gives. 0 is none: the launch takes its template's.
func set(n *int32) *int32 {
	if n != nil && *n == 0 {
		return nil
	}
	return n
}

// addDisk adds a disk, or to the one of its device what that leaves open.
func (l *launch) addDisk(d disk) {
	i := slices.IndexFunc(l.disks, func(have disk) bool { return have.device == d.device })
	if i < 0 {
		l.disks = append(l.disks, d)
		return
	}
	h := &l.disks[i]
	h.kind, h.snapshot = cmp.Or(h.kind, d.kind), cmp.Or(h.snapshot, d.snapshot)
	h.gib, h.iops, h.throughput = cmp.Or(h.gib, d.gib), cmp.Or(h.iops, d.iops), cmp.Or(h.throughput, d.throughput)
	h.encrypted = cmp.Or(h.encrypted, d.encrypted)
}

// groupLaunch is the check that the caller of Auto Scaling could itself run what a group
// will: nobody gets instances by a group that RunInstances would refuse.
func (s scope) groupLaunch(direct *autoscaling.LaunchTemplateSpecification, mixed *autoscaling.MixedInstancesPolicy) (checks []check) {
	specs := []*autoscaling.LaunchTemplateSpecification{direct}
	if mixed != nil && mixed.LaunchTemplate != nil {
		specs = append(specs, mixed.LaunchTemplate.LaunchTemplateSpecification)
		for _, o := range mixed.LaunchTemplate.Overrides {
			specs = append(specs, o.LaunchTemplateSpecification)
		}
	}
	for _, spec := range specs {
		if spec != nil {
			checks = append(checks, s.templateLaunch(launch{}, spec.LaunchTemplateId, spec.LaunchTemplateName, spec.Version, badTemplate)...)
		}
	}
	return checks
}

// nodeLaunch is the check that the caller of EKS could itself run what a node group with a
// launch template of the caller's will: EKS makes a dry run of it in the caller's name.
// Without one nothing is asked of the caller, since EKS's own role launches EKS's template.
func (s scope) nodeLaunch(spec *eks.LaunchTemplateSpecification, subnets, types []string) []check {
	if spec == nil {
		return nil
	}
	var l launch
	if len(subnets) > 0 {
		l.subnet = subnets[0]
	}
	if len(types) > 0 {
		l.kind = types[0]
	}
	read := check{action: "ec2:DescribeLaunchTemplateVersions", refuse: cannotRead}
	return append([]check{read}, s.templateLaunch(l, spec.Id, spec.Name, spec.Version, cannotLaunch)...)
}

// templateLaunch is what RunInstances would be checked for with a launch template.
func (s scope) templateLaunch(l launch, id, name, version *string, refuse func(denial, encoded string) error) []check {
	var data ec2.RequestLaunchTemplateData
	if l.template, data = s.template(id, name, version); l.template.ID == "" {
		return nil // the handler says that it is not there
	}
	l.fill(data)
	s.call.Operation = "RunInstances" // as ec2:CreateAction has it
	checks := append([]check{l.check(s)}, l.also(s)...)
	for i := range checks {
		checks[i].refuse = refuse
	}
	return checks
}
