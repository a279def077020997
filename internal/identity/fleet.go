package identity

import (
	"slices"
	"strings"

	"ekster.dev/ekster/gen/ec2"
)

// createFleet is checked on all that its configurations launch, template and overrides
// together, and the caller could itself run what the fleet will.
var createFleet = rule{
	resources: on(func(s scope, in *ec2.CreateFleetInput) []string {
		out := []string{s.arn("ec2", "fleet/*")}
		for _, l := range s.fleetLaunches(in) {
			for _, arn := range arns(l.targets(s)) {
				if !slices.Contains(out, arn) {
					out = append(out, arn)
				}
			}
		}
		return out
	}).resources,
	made: func(_ scope, in any) created {
		if i, ok := in.(*ec2.CreateFleetInput); ok {
			return tagsByType(i.TagSpecifications)
		}
		return nil
	},
	also: needs(rule{}, func(s scope, in *ec2.CreateFleetInput) []check {
		out := s.tagOnCreate(tagsByType(in.TagSpecifications))
		for _, l := range s.fleetLaunches(in) {
			out = append(append(out, l.check(s)), l.passes(s)...)
		}
		return out
	}).also,
}

// fleetLaunches are the launches of a fleet's request: one for each template, type, subnet
// and image that it puts together, each once.
func (s scope) fleetLaunches(in *ec2.CreateFleetInput) []launch {
	market := "on-demand"
	if t := in.TargetCapacitySpecification; t != nil && (deref(t.DefaultTargetCapacityType) == "spot" || t.SpotTargetCapacity != nil && *t.SpotTargetCapacity > 0) {
		market = "spot"
	}
	var out []launch
	for _, c := range in.LaunchTemplateConfigs {
		spec := c.LaunchTemplateSpecification
		if spec == nil {
			continue // the handler says that it is missing
		}
		overrides := c.Overrides
		if len(overrides) == 0 {
			overrides = []ec2.FleetLaunchTemplateOverridesRequest{{}}
		}
		seen := map[string]bool{}
		for _, o := range overrides {
			for subnet := range strings.SplitSeq(deref(o.SubnetId), ",") {
				l := launch{kind: deref(o.InstanceType), subnet: strings.TrimSpace(subnet), image: deref(o.ImageId), key: deref(o.KeyName), market: market, tags: tagsByType(in.TagSpecifications)}
				if p := o.IamInstanceProfile; p != nil {
					l.profile = &ec2.IamInstanceProfileSpecification{Arn: p.Arn, Name: p.Name}
				}
				key := strings.Join([]string{l.kind, l.subnet, l.image, l.key}, " ")
				if seen[key] {
					continue
				}
				seen[key] = true
				var data ec2.RequestLaunchTemplateData
				if l.template, data = s.template(spec.LaunchTemplateId, spec.LaunchTemplateName, spec.Version); l.template.ID == "" {
					continue // the handler says that it is not there
				}
				l.fill(data)
				out = append(out, l)
			}
		}
	}
	return out
}

// requestSpot is checked for the request that it makes, and for the launch that it asks for.
var requestSpot = rule{
	resources: on(func(s scope, in *ec2.RequestSpotInstancesInput) []string {
		return append([]string{s.arn("ec2", "spot-instances-request/*")}, arns(s.spotLaunch(in).targets(s))...)
	}).resources,
	made: func(_ scope, in any) created {
		if i, ok := in.(*ec2.RequestSpotInstancesInput); ok {
			return tagsByType(i.TagSpecifications)
		}
		return nil
	},
	also: needs(rule{}, func(s scope, in *ec2.RequestSpotInstancesInput) []check {
		l := s.spotLaunch(in)
		return append(append(s.tagOnCreate(tagsByType(in.TagSpecifications)), l.check(s)), l.passes(s)...)
	}).also,
}

func (s scope) spotLaunch(in *ec2.RequestSpotInstancesInput) launch {
	l := launch{market: "spot"}
	if spec := in.LaunchSpecification; spec != nil {
		l.image, l.kind, l.subnet, l.key = deref(spec.ImageId), deref(spec.InstanceType), deref(spec.SubnetId), deref(spec.KeyName)
		l.groups, l.profile, l.ebsOptimized, l.disks = spec.SecurityGroupIds, spec.IamInstanceProfile, spec.EbsOptimized, disksOf(spec.BlockDeviceMappings)
		if spec.Placement != nil {
			l.tenancy = deref(spec.Placement.Tenancy)
		}
		for _, n := range spec.NetworkInterfaces {
			l.interfaces = append(l.interfaces, networkCard{deref(n.NetworkInterfaceId), n.AssociatePublicIpAddress})
		}
	}
	return l
}
