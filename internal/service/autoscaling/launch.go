package autoscaling

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// launchFrom has a group launch from one launch template.
func launchFrom(tx *store.Tx, g *resource.AutoScalingGroup, lt *autoscaling.LaunchTemplateSpecification) error {
	if err := template(tx, g, lt); err != nil {
		return err
	}
	g.Spec.Mixed, g.Spec.InstanceTypes, g.Spec.Weights, g.Spec.Overrides, g.Spec.SpotPercentage = false, nil, nil, nil, 0
	g.Spec.Distribution = resource.InstancesDistribution{}
	return nil
}

// template checks a launch template and makes it the group's.
func template(tx *store.Tx, g *resource.AutoScalingGroup, lt *autoscaling.LaunchTemplateSpecification) error {
	o, err := usable(tx, g.Home, lt)
	if err == nil {
		g.Spec.LaunchTemplateID, g.Spec.LaunchTemplateName, g.Spec.LaunchTemplateVersion = o.LaunchTemplateID, o.LaunchTemplateName, o.LaunchTemplateVersion
	}
	return err
}

// usable checks a launch template that a caller names.
func usable(tx *store.Tx, home resource.Home, lt *autoscaling.LaunchTemplateSpecification) (resource.LaunchOverride, error) {
	none := resource.LaunchOverride{}
	id, name := deref(lt.LaunchTemplateId), deref(lt.LaunchTemplateName)
	if (id == "") == (name == "") {
		return none, validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
	}
	t, err := provision.LookupLaunchTemplate(tx, home, id, name)
	if err != nil {
		return none, unusable(err)
	}
	version := deref(lt.Version)
	if version == "" {
		version = "$Default"
	}
	if _, err := provision.TemplateVersion(t, version); err != nil {
		return none, unusable(err)
	}
	return resource.LaunchOverride{LaunchTemplateID: t.ID, LaunchTemplateName: t.Name, LaunchTemplateVersion: version}, nil
}

// unusable words EC2's error about a launch template as Auto Scaling does.
func unusable(err error) error {
	var e *awsapi.Error
	if errors.As(err, &e) {
		return validation("You must use a valid fully-formed launch template. %s", e.Message)
	}
	return err
}

// mix has a group launch several instance types, in order of priority.
func mix(tx *store.Tx, g *resource.AutoScalingGroup, p *autoscaling.MixedInstancesPolicy) error {
	spec := &g.Spec
	if p.LaunchTemplate != nil {
		if p.LaunchTemplate.LaunchTemplateSpecification == nil {
			return validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
		}
		if err := template(tx, g, p.LaunchTemplate.LaunchTemplateSpecification); err != nil {
			return err
		}
		if err := overrides(tx, g, p.LaunchTemplate.Overrides); err != nil {
			return err
		}
	} else if !spec.Mixed {
		return validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
	}
	if !spec.Mixed {
		spec.Mixed = true
		spec.Distribution = resource.InstancesDistribution{OnDemandStrategy: "prioritized", SpotStrategy: "lowest-price", SpotPools: 2}
	}
	if d := p.InstancesDistribution; d != nil {
		set(&spec.Distribution.OnDemandStrategy, d.OnDemandAllocationStrategy)
		set(&spec.Distribution.OnDemandBase, d.OnDemandBaseCapacity)
		set(&spec.Distribution.SpotStrategy, d.SpotAllocationStrategy)
		set(&spec.Distribution.SpotMaxPrice, d.SpotMaxPrice)
		if spec.Distribution.SpotStrategy != "lowest-price" {
			spec.Distribution.SpotPools = 0
		}
		set(&spec.Distribution.SpotPools, d.SpotInstancePools)
		if percent := d.OnDemandPercentageAboveBaseCapacity; percent != nil {
			if *percent < 0 || *percent > 100 {
				return validation("OnDemandPercentageAboveBaseCapacity must be between 0 and 100.")
			}
			spec.SpotPercentage = 100 - *percent
		}
	}
	return nil
}

// overrides makes the types of a policy the group's, with what each is launched from.
func overrides(tx *store.Tx, g *resource.AutoScalingGroup, list []autoscaling.LaunchTemplateOverrides) error {
	spec := &g.Spec
	spec.InstanceTypes, spec.Weights, spec.Overrides = nil, map[string]string{}, nil
	for _, o := range list {
		kind := deref(o.InstanceType)
		switch {
		case o.InstanceRequirements != nil:
			return unsupported("InstanceRequirements")
		case kind == "":
			return validation("Each override of a launch template must have an instance type.")
		case slices.Contains(spec.InstanceTypes, kind):
			return validation("Duplicate instance type %s in the overrides of the launch template.", kind)
		}
		spec.InstanceTypes = append(spec.InstanceTypes, kind)
		if w := o.WeightedCapacity; w != nil {
			if n, err := strconv.Atoi(*w); err != nil || n < 1 || n > 999 {
				return validation("WeightedCapacity %s of instance type %s is not valid. It must be an integer from 1 to 999.", *w, kind)
			}
			spec.Weights[kind] = *o.WeightedCapacity
		}
		own := resource.LaunchOverride{}
		if lt := o.LaunchTemplateSpecification; lt != nil {
			var err error
			if own, err = usable(tx, g.Home, lt); err != nil {
				return err
			}
		}
		if own.Image = deref(o.ImageId); own == (resource.LaunchOverride{}) {
			continue
		}
		if spec.Overrides == nil {
			spec.Overrides = map[string]resource.LaunchOverride{}
		}
		spec.Overrides[kind] = own
	}
	if n := len(spec.Weights); n > 0 && n < len(spec.InstanceTypes) {
		return validation("Weighted capacity must be specified for all instance types or for none of them.")
	}
	return nil
}

// place puts a group into subnets, or into zones of the default VPC.
func place(tx *store.Tx, g *resource.AutoScalingGroup, subnets *string, zones []string) error {
	spec := &g.Spec
	if subnets == nil && len(zones) == 0 {
		if len(spec.Subnets)+len(spec.Zones) == 0 {
			return validation("At least one Availability Zone or VPC Subnet is required.")
		}
		return nil
	}
	reg, ok := region.Lookup(g.Region)
	if !ok {
		return validation("Invalid region: %s", g.Region)
	}
	zones = slices.Clone(zones)
	for i, z := range zones {
		have, ok := reg.Zone(z) // by its name or its id
		if !ok {
			return validation("Invalid availability zones: [%s]", z)
		}
		zones[i] = have.Name
	}
	if deref(subnets) == "" {
		if len(zones) == 0 {
			return validation("At least one Availability Zone or VPC Subnet is required.")
		}
		if subnets != nil || len(spec.Subnets) == 0 {
			spec.Subnets, spec.Zones = nil, slices.Sorted(slices.Values(zones))
			return nil
		}
		// Zones alone, for a group that has subnets: they have to be those of the subnets.
		subnets = new(strings.Join(spec.Subnets, ","))
	}
	ids := fields(*subnets)
	in := map[string]bool{}
	vpc := ""
	for _, id := range ids {
		s, err := provision.LookupSubnet(tx, g.Home, id)
		if err != nil {
			return validation("The subnet ID '%s' does not exist", id)
		}
		if vpc != "" && s.VPC != vpc {
			return validation("The subnets %s are not all in one VPC", strings.Join(ids, ","))
		}
		vpc = s.VPC
		in[s.Zone] = true
	}
	of := slices.Sorted(maps.Keys(in))
	if len(zones) > 0 && !slices.Equal(of, slices.Sorted(slices.Values(zones))) {
		return validation("The availability zones of the specified subnets and the Auto Scaling group do not match")
	}
	spec.Subnets, spec.Zones = ids, of
	return nil
}
