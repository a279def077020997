package ec2

import (
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Bounds of one request.
const (
	maxFleetConfigs   = 50
	maxFleetOverrides = 300
	maxFleetLaunches  = identity.MaxFleetLaunches // what more there were nobody has checked
	maxFleetPools     = identity.MaxFleetPools
)

// A fleetPool is one thing that a fleet may launch: a launch template, with one override.
type fleetPool struct {
	template resource.LaunchTemplate
	version  string
	override ec2.FleetLaunchTemplateOverridesRequest
	launch   provision.InstanceRequest // template merged in
	kind     instancetype.Type
	zone     string // as far as the request says it
	weight   float64
}

// fleetPools are the pools of a request, in its order.
func fleetPools(tx *store.Tx, call awsapi.Call, in *ec2.CreateFleetInput) ([]fleetPool, error) {
	tags, err := specTags(in.TagSpecifications, "fleet", "instance", "volume", "network-interface", "spot-instances-request")
	if err != nil {
		return nil, err
	}
	if n := len(in.LaunchTemplateConfigs); n == 0 || n > maxFleetConfigs {
		return nil, fault("InvalidParameterValue", "A request has between 1 and %d launch template configurations, not %d.", maxFleetConfigs, n)
	}
	if n := fleetLaunches(in); n > maxFleetLaunches {
		return nil, fault("InvalidParameterValue", "A request has at most %d overrides in all of their subnets, not %d.", maxFleetLaunches, n)
	}
	var out []fleetPool
	overrides := 0
	for _, c := range in.LaunchTemplateConfigs {
		spec := c.LaunchTemplateSpecification
		if spec == nil {
			return nil, missing("LaunchTemplateSpecification")
		}
		lt, err := oneTemplate(tx, call, spec.LaunchTemplateId, spec.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		if overrides += len(c.Overrides); overrides > maxFleetOverrides {
			return nil, fault("InvalidParameterValue", "A request has at most %d overrides.", maxFleetOverrides)
		}
		if len(c.Overrides) == 0 {
			c.Overrides = []ec2.FleetLaunchTemplateOverridesRequest{{}}
		}
		chosen, err := byRequirements(tx, call, lt, deref(spec.Version), c.Overrides)
		if err != nil {
			return nil, err
		}
		for _, o := range chosen {
			// An override may name several subnets, and then stands for a pool in each.
			for subnet := range strings.SplitSeq(deref(o.SubnetId), ",") {
				if len(out) == maxFleetPools {
					return nil, fault("InvalidParameterValue", "The requirements of a request are met by at most %d instance types in all of their subnets.", maxFleetPools)
				}
				one := o
				one.SubnetId = some(strings.TrimSpace(subnet))
				p := fleetPool{template: lt, version: deref(spec.Version), override: one, weight: 1}
				p.launch = provision.InstanceRequest{
					Home: homeOf(call), Tags: tags["instance"], VolumeTags: tags["volume"], InterfaceTags: tags["network-interface"],
					SpotTags: tags["spot-instances-request"], Now: call.Time,
				}
				if err := p.read(tx, call); err != nil {
					return nil, err
				}
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// fleetLaunches counts the overrides of a request, each in each of its subnets.
func fleetLaunches(in *ec2.CreateFleetInput) (n int) {
	for _, c := range in.LaunchTemplateConfigs {
		if len(c.Overrides) == 0 {
			n++
		}
		for _, o := range c.Overrides {
			n += 1 + strings.Count(deref(o.SubnetId), ",")
		}
	}
	return n
}

// byRequirements replaces an override that says what types have to have by one for each type
// that has it, and the architecture of the image, in the order of their names.
func byRequirements(tx *store.Tx, call awsapi.Call, lt resource.LaunchTemplate, version string, list []ec2.FleetLaunchTemplateOverridesRequest) ([]ec2.FleetLaunchTemplateOverridesRequest, error) {
	var out []ec2.FleetLaunchTemplateOverridesRequest
	for _, o := range list {
		if o.InstanceRequirements == nil {
			out = append(out, o)
			continue
		}
		if o.InstanceType != nil {
			return nil, fault("InvalidParameterCombination", "InstanceType and InstanceRequirements cannot be specified together in an override.")
		}
		r := o.InstanceRequirements
		if err := reject(ask{"Protection from prices in an override", r.SpotMaxPricePercentageOverLowestPrice != nil || r.OnDemandMaxPricePercentageOverLowestPrice != nil ||
			r.MaxSpotPriceAsPercentageOfOptimalOnDemandPrice != nil}); err != nil {
			return nil, err
		}
		types, err := typesFor(r)
		if err != nil {
			return nil, err
		}
		launch, err := provision.MergeTemplate(lt, version, provision.InstanceRequest{Home: homeOf(call), Image: deref(o.ImageId)})
		if err != nil {
			return nil, err
		}
		id, _ := ami.Resolve(call.Region, launch.Image) // the launch says what is wrong with it
		image, err := provision.LookupImage(tx, homeOf(call), id)
		if err != nil {
			return nil, err
		}
		for _, t := range types {
			if t.Architecture() == image.Arch {
				one := o
				one.InstanceType, one.InstanceRequirements = &t.Name, nil
				out = append(out, one)
			}
		}
	}
	return out, nil
}

// read merges the override and the template into the launch.
func (p *fleetPool) read(tx *store.Tx, call awsapi.Call) error {
	o, r := &p.override, &p.launch
	r.Type, r.Subnet, r.Image, r.KeyName, r.SpotMaxPrice = deref(o.InstanceType), deref(o.SubnetId), deref(o.ImageId), deref(o.KeyName), deref(o.MaxPrice)
	placement := ec2.Placement{AvailabilityZone: o.AvailabilityZone, AvailabilityZoneId: o.AvailabilityZoneId}
	if o.Placement != nil {
		placement.AvailabilityZone = or(placement.AvailabilityZone, o.Placement.AvailabilityZone)
		r.PlacementGroup = or(deref(o.Placement.GroupName), deref(o.Placement.GroupId))
		if err := rejectPlacement(o.Placement); err != nil {
			return err
		}
	}
	var err error
	if r.Zone, err = launchZone(call.Region, &placement); err != nil {
		return err
	}
	if i := o.IamInstanceProfile; i != nil {
		r.ProfileARN, r.ProfileName = deref(i.Arn), deref(i.Name)
	}
	if m := o.MetadataOptions; m != nil {
		r.HTTPTokens, r.HTTPEndpoint, r.HopLimit = deref(m.HttpTokens), deref(m.HttpEndpoint), deref(m.HttpPutResponseHopLimit)
	}
	for _, b := range o.BlockDeviceMappings {
		var disk *ec2.LaunchTemplateEbsBlockDeviceRequest
		if e := b.Ebs; e != nil {
			disk = &ec2.LaunchTemplateEbsBlockDeviceRequest{
				Encrypted: e.Encrypted, DeleteOnTermination: e.DeleteOnTermination, Iops: e.Iops, KmsKeyId: e.KmsKeyId, SnapshotId: e.SnapshotId,
				VolumeSize: e.VolumeSize, VolumeType: e.VolumeType, Throughput: e.Throughput,
			}
		}
		if err := r.SetDisk(deref(b.DeviceName), disk); err != nil {
			return err
		}
	}
	if *r, err = provision.MergeTemplate(p.template, p.version, *r); err != nil {
		return err
	}
	if p.zone = r.Zone; r.Subnet != "" {
		s, err := provision.LookupSubnet(tx, r.Home, r.Subnet)
		if err != nil {
			return err
		}
		if p.zone != "" && p.zone != s.Zone {
			return fault("InvalidParameterCombination", "The subnet '%s' is not in the availability zone '%s'.", s.ID, p.zone)
		}
		p.zone = s.Zone
	}
	p.kind, _ = instancetype.Lookup(r.Type) // the launch says what is wrong with it
	if w := o.WeightedCapacity; w != nil {
		if *w <= 0 {
			return fault("InvalidParameterValue", "The weighted capacity must be greater than 0.")
		}
		p.weight = *w
	}
	return nil
}

// describe is the pool as a fleet's answer shows it.
func (p *fleetPool) describe(region region.Region) (*ec2.LaunchTemplateAndOverridesResponse, error) {
	out := &ec2.LaunchTemplateAndOverridesResponse{
		LaunchTemplateSpecification: &ec2.FleetLaunchTemplateSpecification{LaunchTemplateId: &p.template.ID, Version: new(p.launch.LaunchTemplateVersion)},
		Overrides:                   &ec2.FleetLaunchTemplateOverrides{},
	}
	if err := recast(p.override, out.Overrides); err != nil {
		return nil, err
	}
	out.Overrides.InstanceType = some(p.launch.Type)
	if z, ok := region.Zone(p.zone); ok {
		out.Overrides.AvailabilityZone, out.Overrides.AvailabilityZoneId = &z.Name, &z.ID
	}
	return out, nil
}
