package autoscalinggroup

import (
	"fmt"
	"maps"
	"slices"

	"ekster.dev/ekster/internal/resource"
)

// shrink sends off condemned members, and as many others as there are too many.
func (r *round) shrink() error {
	if r.group.Deleting {
		return r.empty()
	}
	if r.group.Spec.Suspended("Terminate") {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(r.group.Spec.Condemned)) {
		m, ok := r.tx.GroupInstances.Get(id)
		if !ok || m.Group != r.group.ARN || m.Leaves() {
			continue
		}
		cause := fmt.Sprintf("At %s instance %s was taken out of service in response to a user request.", stamp(r.now), id)
		if err := r.sendOff(m, cause); err != nil {
			return err
		}
	}
	for {
		over := r.capacity() - r.want()
		m, ok := r.victim()
		if over <= 0 || !ok || r.size(m) > over {
			return nil
		}
		if err := r.sendOff(m, r.tooMany(m)); err != nil {
			return err
		}
	}
}

// tooMany is the cause of the end of m, of which the group has one too many.
func (r *round) tooMany(m resource.GroupInstance) string {
	now, before := stamp(r.now), r.capacity()
	return sentences(r.why, r.group.Reason, fmt.Sprintf(
		"At %s an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.",
		now, before, max(before-r.size(m), r.want())), fmt.Sprintf("At %s instance %s was selected for termination.", now, m.Instance))
}

// empty sends off every member of a group that goes.
func (r *round) empty() error {
	for _, m := range slices.Clone(r.members) {
		if m.Leaves() {
			continue
		}
		cause := fmt.Sprintf("At %s a user request deleted the AutoScalingGroup.", stamp(r.now))
		if r.group.Reason != "" || !r.group.Force {
			cause = r.tooMany(m)
		}
		if err := r.sendOff(m, cause); err != nil {
			return err
		}
	}
	return nil
}

// sendOff begins a member's end, at its hooks if there are any.
func (r *round) sendOff(m resource.GroupInstance, cause string) error {
	r.begin(m.Instance, terminatingEC2+m.Instance, cause, "InProgress", 50)
	if m.Counts() && m.Served.IsZero() {
		r.endActivity(m.Instance, "Launching", "Cancelled", "Instance failed to launch: it was terminated before it was in service.")
	}
	m.Lifecycle = resource.MemberTerminating
	if r.hold(&m, resource.HookTerminating) && !r.group.Force {
		m.Lifecycle = resource.MemberTerminatingWait
		r.put(m)
		r.progress(m.Instance, "MidLifecycleAction", 60)
		r.expire(m)
		return nil
	}
	return r.end(m)
}

// end has the instance of a member terminated.
func (r *round) end(m resource.GroupInstance) error {
	r.put(m)
	_, err := r.terminates(r.tx, r.group.Home, m.Instance, r.now)
	return err
}
