package identity

import (
	"encoding/json"
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
	image, kind string // AMI and instance type
	subnet, key string
	market      string
	groups      []string
	profile     *ec2.IamInstanceProfileSpecification
	tags        created
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
		groups: in.SecurityGroupIds, profile: in.IamInstanceProfile, tags: tagsByType(in.TagSpecifications),
	}
	if in.InstanceMarketOptions != nil {
		l.market = deref(in.InstanceMarketOptions.MarketType)
	}
	for _, n := range in.NetworkInterfaces {
		l.groups = append(l.groups[:len(l.groups):len(l.groups)], n.Groups...)
		if l.subnet == "" {
			l.subnet = deref(n.SubnetId)
		}
	}
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
	for _, n := range data.NetworkInterfaces {
		l.groups = append(l.groups[:len(l.groups):len(l.groups)], n.Groups...)
		or(&l.subnet, n.SubnetId)
	}
	if len(l.groups) == 0 {
		l.groups = data.SecurityGroupIds
	}
	if p := data.IamInstanceProfile; l.profile == nil && p != nil {
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

// resources are what ec2:RunInstances is checked on.
func (l launch) resources(s scope) []string {
	out := []string{s.arn("ec2", "instance/*")}
	out = append(out, s.ec2(&l.image, &l.subnet)...)
	out = append(out, s.ec2s(l.groups)...)
	out = append(out, s.arn("ec2", "network-interface/*"), s.arn("ec2", "volume/*"))
	if l.key != "" {
		out = append(out, s.arn("ec2", "key-pair/"+l.key))
	}
	if l.template.ID != "" {
		out = append(out, s.arn("ec2", "launch-template/"+l.template.ID))
	}
	return out
}

func (l launch) keys(s scope) map[string][]string {
	keys := map[string][]string{"ec2:IsLaunchTemplateResource": {strconv.FormatBool(l.template.ID != "")}}
	put := func(key, value string) {
		if value != "" {
			keys[key] = []string{value}
		}
	}
	put("ec2:InstanceType", l.kind)
	if l.market == "" {
		l.market = "on-demand"
	}
	put("ec2:InstanceMarketType", l.market)
	if l.template.ID != "" {
		put("ec2:LaunchTemplate", s.arn("ec2", "launch-template/"+l.template.ID))
	}
	if l.profile != nil {
		id := deref(l.profile.Arn)
		if id == "" {
			id = s.profile(l.profile.Name, nil)[0]
		}
		put("ec2:InstanceProfile", id)
	}
	return keys
}

// also are a launch's dependent actions.
func (l launch) also(s scope) []check {
	var out []check
	if l.profile != nil {
		out = s.passProfile(l.profile.Arn, l.profile.Name)
	}
	return append(out, s.tagOnCreate(l.tags)...)
}

// groupLaunch is the check that the caller of Auto Scaling could itself run what a group
// will: nobody gets instances by a group that RunInstances would refuse.
func (s scope) groupLaunch(direct *autoscaling.LaunchTemplateSpecification, mixed *autoscaling.MixedInstancesPolicy) []check {
	spec := direct
	if spec == nil && mixed != nil && mixed.LaunchTemplate != nil {
		spec = mixed.LaunchTemplate.LaunchTemplateSpecification
	}
	if spec == nil {
		return nil
	}
	return s.templateLaunch(launch{}, spec.LaunchTemplateId, spec.LaunchTemplateName, spec.Version, badTemplate)
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
	checks := append([]check{{action: "ec2:RunInstances", resources: l.resources(s), keys: l.keys(s), made: l.tags}}, l.also(s)...)
	for i := range checks {
		checks[i].refuse = refuse
	}
	return checks
}
