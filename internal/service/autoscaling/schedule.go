package autoscaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/recurrence"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxScheduled = 125 // of a group

// PutScheduledUpdateGroupAction makes or changes a scheduled action.
func (s *Service) PutScheduledUpdateGroupAction(ctx context.Context, call awsapi.Call, in *autoscaling.PutScheduledUpdateGroupActionInput) (*autoscaling.PutScheduledUpdateGroupActionOutput, error) {
	return nil, s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(in.AutoScalingGroupName))
		if err != nil {
			return err
		}
		return putScheduled(tx, call, g, *in)
	})
}

func putScheduled(tx *store.Tx, call awsapi.Call, g resource.AutoScalingGroup, in autoscaling.PutScheduledUpdateGroupActionInput) error {
	if g.Deleting {
		return pendingDelete(&g)
	}
	name := deref(in.ScheduledActionName)
	key := resource.ScheduledActionKey(g.ARN, name)
	a, known := tx.ScheduledActions.Get(key)
	if !known {
		a = resource.ScheduledAction{Home: g.Home, Group: g.ARN, GroupName: g.Name, Name: name, ARN: fmt.Sprintf(
			"arn:aws:autoscaling:%s:%s:scheduledUpdateGroupAction:%s:autoScalingGroupName/%s:scheduledActionName/%s", call.Region, call.Account, awsid.UUID(), g.Name, name)}
		if n := len(scheduledOf(tx, g.ARN)); n >= maxScheduled {
			return &autoscaling.LimitExceededFault{Message: new(fmt.Sprintf("You have already reached the maximum number of scheduled actions for the group: %d", n))}
		}
	}
	start := in.StartTime
	if start == nil {
		start = in.Time
	}
	if start != nil {
		a.Start = start.UTC()
	}
	if in.EndTime != nil {
		a.End = in.EndTime.UTC()
	}
	set(&a.Recurrence, in.Recurrence)
	set(&a.TimeZone, in.TimeZone)
	for _, size := range []struct{ to, given **int32 }{{&a.Min, &in.MinSize}, {&a.Max, &in.MaxSize}, {&a.Desired, &in.DesiredCapacity}} {
		if *size.given != nil {
			*size.to = *size.given
		}
	}
	if err := checkScheduled(&a, start != nil, call.Time); err != nil {
		return err
	}
	for _, other := range scheduledOf(tx, g.ARN) {
		if other.Name != name && a.Recurrence == "" && other.Next.Equal(a.Next) {
			return &autoscaling.AlreadyExistsFault{Message: new("Scheduled action with the same start time already exists: " + other.Name)}
		}
	}
	tx.ScheduledActions.Put(key, a)
	return nil
}

// checkScheduled checks an action and says when it comes next.
func checkScheduled(a *resource.ScheduledAction, started bool, now time.Time) error {
	switch {
	case a.Min == nil && a.Max == nil && a.Desired == nil:
		return validation("At least one of MinSize, MaxSize or DesiredCapacity must be specified.")
	case a.Min != nil && a.Max != nil && *a.Max < *a.Min:
		return validation("Max bound, %d, must be greater than or equal to min bound, %d", *a.Max, *a.Min)
	case a.Desired != nil && (a.Min != nil && *a.Desired < *a.Min || a.Max != nil && *a.Desired > *a.Max):
		return validation("Desired capacity:%d must be between the specified min size and max size", *a.Desired)
	case started && !a.Start.After(now):
		return validation("Given start time is in the past")
	case !a.End.IsZero() && !a.End.After(now):
		return validation("Given end time is in the past")
	case !a.End.IsZero() && !a.Start.IsZero() && !a.End.After(a.Start):
		return validation("Given end time is before start time")
	case a.Recurrence == "" && a.Start.IsZero():
		return validation("Either a start time or a recurrence must be specified")
	}
	if _, err := time.LoadLocation(a.TimeZone); err != nil {
		return validation("Given time zone: %s is invalid", a.TimeZone)
	}
	if a.Recurrence == "" {
		a.Next = a.Start
		return nil
	}
	// The start is the first time by itself, whatever the recurrence says.
	if a.Start.After(now) {
		now = a.Start.Add(-time.Second)
	}
	next, err := recurrence.Next(a.Recurrence, a.TimeZone, now)
	if err != nil || next.IsZero() {
		return validation("Given recurrence string: %s is invalid", a.Recurrence)
	}
	if a.Next = next; a.Start.After(now) {
		a.Next = a.Start
	}
	return nil
}

func scheduledOf(tx *store.Tx, group string) []resource.ScheduledAction {
	return slices.Collect(tx.ScheduledActions.Values(func(a resource.ScheduledAction) bool { return a.Group == group }))
}

// BatchPutScheduledUpdateGroupAction makes or changes several; what is wrong with one is no
// matter to the others.
func (s *Service) BatchPutScheduledUpdateGroupAction(ctx context.Context, call awsapi.Call, in *autoscaling.BatchPutScheduledUpdateGroupActionInput) (*autoscaling.BatchPutScheduledUpdateGroupActionOutput, error) {
	out := &autoscaling.BatchPutScheduledUpdateGroupActionOutput{FailedScheduledUpdateGroupActions: []autoscaling.FailedScheduledUpdateGroupActionRequest{}}
	for _, a := range in.ScheduledUpdateGroupActions {
		_, err := s.PutScheduledUpdateGroupAction(ctx, call, &autoscaling.PutScheduledUpdateGroupActionInput{
			AutoScalingGroupName: in.AutoScalingGroupName, ScheduledActionName: a.ScheduledActionName, StartTime: a.StartTime, EndTime: a.EndTime,
			Recurrence: a.Recurrence, MinSize: a.MinSize, MaxSize: a.MaxSize, DesiredCapacity: a.DesiredCapacity, TimeZone: a.TimeZone,
		})
		failed, err := failure(a.ScheduledActionName, err)
		if err != nil {
			return nil, err
		}
		out.FailedScheduledUpdateGroupActions = append(out.FailedScheduledUpdateGroupActions, failed...)
	}
	return out, nil
}

// failure is the entry of a batch for an action that err is about, if there is one. What is
// not the caller's is an error still.
func failure(name *string, err error) ([]autoscaling.FailedScheduledUpdateGroupActionRequest, error) {
	var e *awsapi.Error
	var full *autoscaling.LimitExceededFault
	var same *autoscaling.AlreadyExistsFault
	f := autoscaling.FailedScheduledUpdateGroupActionRequest{ScheduledActionName: name}
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &e):
		f.ErrorCode, f.ErrorMessage = new(e.Code), new(e.Message)
	case errors.As(err, &full):
		f.ErrorCode, f.ErrorMessage = new("LimitExceeded"), full.Message
	case errors.As(err, &same):
		f.ErrorCode, f.ErrorMessage = new("AlreadyExists"), same.Message
	default:
		return nil, err
	}
	return []autoscaling.FailedScheduledUpdateGroupActionRequest{f}, nil
}

// DeleteScheduledAction deletes a scheduled action.
func (s *Service) DeleteScheduledAction(ctx context.Context, call awsapi.Call, in *autoscaling.DeleteScheduledActionInput) (*autoscaling.DeleteScheduledActionOutput, error) {
	return nil, s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(in.AutoScalingGroupName))
		if err != nil {
			return err
		}
		key := resource.ScheduledActionKey(g.ARN, deref(in.ScheduledActionName))
		if !tx.ScheduledActions.Has(key) {
			return validation("Scheduled action name not found")
		}
		tx.ScheduledActions.Delete(key)
		return nil
	})
}

// BatchDeleteScheduledAction deletes several.
func (s *Service) BatchDeleteScheduledAction(ctx context.Context, call awsapi.Call, in *autoscaling.BatchDeleteScheduledActionInput) (*autoscaling.BatchDeleteScheduledActionOutput, error) {
	out := &autoscaling.BatchDeleteScheduledActionOutput{FailedScheduledActions: []autoscaling.FailedScheduledUpdateGroupActionRequest{}}
	for _, name := range in.ScheduledActionNames {
		_, err := s.DeleteScheduledAction(ctx, call, &autoscaling.DeleteScheduledActionInput{AutoScalingGroupName: in.AutoScalingGroupName, ScheduledActionName: &name})
		failed, err := failure(&name, err)
		if err != nil {
			return nil, err
		}
		out.FailedScheduledActions = append(out.FailedScheduledActions, failed...)
	}
	return out, nil
}

// DescribeScheduledActions lists what is still to come, of a group or of all.
func (s *Service) DescribeScheduledActions(_ context.Context, call awsapi.Call, in *autoscaling.DescribeScheduledActionsInput) (*autoscaling.DescribeScheduledActionsOutput, error) {
	out := &autoscaling.DescribeScheduledActionsOutput{ScheduledUpdateGroupActions: []autoscaling.ScheduledUpdateGroupAction{}}
	err := s.store.View(func(tx *store.Tx) error {
		if in.AutoScalingGroupName != nil {
			if _, err := findGroup(tx, call, *in.AutoScalingGroupName); err != nil {
				return err
			}
		}
		var all []resource.ScheduledAction
		for _, a := range tx.ScheduledActions.All() {
			switch {
			case a.Home != home(call),
				in.AutoScalingGroupName != nil && a.GroupName != *in.AutoScalingGroupName,
				len(in.ScheduledActionNames) > 0 && !slices.Contains(in.ScheduledActionNames, a.Name),
				len(in.ScheduledActionNames) == 0 && in.StartTime != nil && a.Next.Before(*in.StartTime),
				len(in.ScheduledActionNames) == 0 && in.EndTime != nil && a.Next.After(*in.EndTime):
				continue
			}
			all = append(all, a)
		}
		key := func(a resource.ScheduledAction) string { return a.GroupName + "\x00" + a.Name }
		slices.SortFunc(all, func(a, b resource.ScheduledAction) int { return cmp.Compare(key(a), key(b)) })
		var err error
		all, out.NextToken, err = page(all, key, strings.Compare, in.NextToken, in.MaxRecords, maxGroups)
		for _, a := range all {
			out.ScheduledUpdateGroupActions = append(out.ScheduledUpdateGroupActions, describeScheduled(a))
		}
		return err
	})
	return out, err
}

func describeScheduled(a resource.ScheduledAction) autoscaling.ScheduledUpdateGroupAction {
	d := autoscaling.ScheduledUpdateGroupAction{
		AutoScalingGroupName: new(a.GroupName), ScheduledActionName: new(a.Name), ScheduledActionARN: new(a.ARN),
		StartTime: new(a.Next), Time: new(a.Next), Recurrence: optional(a.Recurrence), TimeZone: optional(a.TimeZone),
		MinSize: a.Min, MaxSize: a.Max, DesiredCapacity: a.Desired,
	}
	if !a.End.IsZero() {
		d.EndTime = new(a.End)
	}
	return d
}
