package autoscalinggroup

import (
	"fmt"

	"ekster.dev/ekster/internal/resource"
)

// Causes of an end by a health check.
const (
	causeEC2  = "At %s an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped."
	causeUser = "At %s an instance was taken out of service in response to a user health-check."
)

// gone ends the membership of an instance that is no more.
func (r *round) gone(m resource.GroupInstance, in resource.Instance) {
	if !m.Leaves() {
		r.begin(m.Instance, terminatingEC2+m.Instance, fmt.Sprintf(causeEC2, stamp(r.now)), "InProgress", 50)
		r.group.Status.Unhealthy++
	}
	if m.Counts() && m.Served.IsZero() {
		r.endActivity(m.Instance, "Launching", "Failed", "Instance failed to launch. "+in.Status.StateReason)
	}
	r.finish(m.Instance, "Terminating")
	r.drop(m)
}

// health notices members that do not run any more, and sends off those that are Unhealthy:
// by themselves, or because a client said so.
func (r *round) health() error {
	for _, m := range r.live() {
		in, _ := r.tx.Instances.Get(m.Instance)
		well := in.Current() == resource.InstanceRunning || in.Current() == resource.InstancePending
		if !well && m.Health == resource.MemberHealthy && !r.group.Spec.Suspended("HealthCheck") {
			m.Health = resource.MemberUnhealthy
			r.put(m)
		}
		if m.Health != resource.MemberUnhealthy {
			continue
		}
		if in.Terminating { // somebody has had it terminated: there is nothing to be held
			r.begin(m.Instance, terminatingEC2+m.Instance, fmt.Sprintf(causeEC2, stamp(r.now)), "InProgress", 50)
			r.group.Status.Unhealthy++
			m.Lifecycle = resource.MemberTerminating
			r.put(m)
			continue
		}
		if r.group.Spec.Suspended("ReplaceUnhealthy") || r.group.Spec.Suspended("Terminate") {
			continue
		}
		cause := causeUser
		if !well {
			cause = causeEC2
		}
		r.group.Status.Unhealthy++
		if err := r.sendOff(m, fmt.Sprintf(cause, stamp(r.now))); err != nil {
			return err
		}
	}
	return nil
}
