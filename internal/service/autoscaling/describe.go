package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxGroups    = 100
	maxInstances = 50
)

// DescribeAutoScalingGroups tells about groups and their instances. Names that are not
// there are left out.
func (s *Service) DescribeAutoScalingGroups(_ context.Context, call awsapi.Call, in *autoscaling.DescribeAutoScalingGroupsInput) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	out := &autoscaling.DescribeAutoScalingGroupsOutput{AutoScalingGroups: []autoscaling.AutoScalingGroup{}}
	filters, err := tagFilters(in.Filters)
	if err != nil {
		return nil, err
	}
	err = s.store.View(func(tx *store.Tx) error {
		var all []resource.AutoScalingGroup
		for _, g := range tx.AutoScalingGroups.All() {
			if g.Home == home(call) && (len(in.AutoScalingGroupNames) == 0 || slices.Contains(in.AutoScalingGroupNames, g.Name)) && filters.match(g) {
				all = append(all, g)
			}
		}
		slices.SortFunc(all, func(a, b resource.AutoScalingGroup) int { return strings.Compare(a.Name, b.Name) })
		var err error
		all, out.NextToken, err = page(all, func(g resource.AutoScalingGroup) string { return g.Name }, ascending, in.NextToken, in.MaxRecords, maxGroups)
		for _, g := range all {
			d := describeGroup(g)
			if in.IncludeInstances == nil || *in.IncludeInstances {
				d.Instances = describeMembers(tx, g)
			}
			out.AutoScalingGroups = append(out.AutoScalingGroups, d)
		}
		return err
	})
	return out, err
}

// DescribeAutoScalingInstances tells about instances in groups. Ids that are in none are
// left out.
func (s *Service) DescribeAutoScalingInstances(_ context.Context, call awsapi.Call, in *autoscaling.DescribeAutoScalingInstancesInput) (*autoscaling.DescribeAutoScalingInstancesOutput, error) {
	out := &autoscaling.DescribeAutoScalingInstancesOutput{AutoScalingInstances: []autoscaling.AutoScalingInstanceDetails{}}
	err := s.store.View(func(tx *store.Tx) error {
		var all []resource.GroupInstance
		for id, m := range tx.GroupInstances.All() {
			g, ok := tx.AutoScalingGroups.Get(m.Group)
			if ok && g.Home == home(call) && (len(in.InstanceIds) == 0 || slices.Contains(in.InstanceIds, id)) {
				all = append(all, m)
			}
		}
		var err error
		all, out.NextToken, err = page(all, func(m resource.GroupInstance) string { return m.Instance }, ascending, in.NextToken, in.MaxRecords, maxInstances)
		for _, m := range all {
			g, _ := tx.AutoScalingGroups.Get(m.Group)
			i := describeMember(tx, m)
			out.AutoScalingInstances = append(out.AutoScalingInstances, autoscaling.AutoScalingInstanceDetails{
				InstanceId:           i.InstanceId,
				InstanceType:         i.InstanceType,
				AutoScalingGroupName: new(g.Name),
				AvailabilityZone:     i.AvailabilityZone,
				LifecycleState:       i.LifecycleState,
				HealthStatus:         new(strings.ToUpper(*i.HealthStatus)), // only this operation shouts
				LaunchTemplate:       i.LaunchTemplate,
				ImageId:              i.ImageId,
				ProtectedFromScaleIn: i.ProtectedFromScaleIn,
				WeightedCapacity:     i.WeightedCapacity,
			})
		}
		return err
	})
	return out, err
}

func describeGroup(g resource.AutoScalingGroup) autoscaling.AutoScalingGroup {
	s := g.Spec
	d := autoscaling.AutoScalingGroup{
		AutoScalingGroupName:             new(g.Name),
		AutoScalingGroupARN:              new(g.ARN),
		MinSize:                          new(s.Min),
		MaxSize:                          new(s.Max),
		DesiredCapacity:                  new(s.Desired),
		DefaultCooldown:                  new(s.Cooldown),
		AvailabilityZones:                s.Zones,
		LoadBalancerNames:                []string{},
		TargetGroupARNs:                  []string{},
		HealthCheckType:                  new(s.HealthCheckType),
		HealthCheckGracePeriod:           new(s.HealthCheckGrace),
		Instances:                        []autoscaling.Instance{},
		CreatedTime:                      new(g.Created),
		SuspendedProcesses:               []autoscaling.SuspendedProcess{},
		PlacementGroup:                   optional(s.PlacementGroup),
		VPCZoneIdentifier:                new(strings.Join(s.Subnets, ",")),
		EnabledMetrics:                   describeMetrics(s),
		Tags:                             describeTags(g),
		TerminationPolicies:              s.TerminationPolicies,
		NewInstancesProtectedFromScaleIn: new(s.NewInstancesProtected),
		ServiceLinkedRoleARN:             optional(s.ServiceLinkedRole),
		MaxInstanceLifetime:              optional(s.MaxInstanceLifetime),
		CapacityRebalance:                optional(s.CapacityRebalance),
		Context:                          optional(s.Context),
		DesiredCapacityType:              optional(s.DesiredCapacityType),
		DefaultInstanceWarmup:            s.DefaultInstanceWarmup,
		TrafficSources:                   []autoscaling.TrafficSourceIdentifier{},
		AvailabilityZoneDistribution:     &autoscaling.AvailabilityZoneDistribution{CapacityDistributionStrategy: new(cmp.Or(s.ZoneDistribution, bestEffort))},
		CapacityReservationSpecification: &autoscaling.CapacityReservationSpecification{CapacityReservationPreference: new(cmp.Or(s.ReservationPreference, "default"))},
	}
	for _, p := range s.SuspendedProcesses {
		d.SuspendedProcesses = append(d.SuspendedProcesses, autoscaling.SuspendedProcess{
			ProcessName: new(p.Name), SuspensionReason: new("User suspended at " + stamp(p.Since)),
		})
	}
	if s.AwayFrom != "" && !s.Suspended("AZRebalance") {
		d.SuspendedProcesses = append(d.SuspendedProcesses, autoscaling.SuspendedProcess{
			ProcessName: new("AZRebalance"), SuspensionReason: new("Zonal shift away from " + s.AwayFrom),
		})
	}
	if s.MinHealthyPercentage != nil || s.MaxHealthyPercentage != nil {
		d.InstanceMaintenancePolicy = &autoscaling.InstanceMaintenancePolicy{
			MinHealthyPercentage: s.MinHealthyPercentage, MaxHealthyPercentage: s.MaxHealthyPercentage,
		}
	}
	if g.Deleting {
		d.Status = new("Delete in progress")
	}
	if s.Mixed {
		d.MixedInstancesPolicy = describeMix(s.LaunchSettings())
	} else {
		d.LaunchTemplate = describeTemplate(s.LaunchTemplateID, s.LaunchTemplateName, s.LaunchTemplateVersion)
	}
	return d
}

func describeTemplate(id, name, version string) *autoscaling.LaunchTemplateSpecification {
	return &autoscaling.LaunchTemplateSpecification{LaunchTemplateId: &id, LaunchTemplateName: &name, Version: &version}
}

func describeMix(s resource.LaunchSettings) *autoscaling.MixedInstancesPolicy {
	overrides := []autoscaling.LaunchTemplateOverrides{}
	for _, t := range s.InstanceTypes {
		o := autoscaling.LaunchTemplateOverrides{InstanceType: new(t), WeightedCapacity: optional(s.Weights[t])}
		own := s.Overrides[t]
		if o.ImageId = optional(own.Image); own.LaunchTemplateID != "" {
			o.LaunchTemplateSpecification = describeTemplate(own.LaunchTemplateID, own.LaunchTemplateName, own.LaunchTemplateVersion)
		}
		overrides = append(overrides, o)
	}
	d := s.Distribution
	return &autoscaling.MixedInstancesPolicy{
		LaunchTemplate: &autoscaling.LaunchTemplate{
			LaunchTemplateSpecification: describeTemplate(s.LaunchTemplateID, s.LaunchTemplateName, s.LaunchTemplateVersion),
			Overrides:                   overrides,
		},
		InstancesDistribution: &autoscaling.InstancesDistribution{
			OnDemandAllocationStrategy:          optional(d.OnDemandStrategy),
			OnDemandBaseCapacity:                new(d.OnDemandBase),
			OnDemandPercentageAboveBaseCapacity: new(100 - s.SpotPercentage),
			SpotAllocationStrategy:              optional(d.SpotStrategy),
			SpotInstancePools:                   optional(d.SpotPools),
			SpotMaxPrice:                        optional(d.SpotMaxPrice),
		},
	}
}

func describeMembers(tx *store.Tx, g resource.AutoScalingGroup) []autoscaling.Instance {
	out := []autoscaling.Instance{}
	for _, m := range members(tx, g.ARN) {
		d := describeMember(tx, m)
		if d.InstanceType != nil {
			d.WeightedCapacity = optional(g.Spec.Weights[*d.InstanceType])
		}
		out = append(out, d)
	}
	return out
}

func describeMember(tx *store.Tx, m resource.GroupInstance) autoscaling.Instance {
	i, _ := tx.Instances.Get(m.Instance)
	d := autoscaling.Instance{
		InstanceId:           new(m.Instance),
		InstanceType:         optional(i.Spec.Type),
		AvailabilityZone:     new(i.Spec.Zone),
		LifecycleState:       new(m.Lifecycle),
		HealthStatus:         new(m.Health),
		ProtectedFromScaleIn: new(m.Protected),
	}
	if t, ok := tx.LaunchTemplates.Get(i.Spec.LaunchTemplate); ok {
		d.LaunchTemplate = describeTemplate(t.ID, t.Name, i.Spec.LaunchTemplateVersion)
	}
	return d
}
