package autoscalinggroup

import (
	"fmt"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

// hold begins a member's wait in a transition. It says whether a hook holds it.
func (r *round) hold(m *resource.GroupInstance, transition string) bool {
	m.Actions, m.Waiting = nil, r.now
	for _, h := range r.group.Spec.Hooks {
		if h.Transition == transition {
			m.Actions = append(m.Actions, resource.LifecycleAction{Hook: h, Token: awsid.UUID(), Since: r.now, Beat: r.now})
		}
	}
	return m.Held()
}

// expire ends the actions of a member whose time is over with the default results of their
// hooks, and has the group looked at again when the next one's is.
func (r *round) expire(m resource.GroupInstance) resource.GroupInstance {
	changed := false
	for _, a := range m.Actions {
		if a.Result != "" {
			continue
		}
		if left := a.Ends().Sub(r.now); left > 0 {
			r.later(left)
			continue
		}
		m.Complete(a.Hook.Name, a.Token, a.Hook.Default, "Heartbeat Timeout")
		changed = true
	}
	if changed {
		r.put(m)
	}
	return m
}

// abandonment says whether a member's launch has been abandoned, and words why.
func abandonment(m resource.GroupInstance) (why string, abandoned bool) {
	for _, a := range m.Actions {
		if a.Result == resource.ActionAbandon {
			return fmt.Sprintf("Instance failed to complete user's Lifecycle Action: Lifecycle Action with token %s was abandoned: %s", a.Token, a.Reason), true
		}
	}
	return "", false
}

// abandon ends an instance whose launch was abandoned. What takes its place waits longer each
// time, as after any launch that fails.
func (r *round) abandon(m resource.GroupInstance, why string) error {
	r.endActivity(m.Instance, "Launching", "Cancelled", why)
	r.endActivity(m.Instance, "Attaching", "Cancelled", why)
	r.backOff()
	m.Lifecycle = resource.MemberTerminating
	return r.end(m)
}

// backOff has the next launch wait, longer after each that has failed.
func (r *round) backOff() time.Duration {
	st := &r.group.Status
	st.Failures++
	wait := min(firstRetry<<min(st.Failures-1, 10), lastRetry)
	st.NextTry = r.now.Add(wait)
	return wait
}
