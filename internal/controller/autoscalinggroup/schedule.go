package autoscalinggroup

import (
	"fmt"

	"ekster.dev/ekster/internal/recurrence"
	"ekster.dev/ekster/internal/resource"
)

// schedule executes the group's scheduled actions whose time has come, in its order. One that
// was due while nothing ran is executed once, late.
func (r *round) schedule() error {
	if r.group.Deleting {
		return nil
	}
	for {
		var due *resource.ScheduledAction
		var key string
		for k, a := range r.tx.ScheduledActions.All() {
			if a.Group == r.group.ARN && (due == nil || a.Next.Before(due.Next)) {
				due, key = &a, k
			}
		}
		if due == nil {
			return nil
		}
		if wait := due.Next.Sub(r.now); wait > 0 {
			r.later(wait)
			return nil
		}
		if !r.group.Spec.Suspended("ScheduledActions") {
			r.execute(*due)
		}
		if err := r.next(key, *due); err != nil {
			return err
		}
	}
}

// execute changes the group's sizes as an action says. A desired capacity that the action does
// not give moves into the new bounds.
func (r *round) execute(a resource.ScheduledAction) {
	s := &r.group.Spec
	before := s.Desired
	if a.Min != nil {
		s.Min = *a.Min
	}
	if a.Max != nil {
		s.Max = *a.Max
	}
	if s.Max < s.Min { // the other bound was changed since the action was put
		if a.Max != nil && a.Min == nil {
			s.Min = s.Max
		} else {
			s.Max = s.Min
		}
	}
	if a.Desired != nil {
		s.Desired = *a.Desired
	}
	s.Desired = min(max(s.Desired, s.Min), s.Max)
	if s.Desired != before {
		r.group.Reason = fmt.Sprintf("At %s a scheduled action update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.",
			stamp(r.now), s.Min, s.Max, s.Desired, before, s.Desired)
	}
}

// next moves an action to its next time, or deletes it if there is none.
func (r *round) next(key string, a resource.ScheduledAction) error {
	if a.Recurrence == "" {
		r.tx.ScheduledActions.Delete(key)
		return nil
	}
	next, err := recurrence.Next(a.Recurrence, a.TimeZone, r.now)
	if err != nil {
		return fmt.Errorf("scheduled action %s: %w", a.Name, err)
	}
	if a.Next = next; next.IsZero() || !a.End.IsZero() && next.After(a.End) {
		r.tx.ScheduledActions.Delete(key)
		return nil
	}
	r.tx.ScheduledActions.Put(key, a)
	return nil
}
