package autoscaling

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// The bounds of MaxInstanceLifetime, in seconds.
const (
	minLifetime = 86400
	maxLifetime = 365 * 86400
)

const (
	defaultCooldown    = 300
	defaultHealthCheck = "EC2"
	linkedService      = "autoscaling.amazonaws.com"
)

// CreateAutoScalingGroup records a group, and Auto Scaling's service-linked role if the
// account has none. Instances follow.
func (s *Service) CreateAutoScalingGroup(ctx context.Context, call awsapi.Call, in *autoscaling.CreateAutoScalingGroupInput) (*autoscaling.CreateAutoScalingGroupOutput, error) {
	if err := checkSupported(in); err != nil {
		return nil, err
	}
	if n := sources(in.LaunchTemplate, in.MixedInstancesPolicy); n != 1 {
		return nil, validation("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	name := deref(in.AutoScalingGroupName)
	g := resource.AutoScalingGroup{
		Home:    home(call),
		ARN:     groupARN(call, awsid.UUID(), name),
		Name:    name,
		Created: call.Time.UTC().Truncate(time.Millisecond),
		Spec: resource.AutoScalingGroupSpec{
			Min:                 deref(in.MinSize),
			Max:                 deref(in.MaxSize),
			Desired:             deref(in.MinSize),
			HealthCheckType:     defaultHealthCheck,
			Cooldown:            defaultCooldown,
			TerminationPolicies: []string{"Default"},
			Condemned:           map[string]bool{},
		},
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if have, err := findGroup(tx, call, name); err == nil {
			return alreadyExists(have)
		}
		if n := groupsIn(tx, g.Home); n >= maxAccountGroups {
			return &autoscaling.LimitExceededFault{Message: new(fmt.Sprintf("You have already reached the maximum number of Auto Scaling groups for this account: %d", n))}
		}
		if err := configure(tx, &g, settings(in)); err != nil {
			return err
		}
		for _, h := range in.LifecycleHookSpecificationList {
			if err := putHook(&g, hookRequest(h)); err != nil {
				return err
			}
		}
		g.Reason = fmt.Sprintf("At %s a user request created an AutoScalingGroup changing the desired capacity from 0 to %d.", stamp(call.Time), g.Spec.Desired)
		tags, err := addTags(nil, name, in.Tags, true)
		if err != nil {
			return err
		}
		g.Spec.Tags = tags
		if g.Spec.ServiceLinkedRole == "" {
			r, _, err := identity.EnsureServiceLinkedRole(tx, call.Account, linkedService, "", "", call.Time)
			if err != nil {
				return err
			}
			g.Spec.ServiceLinkedRole = r.ARN
		}
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
	return nil, err
}

func alreadyExists(g resource.AutoScalingGroup) error {
	message := "AutoScalingGroup by this name already exists - A group with the name " + g.Name + " already exists"
	if g.Deleting {
		message += " and is pending delete"
	}
	return &autoscaling.AlreadyExistsFault{Message: &message}
}

// checkSupported refuses what would otherwise be silently left undone.
func checkSupported(in *autoscaling.CreateAutoScalingGroupInput) error {
	for _, p := range []struct {
		name  string
		given bool
	}{
		{"LaunchConfigurationName", in.LaunchConfigurationName != nil},
		{"InstanceId", in.InstanceId != nil},
		{"LoadBalancerNames", len(in.LoadBalancerNames) > 0},
		{"TargetGroupARNs", len(in.TargetGroupARNs) > 0},
		{"TrafficSources", len(in.TrafficSources) > 0},
		{"Operator", in.Operator != nil},
	} {
		if p.given {
			return unsupported(p.name)
		}
	}
	return nil
}

// UpdateAutoScalingGroup changes what is given. A minimum above or a maximum below the
// desired capacity moves it along.
func (s *Service) UpdateAutoScalingGroup(ctx context.Context, call awsapi.Call, in *autoscaling.UpdateAutoScalingGroupInput) (*autoscaling.UpdateAutoScalingGroupOutput, error) {
	if in.LaunchConfigurationName != nil {
		return nil, unsupported("LaunchConfigurationName")
	}
	if sources(in.LaunchTemplate, in.MixedInstancesPolicy) > 1 {
		return nil, validation("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		before := g.Spec.Desired
		set(&g.Spec.Min, in.MinSize)
		set(&g.Spec.Max, in.MaxSize)
		if in.DesiredCapacity == nil && g.Spec.Min <= g.Spec.Max {
			g.Spec.Desired = min(max(g.Spec.Desired, g.Spec.Min), g.Spec.Max)
		}
		if err := configure(tx, g, *in); err != nil {
			return err
		}
		if g.Spec.Desired != before {
			g.Reason = fmt.Sprintf("At %s a user request update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.",
				stamp(call.Time), g.Spec.Min, g.Spec.Max, g.Spec.Desired, before, g.Spec.Desired)
		}
		return nil
	})
}

// settings are the settings of a new group in the form in which they can be changed later.
func settings(in *autoscaling.CreateAutoScalingGroupInput) autoscaling.UpdateAutoScalingGroupInput {
	return autoscaling.UpdateAutoScalingGroupInput{
		LaunchTemplate:                   in.LaunchTemplate,
		MixedInstancesPolicy:             in.MixedInstancesPolicy,
		DesiredCapacity:                  in.DesiredCapacity,
		DefaultCooldown:                  in.DefaultCooldown,
		AvailabilityZones:                in.AvailabilityZones,
		HealthCheckType:                  in.HealthCheckType,
		HealthCheckGracePeriod:           in.HealthCheckGracePeriod,
		PlacementGroup:                   in.PlacementGroup,
		VPCZoneIdentifier:                in.VPCZoneIdentifier,
		TerminationPolicies:              in.TerminationPolicies,
		NewInstancesProtectedFromScaleIn: in.NewInstancesProtectedFromScaleIn,
		ServiceLinkedRoleARN:             in.ServiceLinkedRoleARN,
		MaxInstanceLifetime:              in.MaxInstanceLifetime,
		CapacityRebalance:                in.CapacityRebalance,
		Context:                          in.Context,
		DesiredCapacityType:              in.DesiredCapacityType,
		DefaultInstanceWarmup:            in.DefaultInstanceWarmup,
		InstanceMaintenancePolicy:        in.InstanceMaintenancePolicy,
		AvailabilityZoneIds:              in.AvailabilityZoneIds,
		AvailabilityZoneDistribution:     in.AvailabilityZoneDistribution,
		AvailabilityZoneImpairmentPolicy: in.AvailabilityZoneImpairmentPolicy,
		CapacityReservationSpecification: in.CapacityReservationSpecification,
		InstanceLifecyclePolicy:          in.InstanceLifecyclePolicy,
		DeletionProtection:               in.DeletionProtection,
	}
}

// configure applies settings to a group and checks the whole.
func configure(tx *store.Tx, g *resource.AutoScalingGroup, in autoscaling.UpdateAutoScalingGroupInput) error {
	spec := &g.Spec
	if err := checkSettings(in); err != nil {
		return err
	}
	if d := in.AvailabilityZoneDistribution; d != nil {
		set(&spec.ZoneDistribution, d.CapacityDistributionStrategy)
	}
	if c := in.CapacityReservationSpecification; c != nil {
		set(&spec.ReservationPreference, c.CapacityReservationPreference)
	}
	set(&spec.Desired, in.DesiredCapacity)
	if err := checkSizes(spec); err != nil {
		return err
	}
	set(&spec.Cooldown, in.DefaultCooldown)
	set(&spec.HealthCheckType, in.HealthCheckType)
	set(&spec.HealthCheckGrace, in.HealthCheckGracePeriod)
	set(&spec.PlacementGroup, in.PlacementGroup)
	set(&spec.NewInstancesProtected, in.NewInstancesProtectedFromScaleIn)
	set(&spec.ServiceLinkedRole, in.ServiceLinkedRoleARN)
	if n := in.MaxInstanceLifetime; n != nil && *n != 0 && (*n < minLifetime || *n > maxLifetime) {
		return validation("Max instance lifetime must be equal to 0, to clear it, or between %d and %d seconds.", minLifetime, maxLifetime)
	}
	set(&spec.MaxInstanceLifetime, in.MaxInstanceLifetime)
	set(&spec.CapacityRebalance, in.CapacityRebalance)
	set(&spec.Context, in.Context)
	set(&spec.DesiredCapacityType, in.DesiredCapacityType)
	if in.DefaultInstanceWarmup != nil {
		spec.DefaultInstanceWarmup = in.DefaultInstanceWarmup
		if *in.DefaultInstanceWarmup < 0 { // -1 takes it away
			spec.DefaultInstanceWarmup = nil
		}
	}
	for _, p := range in.TerminationPolicies {
		if !slices.Contains(policies, p) {
			return validation("Invalid termination policy(ies): [%s]. Valid termination policies are: [%s]", p, strings.Join(policies, ", "))
		}
	}
	if len(in.TerminationPolicies) > 0 {
		spec.TerminationPolicies = in.TerminationPolicies
	}
	if p := in.InstanceMaintenancePolicy; p != nil {
		spec.MinHealthyPercentage, spec.MaxHealthyPercentage = p.MinHealthyPercentage, p.MaxHealthyPercentage
	}
	if err := place(tx, g, in.VPCZoneIdentifier, slices.Concat(in.AvailabilityZones, in.AvailabilityZoneIds)); err != nil {
		return err
	}
	switch {
	case in.LaunchTemplate != nil:
		return launchFrom(tx, g, in.LaunchTemplate)
	case in.MixedInstancesPolicy != nil:
		return mix(tx, g, in.MixedInstancesPolicy)
	}
	return nil
}

// bestEffort is the distribution over zones of groups that say nothing of it.
const bestEffort = "balanced-best-effort"

// checkSettings refuses what would otherwise be silently left undone, in new groups and in
// changes. There are no capacity reservations, so that it is all the same whether a group
// would use them first.
func checkSettings(in autoscaling.UpdateAutoScalingGroupInput) error {
	for _, p := range []struct {
		name  string
		given bool
	}{
		{"InstanceLifecyclePolicy", in.InstanceLifecyclePolicy != nil},
		{"DeletionProtection", in.DeletionProtection != nil && *in.DeletionProtection != "none"},
		{"DesiredCapacityType", in.DesiredCapacityType != nil && *in.DesiredCapacityType != "units"},
		{"AvailabilityZoneImpairmentPolicy", in.AvailabilityZoneImpairmentPolicy != nil && deref(in.AvailabilityZoneImpairmentPolicy.ZonalShiftEnabled)},
		{"CapacityReservationSpecification", in.CapacityReservationSpecification != nil &&
			(in.CapacityReservationSpecification.CapacityReservationTarget != nil || deref(in.CapacityReservationSpecification.CapacityReservationPreference) == "capacity-reservations-only")},
	} {
		if p.given {
			return unsupported(p.name)
		}
	}
	return nil
}

func checkSizes(s *resource.AutoScalingGroupSpec) error {
	if s.Max < s.Min {
		return validation("Max bound, %d, must be greater than or equal to min bound, %d", s.Max, s.Min)
	}
	if s.Desired < s.Min || s.Desired > s.Max {
		return validation("Desired capacity:%d must be between the specified min size:%d and max size:%d", s.Desired, s.Min, s.Max)
	}
	return nil
}

// DeleteAutoScalingGroup asks a group to go, with its instances if it is forced. The record
// leaves when its controller has seen to them.
func (s *Service) DeleteAutoScalingGroup(ctx context.Context, call awsapi.Call, in *autoscaling.DeleteAutoScalingGroupInput) (*autoscaling.DeleteAutoScalingGroupOutput, error) {
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		if !deref(in.ForceDelete) && !g.Force && len(members(tx, g.ARN)) > 0 {
			return resourceInUse("You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
		}
		g.Deleting = true
		g.Force = g.Force || deref(in.ForceDelete)
		return nil
	})
}

func pendingDelete(g *resource.AutoScalingGroup) error {
	return validation("AutoScalingGroup '%s' is pending delete", g.Name)
}

// sources counts what a request wants instances to be launched from.
func sources(lt *autoscaling.LaunchTemplateSpecification, mixed *autoscaling.MixedInstancesPolicy) (n int) {
	if lt != nil {
		n++
	}
	if mixed != nil {
		n++
	}
	return n
}

// fields splits a comma-separated list.
func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
