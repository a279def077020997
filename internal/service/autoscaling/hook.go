package autoscaling

import (
	"context"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxHooks         = 50
	defaultHeartbeat = 3600
	minHeartbeat     = 30
	maxHeartbeat     = 7200
)

// PutLifecycleHook makes or changes a hook. Instances that wait already are held as it was.
func (s *Service) PutLifecycleHook(ctx context.Context, call awsapi.Call, in *autoscaling.PutLifecycleHookInput) (*autoscaling.PutLifecycleHookOutput, error) {
	err := s.change(ctx, call, in.AutoScalingGroupName, func(_ *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		return putHook(g, *in)
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.PutLifecycleHookOutput{}, nil
}

func putHook(g *resource.AutoScalingGroup, in autoscaling.PutLifecycleHookInput) error {
	if deref(in.NotificationTargetARN) != "" || deref(in.RoleARN) != "" {
		return awsapi.Errorf("NotImplemented", 501, "The parameter NotificationTargetARN of lifecycle hooks is not supported yet.")
	}
	name := deref(in.LifecycleHookName)
	h := resource.LifecycleHook{Name: name, Heartbeat: defaultHeartbeat, Default: resource.ActionAbandon}
	at := slices.IndexFunc(g.Spec.Hooks, func(h resource.LifecycleHook) bool { return h.Name == name })
	if at >= 0 {
		h = g.Spec.Hooks[at]
	}
	set(&h.Transition, in.LifecycleTransition)
	set(&h.Heartbeat, in.HeartbeatTimeout)
	set(&h.Default, in.DefaultResult)
	set(&h.Metadata, in.NotificationMetadata)
	switch {
	case h.Transition == "":
		return validation("You must specify a lifecycle transition for the lifecycle hook")
	case !slices.Contains(hookTypes, h.Transition):
		return validation("Unsupported lifecycle transition: %s. Valid values are: [%s]", h.Transition, strings.Join(hookTypes, ", "))
	case h.Heartbeat < minHeartbeat || h.Heartbeat > maxHeartbeat:
		return validation("Heartbeat Timeout must be between %d and %d seconds.", minHeartbeat, maxHeartbeat)
	case h.Default != resource.ActionContinue && h.Default != resource.ActionAbandon:
		return validation("Lifecycle Action Result must be one of the following: [CONTINUE, ABANDON]")
	case at < 0 && len(g.Spec.Hooks) == maxHooks:
		return &autoscaling.LimitExceededFault{Message: new("You have already reached the maximum number of lifecycle hooks for the group.")}
	}
	hooks := slices.Clone(g.Spec.Hooks)
	if at < 0 {
		hooks = append(hooks, h)
	} else {
		hooks[at] = h
	}
	g.Spec.Hooks = hooks
	return nil
}

// hookRequest is the hook of a new group as PutLifecycleHook takes it.
func hookRequest(h autoscaling.LifecycleHookSpecification) autoscaling.PutLifecycleHookInput {
	return autoscaling.PutLifecycleHookInput{
		LifecycleHookName: h.LifecycleHookName, LifecycleTransition: h.LifecycleTransition, NotificationMetadata: h.NotificationMetadata,
		HeartbeatTimeout: h.HeartbeatTimeout, DefaultResult: h.DefaultResult, NotificationTargetARN: h.NotificationTargetARN, RoleARN: h.RoleARN,
	}
}

// DeleteLifecycleHook deletes a hook. Whom it holds goes on: those that launch are abandoned,
// those that are to end do.
func (s *Service) DeleteLifecycleHook(ctx context.Context, call awsapi.Call, in *autoscaling.DeleteLifecycleHookInput) (*autoscaling.DeleteLifecycleHookOutput, error) {
	err := s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		name := deref(in.LifecycleHookName)
		left := slices.DeleteFunc(slices.Clone(g.Spec.Hooks), func(h resource.LifecycleHook) bool { return h.Name == name })
		if len(left) == len(g.Spec.Hooks) {
			return validation("No Lifecycle Hook found with name %s for AutoScalingGroup %s", name, g.Name)
		}
		g.Spec.Hooks = left
		for _, m := range members(tx, g.ARN) {
			result := resource.ActionContinue
			if m.Lifecycle == resource.MemberPendingWait {
				result = resource.ActionAbandon
			}
			if m.Complete(name, "", result, "Lifecycle Hook was deleted") {
				tx.GroupInstances.Put(m.Instance, m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.DeleteLifecycleHookOutput{}, nil
}

// DescribeLifecycleHooks lists the hooks of a group. Names that are not there are left out.
func (s *Service) DescribeLifecycleHooks(_ context.Context, call awsapi.Call, in *autoscaling.DescribeLifecycleHooksInput) (*autoscaling.DescribeLifecycleHooksOutput, error) {
	out := &autoscaling.DescribeLifecycleHooksOutput{LifecycleHooks: []autoscaling.LifecycleHook{}}
	err := s.store.View(func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(in.AutoScalingGroupName))
		for _, h := range g.Spec.Hooks {
			if len(in.LifecycleHookNames) > 0 && !slices.Contains(in.LifecycleHookNames, h.Name) {
				continue
			}
			out.LifecycleHooks = append(out.LifecycleHooks, autoscaling.LifecycleHook{
				LifecycleHookName: new(h.Name), AutoScalingGroupName: new(g.Name), LifecycleTransition: new(h.Transition),
				NotificationMetadata: optional(h.Metadata), HeartbeatTimeout: new(h.Heartbeat),
				GlobalTimeout: new(int32(h.Limit() / time.Second)), DefaultResult: new(h.Default),
			})
		}
		return err
	})
	return out, err
}

// CompleteLifecycleAction gives the action that holds an instance back its result.
func (s *Service) CompleteLifecycleAction(ctx context.Context, call awsapi.Call, in *autoscaling.CompleteLifecycleActionInput) (*autoscaling.CompleteLifecycleActionOutput, error) {
	result := deref(in.LifecycleActionResult)
	if result != resource.ActionContinue && result != resource.ActionAbandon {
		return nil, validation("Lifecycle Action Result must be one of the following: [CONTINUE, ABANDON]")
	}
	err := s.action(ctx, call, in.AutoScalingGroupName, in.LifecycleHookName, in.LifecycleActionToken, in.InstanceId, func(m *resource.GroupInstance, a *resource.LifecycleAction) {
		a.Result, a.Reason = result, "Lifecycle Action Completed with "+result+" Result"
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.CompleteLifecycleActionOutput{}, nil
}

// RecordLifecycleActionHeartbeat has the action that holds an instance back begin its
// heartbeat's time anew.
func (s *Service) RecordLifecycleActionHeartbeat(ctx context.Context, call awsapi.Call, in *autoscaling.RecordLifecycleActionHeartbeatInput) (*autoscaling.RecordLifecycleActionHeartbeatOutput, error) {
	err := s.action(ctx, call, in.AutoScalingGroupName, in.LifecycleHookName, in.LifecycleActionToken, in.InstanceId, func(_ *resource.GroupInstance, a *resource.LifecycleAction) {
		a.Beat = call.Time.UTC()
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.RecordLifecycleActionHeartbeatOutput{}, nil
}

// action runs f on the open action that a caller means, by its token or by its instance.
func (s *Service) action(ctx context.Context, call awsapi.Call, group, hook, token, instance *string, f func(*resource.GroupInstance, *resource.LifecycleAction)) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(group))
		if err != nil {
			return err
		}
		if token == nil && instance == nil {
			return validation("Either LifecycleActionToken or InstanceId must be specified")
		}
		for _, m := range members(tx, g.ARN) {
			if instance != nil && m.Instance != *instance || !m.Awaits(deref(hook)) {
				continue
			}
			m, _ = tx.GroupInstances.Get(m.Instance)
			for i := range m.Actions {
				a := &m.Actions[i]
				if a.Hook.Name == deref(hook) && a.Result == "" && (token == nil || a.Token == *token) && call.Time.Before(a.Ends()) {
					f(&m, a)
					tx.GroupInstances.Put(m.Instance, m)
					return nil
				}
			}
		}
		if token != nil {
			return validation("No active Lifecycle Action found with token %s", *token)
		}
		return validation("No active Lifecycle Action found with instance ID %s", *instance)
	})
}
