package resource

import (
	"slices"
	"time"
)

// Results of a lifecycle action.
const (
	ActionContinue = "CONTINUE"
	ActionAbandon  = "ABANDON"
)

// Transitions that a hook can hold a member back in.
const (
	HookLaunching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	HookTerminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// A LifecycleHook holds an instance back until somebody has let it go on.
type LifecycleHook struct {
	Name       string
	Transition string
	Heartbeat  int32  // seconds
	Default    string // CONTINUE, ABANDON
	Metadata   string
}

// Bounds of how long an instance can be held, whatever heartbeats come.
const (
	maxHold       = 48 * time.Hour
	maxHeartbeats = 100
)

// Limit is how long the hook can hold an instance at most.
func (h LifecycleHook) Limit() time.Duration {
	return min(maxHold, maxHeartbeats*time.Duration(h.Heartbeat)*time.Second)
}

// A LifecycleAction is one hook's hold on a member. What of the hook counts was copied when it
// began: a change of the hook is for those who come later.
type LifecycleAction struct {
	Hook   LifecycleHook
	Token  string
	Since  time.Time
	Beat   time.Time // the last heartbeat
	Result string    // empty while it holds
	Reason string    // of the result: how it came about
}

// Ends is when the action ends by itself.
func (a LifecycleAction) Ends() time.Time {
	ends := a.Beat.Add(time.Duration(a.Hook.Heartbeat) * time.Second)
	if limit := a.Since.Add(a.Hook.Limit()); limit.Before(ends) {
		return limit
	}
	return ends
}

// Held says whether a lifecycle action holds the member back.
func (m GroupInstance) Held() bool {
	for _, a := range m.Actions {
		if a.Result == ActionAbandon {
			return false // the others' results are not waited for
		}
	}
	for _, a := range m.Actions {
		if a.Result == "" {
			return true
		}
	}
	return false
}

// Awaits says whether an action of the hook is open.
func (m GroupInstance) Awaits(hook string) bool {
	return m.Held() && slices.ContainsFunc(m.Actions, func(a LifecycleAction) bool { return a.Hook.Name == hook && a.Result == "" })
}

// Complete gives the open actions of a hook their result. It says whether there was one.
// The member's actions are a new slice.
func (m *GroupInstance) Complete(hook, token, result, reason string) (found bool) {
	actions := make([]LifecycleAction, len(m.Actions))
	for i, a := range m.Actions {
		if a.Hook.Name == hook && (token == "" || a.Token == token) && a.Result == "" {
			a.Result, a.Reason, found = result, reason, true
		}
		actions[i] = a
	}
	m.Actions = actions
	return found
}
