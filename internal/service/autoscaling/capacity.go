package autoscaling

import (
	"context"
	"fmt"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// SetDesiredCapacity changes how many instances a group should have, within its bounds.
func (s *Service) SetDesiredCapacity(ctx context.Context, call awsapi.Call, in *autoscaling.SetDesiredCapacityInput) (*autoscaling.SetDesiredCapacityOutput, error) {
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		n := deref(in.DesiredCapacity)
		switch {
		case n > g.Spec.Max:
			return validation("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", n, g.Spec.Max)
		case n < g.Spec.Min:
			return validation("New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", n, g.Spec.Min)
		}
		if deref(in.HonorCooldown) {
			if a, ok := cooling(tx, *g, call.Time); ok {
				return &autoscaling.ScalingActivityInProgressFault{Message: new("Scaling activity " + a + " is in progress and blocks this action")}
			}
		}
		if n != g.Spec.Desired {
			g.Reason = fmt.Sprintf("At %s a user request explicitly set group desired capacity changing the desired capacity from %d to %d.", stamp(call.Time), g.Spec.Desired, n)
		}
		g.Spec.Desired = n
		return nil
	})
}

// cooling finds an activity of the group after which its cooldown is not over.
func cooling(tx *store.Tx, g resource.AutoScalingGroup, now time.Time) (id string, ok bool) {
	for _, a := range tx.ScalingActivities.All() {
		if a.Group == g.ARN && (a.Ended.IsZero() || now.Sub(a.Ended) < time.Duration(g.Spec.Cooldown)*time.Second) {
			return a.ID, true
		}
	}
	return "", false
}

// TerminateInstanceInAutoScalingGroup condemns an instance; its group's controller
// executes it. Asked again, it answers with the same activity.
func (s *Service) TerminateInstanceInAutoScalingGroup(ctx context.Context, call awsapi.Call, in *autoscaling.TerminateInstanceInAutoScalingGroupInput) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error) {
	id, decrement := deref(in.InstanceId), deref(in.ShouldDecrementDesiredCapacity)
	var activity resource.ScalingActivity
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		m, ok := tx.GroupInstances.Get(id)
		g, has := tx.AutoScalingGroups.Get(m.Group)
		if !ok || !has || g.Home != home(call) {
			return validation("Instance Id not found - No managed instance found for instance ID: %s", id)
		}
		if a, ok := terminating(tx, g.ARN, id); ok {
			activity = a
			return nil
		}
		before := g.Spec.Desired
		if decrement {
			if before <= g.Spec.Min {
				return validation("Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.Spec.Min)
			}
			g.Spec.Desired--
		}
		if g.Spec.Condemned == nil {
			g.Spec.Condemned = map[string]bool{}
		}
		g.Spec.Condemned[id] = decrement
		tx.AutoScalingGroups.Put(g.ARN, g)
		activity = begin(tx, g, id, "Terminating EC2 instance: "+id, cause(id, call.Time, before, g.Spec.Desired), call.Time)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.TerminateInstanceInAutoScalingGroupOutput{Activity: new(describeActivity(activity))}, nil
}

func cause(id string, at time.Time, before, after int32) string {
	when := stamp(at)
	if before != after {
		return fmt.Sprintf("At %s instance %s was taken out of service in response to a user request, shrinking the capacity from %d to %d.", when, id, before, after)
	}
	return fmt.Sprintf("At %s instance %s was taken out of service in response to a user request.", when, id)
}

// terminating finds the activity in which an instance is being terminated.
func terminating(tx *store.Tx, group, instance string) (resource.ScalingActivity, bool) {
	for _, a := range tx.ScalingActivities.All() {
		if a.Group == group && a.Instance == instance && a.Ended.IsZero() && a.Description == "Terminating EC2 instance: "+instance {
			return a, true
		}
	}
	return resource.ScalingActivity{}, false
}
