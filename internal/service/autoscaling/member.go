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

// SetInstanceHealth says how an instance is. An Unhealthy one is replaced. In the grace period
// after it has come into service nothing is changed, unless the caller says so.
func (s *Service) SetInstanceHealth(ctx context.Context, call awsapi.Call, in *autoscaling.SetInstanceHealthInput) (*autoscaling.SetInstanceHealthOutput, error) {
	health := deref(in.HealthStatus)
	if health != resource.MemberHealthy && health != resource.MemberUnhealthy {
		return nil, validation("Valid instance health states are: [Healthy, Unhealthy]")
	}
	return nil, s.store.Update(ctx, func(tx *store.Tx) error {
		id := deref(in.InstanceId)
		m, ok := tx.GroupInstances.Get(id)
		g, has := tx.AutoScalingGroups.Get(m.Group)
		if !ok || !has || g.Home != home(call) {
			return validation("Instance Id not found - No managed instance found for instance ID %s", id)
		}
		grace := time.Duration(g.Spec.HealthCheckGrace) * time.Second
		respects := in.ShouldRespectGracePeriod == nil || *in.ShouldRespectGracePeriod
		if respects && (m.Served.IsZero() || call.Time.Sub(m.Served) < grace) {
			return nil
		}
		m.Health = health
		tx.GroupInstances.Put(id, m)
		return nil
	})
}

// SetInstanceProtection says whether a scale-in may take instances.
func (s *Service) SetInstanceProtection(ctx context.Context, call awsapi.Call, in *autoscaling.SetInstanceProtectionInput) (*autoscaling.SetInstanceProtectionOutput, error) {
	err := s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		return eachMember(tx, g, in.InstanceIds, "InService or EnteringStandby or Standby", func(m *resource.GroupInstance) error {
			m.Protected = deref(in.ProtectedFromScaleIn)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &autoscaling.SetInstanceProtectionOutput{}, nil
}

// states are those that a wording allows.
var states = map[string][]string{
	"InService or EnteringStandby or Standby": {resource.MemberInService, resource.MemberEnteringStandby, resource.MemberStandby},
	"InService or Standby":                    {resource.MemberInService, resource.MemberStandby},
	"InService":                               {resource.MemberInService},
	"Standby":                                 {resource.MemberStandby},
}

// eachMember runs f on members of a group, which have to be in one of the states that allowed
// names, and writes what f made of them.
func eachMember(tx *store.Tx, g *resource.AutoScalingGroup, ids []string, allowed string, f func(*resource.GroupInstance) error) error {
	if len(ids) == 0 {
		return validation("At least one instance ID must be specified")
	}
	for _, id := range ids {
		m, ok := tx.GroupInstances.Get(id)
		if !ok || m.Group != g.ARN {
			return validation("The instance %s is not part of Auto Scaling group %s.", id, g.Name)
		}
		fits := false
		for _, s := range states[allowed] {
			fits = fits || m.Lifecycle == s
		}
		if !fits {
			return validation("The instance %s is not in %s.", id, allowed)
		}
		if err := f(&m); err != nil {
			return err
		}
		tx.GroupInstances.Put(id, m)
	}
	return nil
}

// sized refuses a change of n instances that the group's bounds do not leave room for.
func sized(g *resource.AutoScalingGroup, n int, what string) error {
	if d := int(g.Spec.Desired) + n; n == 0 || d >= int(g.Spec.Min) && d <= int(g.Spec.Max) {
		return nil
	}
	count, plural := n, ""
	if n < 0 {
		count = -n
	}
	if count > 1 {
		plural = "s"
	}
	return validation("AutoScalingGroup %s has min-size=%d, max-size=%d, and desired-size=%d. To %s %d instance%s, please update the AutoScalingGroup sizes appropriately.",
		g.Name, g.Spec.Min, g.Spec.Max, g.Spec.Desired, what, count, plural)
}

// moves moves members on and answers with their activities. by is what each changes the
// desired capacity by; said and becomes word the activity and its cause.
func (s *Service) moves(ctx context.Context, call awsapi.Call, group *string, ids []string, m move) (activities []autoscaling.Activity, err error) {
	err = s.change(ctx, call, group, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		counted := 0
		for _, id := range ids {
			if i, _ := tx.GroupInstances.Get(id); i.Counts() || m.by > 0 {
				counted++
			}
		}
		if err := sized(g, m.by*counted, m.what); err != nil {
			return err
		}
		return eachMember(tx, g, ids, m.from, func(i *resource.GroupInstance) error {
			before := g.Spec.Desired
			if i.Counts() || m.by > 0 {
				g.Spec.Desired += int32(m.by) //nolint:gosec // -1, 0 or 1
			}
			cause := fmt.Sprintf("At %s instance %s was %s in response to a user request", stamp(call.Time), i.Instance, m.was)
			switch {
			case g.Spec.Desired < before:
				cause += fmt.Sprintf(", shrinking the capacity from %d to %d", before, g.Spec.Desired)
			case g.Spec.Desired > before:
				cause += fmt.Sprintf(", increasing the capacity from %d to %d", before, g.Spec.Desired)
			}
			i.Lifecycle = m.to
			a := begin(tx, *g, i.Instance, m.doing+i.Instance, cause+".", call.Time)
			if m.to == resource.MemberPending {
				a.Status, a.Progress = "PreInService", 30
				tx.ScalingActivities.Put(a.ID, a)
			}
			activities = append(activities, describeActivity(a))
			return nil
		})
	})
	return activities, err
}

// A move is from a state to another one that a client asks for.
type move struct {
	from, to         string
	by               int
	what, was, doing string
}

func (m move) decrementing(yes *bool) move {
	if deref(yes) {
		m.by = -1
	}
	return m
}

// EnterStandby takes instances out of service, to which they can come back.
func (s *Service) EnterStandby(ctx context.Context, call awsapi.Call, in *autoscaling.EnterStandbyInput) (*autoscaling.EnterStandbyOutput, error) {
	m := move{from: "InService", to: resource.MemberEnteringStandby, what: "place into standby", was: "moved to standby", doing: "Moving EC2 instance to Standby: "}
	a, err := s.moves(ctx, call, in.AutoScalingGroupName, in.InstanceIds, m.decrementing(in.ShouldDecrementDesiredCapacity))
	return &autoscaling.EnterStandbyOutput{Activities: a}, err
}

// ExitStandby puts instances back into service.
func (s *Service) ExitStandby(ctx context.Context, call awsapi.Call, in *autoscaling.ExitStandbyInput) (*autoscaling.ExitStandbyOutput, error) {
	m := move{from: "Standby", to: resource.MemberPending, by: 1, what: "move out of standby", was: "moved out of standby", doing: "Moving EC2 instance out of Standby: "}
	a, err := s.moves(ctx, call, in.AutoScalingGroupName, in.InstanceIds, m)
	return &autoscaling.ExitStandbyOutput{Activities: a}, err
}

// DetachInstances takes instances out of a group. They run on.
func (s *Service) DetachInstances(ctx context.Context, call awsapi.Call, in *autoscaling.DetachInstancesInput) (*autoscaling.DetachInstancesOutput, error) {
	m := move{from: "InService or Standby", to: resource.MemberDetaching, what: "detach", was: "detached", doing: "Detaching EC2 instance: "}
	a, err := s.moves(ctx, call, in.AutoScalingGroupName, in.InstanceIds, m.decrementing(in.ShouldDecrementDesiredCapacity))
	return &autoscaling.DetachInstancesOutput{Activities: a}, err
}

// AttachInstances makes running instances members of a group, which grows by them.
func (s *Service) AttachInstances(ctx context.Context, call awsapi.Call, in *autoscaling.AttachInstancesInput) (*autoscaling.AttachInstancesOutput, error) {
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(tx *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		if len(in.InstanceIds) == 0 {
			return validation("At least one instance ID must be specified")
		}
		if err := sized(g, len(in.InstanceIds), "attach"); err != nil {
			return err
		}
		for _, id := range in.InstanceIds {
			if err := attachable(tx, g, id); err != nil {
				return err
			}
			before := g.Spec.Desired
			g.Spec.Desired++
			tx.GroupInstances.Put(id, resource.GroupInstance{
				Instance: id, Group: g.ARN, Lifecycle: resource.MemberPending, Health: resource.MemberHealthy, Attached: true,
				Protected: g.Spec.NewInstancesProtected, Joined: call.Time.UTC(),
			})
			begin(tx, *g, id, "Attaching an existing EC2 instance: "+id, fmt.Sprintf(
				"At %s an instance was attached in response to a user request, increasing the capacity from %d to %d.", stamp(call.Time), before, g.Spec.Desired), call.Time)
		}
		return nil
	})
}

// attachable says why an instance cannot become a member of g.
func attachable(tx *store.Tx, g *resource.AutoScalingGroup, id string) error {
	i, ok := tx.Instances.Get(id)
	switch {
	case !ok || i.Home != g.Home:
		return validation("Invalid Instance ID(s): [%s] specified", id)
	case i.Current() != resource.InstanceRunning:
		return validation("Instance %s is not in correct state. Instance(s) must be in 'running' state.", id)
	}
	if m, ok := tx.GroupInstances.Get(id); ok {
		other, _ := tx.AutoScalingGroups.Get(m.Group)
		return validation("Instance %s is already part of AutoScalingGroup:%s", id, other.Name)
	}
	for _, z := range g.Spec.Zones {
		if z == i.Spec.Zone {
			return nil
		}
	}
	return validation("The availability zone of instance %s, %s, is none of AutoScalingGroup:%s", id, i.Spec.Zone, g.Name)
}
