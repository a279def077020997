package identity

import (
	"cmp"
	"encoding/json"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/instancetype"
)

// Bounds of a request for a fleet: what it may launch is decided one by one, whoever asks,
// before anything else is looked at.
const (
	MaxFleetLaunches = 300  // overrides, in each of their subnets
	MaxFleetPools    = 3000 // launches, of each type that they may be of
)

// createFleet is checked on all that its configurations launch, template and overrides
// together, and the caller could itself run what the fleet will.
var createFleet = rule{
	resources: on(func(s scope, in *ec2.CreateFleetInput) []string {
		targets := []target{{arn: s.arn("ec2", "fleet/*")}}
		for _, l := range s.fleetLaunches(in) {
			l.kinds, l.markets = nil, nil // a fleet is asked for on its resources, which are the same for all
			targets = append(targets, l.targets(s)...)
		}
		return arns(targets)
	}).resources,
	made: func(_ scope, in any) created {
		if i, ok := in.(*ec2.CreateFleetInput); ok {
			return tagsByType(i.TagSpecifications)
		}
		return nil
	},
	also: needs(rule{}, func(s scope, in *ec2.CreateFleetInput) []check {
		out := s.tagOnCreate(tagsByType(in.TagSpecifications))
		tagged := map[string]bool{}
		for _, l := range s.fleetLaunches(in) {
			out = append(append(out, l.check(s)), l.passes(s)...)
			// The template's tags are put on what it launches, together with the request's.
			if from := l.template.ID + ":" + l.version; !tagged[from] {
				out, tagged[from] = append(out, s.tagOnCreate(l.tags)...), true
			}
		}
		return out
	}).also,
}

// fleetLaunches are the launches of a fleet's request: one for each template, override and
// subnet that it puts together. The handler refuses a request for more than there may be.
func (s scope) fleetLaunches(in *ec2.CreateFleetInput) (out []launch) {
	pools := 0
	for _, c := range in.LaunchTemplateConfigs {
		spec := c.LaunchTemplateSpecification
		if spec == nil {
			continue // the handler says that it is missing
		}
		template, data := s.template(spec.LaunchTemplateId, spec.LaunchTemplateName, spec.Version)
		if template.ID == "" {
			continue // the handler says that it is not there
		}
		overrides := c.Overrides
		if len(overrides) == 0 {
			overrides = []ec2.FleetLaunchTemplateOverridesRequest{{}}
		}
		for _, o := range overrides {
			if len(out) >= MaxFleetLaunches {
				return out
			}
			l := overridden(o)
			l.template, l.version, l.tags = template, deref(spec.Version), tagsByType(in.TagSpecifications)
			l.market, l.markets = fleetMarkets(in.TargetCapacitySpecification)
			l.fill(data)
			if o.InstanceRequirements != nil {
				l.require(s.call.Region, o.InstanceRequirements)
			}
			for subnet := range strings.SplitSeq(deref(o.SubnetId), ",") {
				if pools += 1 + len(l.kinds); len(out) >= MaxFleetLaunches || pools > MaxFleetPools {
					return out
				}
				l.subnet = cmp.Or(strings.TrimSpace(subnet), l.subnet)
				out = append(out, l)
			}
		}
	}
	return out
}

// fleetMarkets are the markets that a fleet launches in.
func fleetMarkets(t *ec2.TargetCapacitySpecificationRequest) (string, []string) {
	if t == nil {
		return "on-demand", nil
	}
	number := func(n *int32) int32 {
		if n == nil {
			return 0
		}
		return *n
	}
	onDemand, spot := number(t.OnDemandTargetCapacity), number(t.SpotTargetCapacity)
	if rest := number(t.TotalTargetCapacity) - onDemand - spot; deref(t.DefaultTargetCapacityType) == "spot" {
		spot += rest
	} else {
		onDemand += rest
	}
	switch {
	case spot > 0 && onDemand > 0:
		return "spot", []string{"on-demand"}
	case spot > 0:
		return "spot", nil
	}
	return "on-demand", nil
}

// overridden is what an override says of a launch.
func overridden(o ec2.FleetLaunchTemplateOverridesRequest) launch {
	l := launch{kind: deref(o.InstanceType), image: deref(o.ImageId), key: deref(o.KeyName)}
	if p := o.IamInstanceProfile; p != nil {
		l.profile = &ec2.IamInstanceProfileSpecification{Arn: p.Arn, Name: p.Name}
	}
	if m := o.MetadataOptions; m != nil {
		l.tokens, l.endpoint, l.hops = deref(m.HttpTokens), deref(m.HttpEndpoint), set(m.HttpPutResponseHopLimit)
	}
	l.place = cmp.Or(deref(o.AvailabilityZone), deref(o.AvailabilityZoneId))
	if p := o.Placement; p != nil {
		l.tenancy = deref(p.Tenancy)
		// The override's own zone goes before its placement's, but not before its id.
		l.place = cmp.Or(deref(o.AvailabilityZone), deref(p.AvailabilityZone), l.place)
	}
	for _, b := range o.BlockDeviceMappings {
		if e := b.Ebs; e != nil {
			l.disks = append(l.disks, disk{deref(b.DeviceName), deref(e.VolumeType), deref(e.SnapshotId), set(e.VolumeSize), set(e.Iops), set(e.Throughput), e.Encrypted})
		}
	}
	return l
}

// require has a launch be of any type that has what is wanted, and its image's architecture,
// whatever type its template says. Requirements that cannot be read, or that no type has, the
// handler refuses.
func (l *launch) require(region string, r *ec2.InstanceRequirementsRequest) {
	var q instancetype.Requirements
	raw, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	l.kind = ""
	if err != nil {
		return
	}
	id, _ := ami.Resolve(region, l.image)
	image, known := ami.ByID(region, id)
	for t := range instancetype.All() {
		switch {
		case !q.Match(t) || known && t.Architecture() != image.Arch:
		case l.kind == "":
			l.kind = t.Name
		default:
			l.kinds = append(l.kinds, t.Name)
		}
	}
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
		l.groups, l.named, l.interfaces = spec.SecurityGroupIds, spec.SecurityGroups, cardsOf(spec.NetworkInterfaces)
		l.profile, l.ebsOptimized, l.disks = spec.IamInstanceProfile, spec.EbsOptimized, disksOf(spec.BlockDeviceMappings)
		if p := spec.Placement; p != nil {
			l.tenancy, l.place = deref(p.Tenancy), deref(p.AvailabilityZone)
		}
	}
	return l
}
