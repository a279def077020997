package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	defaultMinHealthy     = 90
	defaultMaxHealthy     = 100
	defaultCheckpointWait = 3600
)

// StartInstanceRefresh has the instances of a group replaced, some at a time.
func (s *Service) StartInstanceRefresh(ctx context.Context, call awsapi.Call, in *autoscaling.StartInstanceRefreshInput) (*autoscaling.StartInstanceRefreshOutput, error) {
	if strategy := deref(in.Strategy); strategy != "" && strategy != "Rolling" {
		return nil, unsupported("Strategy=" + strategy)
	}
	if in.Preferences != nil && in.Preferences.AlarmSpecification != nil && len(in.Preferences.AlarmSpecification.Alarms) > 0 {
		return nil, unsupported("Preferences.AlarmSpecification")
	}
	f := resource.InstanceRefresh{Home: home(call), ID: awsid.UUID(), State: resource.RefreshPending, Started: call.Time.UTC().Truncate(time.Millisecond)}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(in.AutoScalingGroupName))
		if err != nil {
			return err
		}
		if g.Deleting {
			return pendingDelete(&g)
		}
		if _, ok := refreshing(tx, g.ARN); ok {
			return &autoscaling.InstanceRefreshInProgressFault{Message: new("An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")}
		}
		f.Group, f.GroupName = g.ARN, g.Name
		if f.Preferences, err = preferences(g, in.Preferences); err != nil {
			return err
		}
		if f.Desired, err = desiredSettings(tx, g, in.DesiredConfiguration); err != nil {
			return err
		}
		if f.Preferences.AutoRollback {
			if err := reversible(g, f); err != nil {
				return err
			}
		}
		tx.InstanceRefreshes.Put(f.ID, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.StartInstanceRefreshOutput{InstanceRefreshId: &f.ID}, nil
}

// refreshing is the refresh of a group that is not over.
func refreshing(tx *store.Tx, group string) (resource.InstanceRefresh, bool) {
	for id, f := range tx.InstanceRefreshes.All() {
		if f.Group == group && f.Active() {
			return tx.InstanceRefreshes.Get(id)
		}
	}
	return resource.InstanceRefresh{}, false
}

// preferences are those given, else the group's, else Auto Scaling's.
func preferences(g resource.AutoScalingGroup, in *autoscaling.RefreshPreferences) (resource.RefreshPreferences, error) {
	p := resource.RefreshPreferences{
		MinHealthy: defaultMinHealthy, MaxHealthy: defaultMaxHealthy, Warmup: g.Spec.HealthCheckGrace, Protected: "Wait", Standby: "Wait", CheckpointWait: defaultCheckpointWait,
	}
	set(&p.MinHealthy, g.Spec.MinHealthyPercentage)
	set(&p.MaxHealthy, g.Spec.MaxHealthyPercentage)
	set(&p.Warmup, g.Spec.DefaultInstanceWarmup)
	if in == nil {
		return p, nil
	}
	set(&p.MinHealthy, in.MinHealthyPercentage)
	set(&p.MaxHealthy, in.MaxHealthyPercentage)
	set(&p.Warmup, in.InstanceWarmup)
	set(&p.SkipMatching, in.SkipMatching)
	set(&p.AutoRollback, in.AutoRollback)
	set(&p.Protected, in.ScaleInProtectedInstances)
	set(&p.Standby, in.StandbyInstances)
	set(&p.CheckpointWait, in.CheckpointDelay)
	set(&p.BakeTime, in.BakeTime)
	p.Checkpoints = in.CheckpointPercentages
	switch {
	case in.MaxHealthyPercentage != nil && in.MinHealthyPercentage == nil:
		return p, validation("You must specify MinHealthyPercentage when specifying MaxHealthyPercentage.")
	case p.MaxHealthy-p.MinHealthy > 100:
		return p, validation("The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100.")
	case !slices.IsSorted(p.Checkpoints) || len(slices.Compact(slices.Clone(p.Checkpoints))) < len(p.Checkpoints):
		return p, validation("CheckpointPercentages must be in ascending order and without duplicates.")
	case in.CheckpointDelay != nil && len(p.Checkpoints) == 0:
		return p, validation("CheckpointDelay requires CheckpointPercentages.")
	}
	return p, nil
}

// desiredSettings are what a refresh is to launch from, checked as if the group had them; nil
// for what it has.
func desiredSettings(tx *store.Tx, g resource.AutoScalingGroup, in *autoscaling.DesiredConfiguration) (*resource.LaunchSettings, error) {
	if in == nil || in.LaunchTemplate == nil && in.MixedInstancesPolicy == nil {
		return nil, nil
	}
	if sources(in.LaunchTemplate, in.MixedInstancesPolicy) > 1 {
		return nil, validation("Valid requests must contain either LaunchTemplate or MixedInstancesPolicy parameter.")
	}
	var err error
	if in.LaunchTemplate != nil {
		err = launchFrom(tx, &g, in.LaunchTemplate)
	} else {
		err = mix(tx, &g, in.MixedInstancesPolicy)
	}
	return new(g.Spec.LaunchSettings()), err
}

// reversible says why a refresh could not be rolled back: it has to know what was before, and
// that must not change meanwhile.
func reversible(g resource.AutoScalingGroup, f resource.InstanceRefresh) error {
	if f.Desired == nil || strings.HasPrefix(g.Spec.LaunchTemplateVersion, "$") {
		return &autoscaling.IrreversibleInstanceRefreshFault{Message: new("The Instance Refresh cannot be rolled back: it needs a desired configuration, and the launch template version of the group must be a number.")}
	}
	return nil
}

// active runs f on the refresh of a group that is not over.
func (s *Service) active(ctx context.Context, call awsapi.Call, group *string, f func(resource.AutoScalingGroup, *resource.InstanceRefresh) error) (id string, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(group))
		if err != nil {
			return err
		}
		r, ok := refreshing(tx, g.ARN)
		if !ok {
			return &autoscaling.ActiveInstanceRefreshNotFoundFault{Message: new("No in progress or pending Instance Refresh found for Auto Scaling group " + g.Name)}
		}
		if err := f(g, &r); err != nil {
			return err
		}
		id = r.ID
		tx.InstanceRefreshes.Put(id, r)
		return nil
	})
	return id, err
}

// CancelInstanceRefresh ends a refresh. What has been replaced stays so.
func (s *Service) CancelInstanceRefresh(ctx context.Context, call awsapi.Call, in *autoscaling.CancelInstanceRefreshInput) (*autoscaling.CancelInstanceRefreshOutput, error) {
	id, err := s.active(ctx, call, in.AutoScalingGroupName, func(_ resource.AutoScalingGroup, r *resource.InstanceRefresh) error {
		r.State = resource.RefreshCancelling
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.CancelInstanceRefreshOutput{InstanceRefreshId: &id}, nil
}

// RollbackInstanceRefresh has what a refresh has replaced replaced by what was before.
func (s *Service) RollbackInstanceRefresh(ctx context.Context, call awsapi.Call, in *autoscaling.RollbackInstanceRefreshInput) (*autoscaling.RollbackInstanceRefreshOutput, error) {
	id, err := s.active(ctx, call, in.AutoScalingGroupName, func(g resource.AutoScalingGroup, r *resource.InstanceRefresh) error {
		if r.State == resource.RefreshRollbackInProgress {
			return nil
		}
		r.State, r.RollbackReason, r.RollbackStarted = resource.RefreshRollbackInProgress, "User initiated rollback.", call.Time.UTC()
		return reversible(g, *r)
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.RollbackInstanceRefreshOutput{InstanceRefreshId: &id}, nil
}

// DescribeInstanceRefreshes lists the refreshes of a group, the newest first.
func (s *Service) DescribeInstanceRefreshes(_ context.Context, call awsapi.Call, in *autoscaling.DescribeInstanceRefreshesInput) (*autoscaling.DescribeInstanceRefreshesOutput, error) {
	out := &autoscaling.DescribeInstanceRefreshesOutput{InstanceRefreshes: []autoscaling.InstanceRefresh{}}
	err := s.store.View(func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(in.AutoScalingGroupName))
		if err != nil {
			return err
		}
		all := slices.Collect(tx.InstanceRefreshes.Values(func(f resource.InstanceRefresh) bool {
			return f.Group == g.ARN && (len(in.InstanceRefreshIds) == 0 || slices.Contains(in.InstanceRefreshIds, f.ID))
		}))
		key := func(f resource.InstanceRefresh) string { return f.Started.UTC().Format(keyTime) + f.ID }
		descending := func(a, b string) int { return cmp.Compare(b, a) }
		slices.SortFunc(all, func(a, b resource.InstanceRefresh) int { return descending(key(a), key(b)) })
		all, out.NextToken, err = page(all, key, descending, in.NextToken, in.MaxRecords, maxGroups)
		for _, f := range all {
			out.InstanceRefreshes = append(out.InstanceRefreshes, describeRefresh(f))
		}
		return err
	})
	return out, err
}

func describeRefresh(f resource.InstanceRefresh) autoscaling.InstanceRefresh {
	p := f.Preferences
	d := autoscaling.InstanceRefresh{
		InstanceRefreshId: new(f.ID), AutoScalingGroupName: new(f.GroupName), Status: new(f.State), StatusReason: optional(f.Reason), Strategy: new("Rolling"),
		Preferences: &autoscaling.RefreshPreferences{
			MinHealthyPercentage: new(p.MinHealthy), MaxHealthyPercentage: new(p.MaxHealthy), InstanceWarmup: new(p.Warmup), SkipMatching: new(p.SkipMatching),
			AutoRollback: new(p.AutoRollback), ScaleInProtectedInstances: new(p.Protected), StandbyInstances: new(p.Standby), CheckpointPercentages: p.Checkpoints,
			BakeTime: optional(p.BakeTime),
		},
	}
	if len(p.Checkpoints) > 0 {
		d.Preferences.CheckpointDelay = new(p.CheckpointWait)
	}
	if f.State != resource.RefreshPending {
		d.StartTime, d.PercentageComplete, d.InstancesToUpdate = new(f.Started), new(f.Percent), new(int32(len(f.Todo))) //nolint:gosec // of a group
	}
	if !f.Ended.IsZero() {
		d.EndTime = new(f.Ended)
	}
	if l := f.Desired; l != nil {
		d.DesiredConfiguration = &autoscaling.DesiredConfiguration{}
		if l.Mixed {
			d.DesiredConfiguration.MixedInstancesPolicy = describeMix(*l)
		} else {
			d.DesiredConfiguration.LaunchTemplate = describeTemplate(l.LaunchTemplateID, l.LaunchTemplateName, l.LaunchTemplateVersion)
		}
	}
	if !f.RollbackStarted.IsZero() {
		d.RollbackDetails = &autoscaling.RollbackDetails{
			RollbackReason: new(f.RollbackReason), RollbackStartTime: new(f.RollbackStarted),
			PercentageCompleteOnRollback: new(f.RollbackPercent), InstancesToUpdateOnRollback: new(int32(len(f.RollbackTodo))), //nolint:gosec // of a group
		}
	}
	return d
}
