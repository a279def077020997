package autoscalinggroup

import (
	"reflect"
	"slices"
	"strconv"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A round is one look at a group inside a transaction.
type round struct {
	*Controller
	tx      *store.Tx
	group   resource.AutoScalingGroup
	members []resource.GroupInstance
	rolling *resource.InstanceRefresh // the group's refresh that is not over
	now     time.Time
	again   time.Duration
	why     string // a sentence that goes before the cause of what shrink sends off
}

// round begins a look at g: a copy of its own, from a Get in an Update.
func (c *Controller) round(tx *store.Tx, g resource.AutoScalingGroup) *round {
	r := &round{Controller: c, tx: tx, group: g, now: c.now()}
	for _, m := range tx.GroupInstances.All() {
		if m.Group == g.ARN {
			r.members = append(r.members, m)
		}
	}
	for _, f := range tx.InstanceRefreshes.All() {
		if f.Group == g.ARN && f.Active() {
			r.rolling = &f
		}
	}
	return r
}

// look has every stage look once, and writes the group if one has changed it.
func (r *round) look() error {
	before, _ := r.tx.AutoScalingGroups.Get(r.group.ARN)
	stages := []func() error{r.schedule, r.settle, r.health, r.refresh, r.recall, r.retire, r.balance, r.shrink}
	for _, stage := range stages {
		if err := stage(); err != nil {
			return err
		}
	}
	if r.group.Deleting && len(r.members) == 0 {
		r.remove()
		return nil
	}
	if r.group.Reason != "" && r.rests() {
		r.group.Reason = ""
	}
	if !reflect.DeepEqual(before, r.group) {
		r.tx.AutoScalingGroups.Put(r.group.ARN, r.group)
	}
	return nil
}

// remove deletes the group's records, but for what it has done.
func (r *round) remove() {
	arn := r.group.ARN
	r.tx.AutoScalingGroups.Delete(arn)
	for key, a := range r.tx.ScheduledActions.All() {
		if a.Group == arn {
			r.tx.ScheduledActions.Delete(key)
		}
	}
	for key, f := range r.tx.InstanceRefreshes.All() {
		if f.Group == arn {
			r.tx.InstanceRefreshes.Delete(key)
		}
	}
	r.forgetOld()
}

// put writes a member.
func (r *round) put(m resource.GroupInstance) {
	r.tx.GroupInstances.Put(m.Instance, m)
	i := slices.IndexFunc(r.members, func(o resource.GroupInstance) bool { return o.Instance == m.Instance })
	r.members[i] = m
}

// drop ends a membership.
func (r *round) drop(m resource.GroupInstance) {
	r.tx.GroupInstances.Delete(m.Instance)
	r.members = slices.DeleteFunc(r.members, func(o resource.GroupInstance) bool { return o.Instance == m.Instance })
	delete(r.group.Spec.Condemned, m.Instance)
}

// later has the group looked at again in d.
func (r *round) later(d time.Duration) { r.again = sooner(r.again, max(d, time.Millisecond)) }

// settle follows what has become of the members.
func (r *round) settle() error {
	for _, m := range slices.Clone(r.members) {
		in, ok := r.tx.Instances.Get(m.Instance)
		if !ok || in.Status.State == resource.InstanceTerminated {
			if ok && !m.Leaves() && r.group.Spec.Suspended("HealthCheck") && !r.group.Deleting {
				continue // nobody has noticed
			}
			r.gone(m, in)
			continue
		}
		if err := r.follow(m, in); err != nil {
			return err
		}
	}
	return nil
}

// follow takes one member a step further.
func (r *round) follow(m resource.GroupInstance, in resource.Instance) error {
	switch m.Lifecycle {
	case resource.MemberPending:
		if m.Attached {
			r.adopt(in)
		}
		switch {
		case in.Current() != resource.InstanceRunning:
		case m.Served.IsZero() && r.hold(&m, resource.HookLaunching):
			m.Lifecycle = resource.MemberPendingWait
			r.put(m)
			r.progress(m.Instance, "MidLifecycleAction", 60)
			r.expire(m)
		default:
			r.serve(m)
		}
	case resource.MemberPendingWait:
		if m = r.expire(m); m.Held() {
			return nil
		}
		if why, abandoned := abandonment(m); abandoned {
			return r.abandon(m, why)
		}
		m.Lifecycle = resource.MemberPendingProceed
		r.put(m)
	case resource.MemberPendingProceed:
		r.serve(m)
	case resource.MemberEnteringStandby:
		m.Lifecycle = resource.MemberStandby
		r.put(m)
		r.finish(m.Instance, "Moving EC2 instance to Standby")
	case resource.MemberDetaching:
		r.release(in)
		r.drop(m)
		r.finish(m.Instance, "Detaching")
	case resource.MemberTerminatingWait:
		if m = r.expire(m); !m.Held() || r.group.Force {
			m.Lifecycle = resource.MemberTerminatingProceed
			return r.end(m)
		}
	}
	return nil
}

// serve puts a member into service.
func (r *round) serve(m resource.GroupInstance) {
	m.Lifecycle, m.Served, m.Actions = resource.MemberInService, r.now, nil
	r.put(m)
	r.group.Status.Failures = 0
	for _, verb := range []string{"Launching", "Attaching", "Moving EC2 instance out of Standby"} {
		r.finish(m.Instance, verb)
	}
}

// adopt makes an instance that a client has attached the group's.
func (r *round) adopt(in resource.Instance) {
	if in.Spec.AutoScalingGroup == r.group.ARN {
		return
	}
	in.Spec.AutoScalingGroup = r.group.ARN
	in.Tags = in.Tags.With(map[string]string{tagGroup: r.group.Name})
	r.tx.Instances.Put(in.ID, in)
}

// release makes an instance nobody's.
func (r *round) release(in resource.Instance) {
	in.Spec.AutoScalingGroup = ""
	in.Tags = in.Tags.Without(tagGroup)
	r.tx.Instances.Put(in.ID, in)
}

// size is what a member counts for of the desired capacity: its type's weight.
func (r *round) size(m resource.GroupInstance) int {
	in, _ := r.tx.Instances.Get(m.Instance)
	weights := r.group.Spec.Weights
	if next := r.settings().Weights; next[in.Spec.Type] != "" { // a refresh brings types of its own
		weights = next
	}
	return weight(weights, in.Spec.Type)
}

func weight(weights map[string]string, kind string) int {
	n, err := strconv.Atoi(weights[kind])
	if err != nil || n < 1 { // the service lets no other in than numbers
		return 1
	}
	return n
}

// live are the members that count towards the desired capacity.
func (r *round) live() []resource.GroupInstance {
	return slices.DeleteFunc(slices.Clone(r.members), func(m resource.GroupInstance) bool { return !m.Counts() })
}

// capacity is what the live members come to.
func (r *round) capacity() (n int) {
	for _, m := range r.live() {
		n += r.size(m)
	}
	return n
}

// want is the capacity that there should be at the moment.
func (r *round) want() int {
	if r.group.Deleting {
		return 0
	}
	n := int(r.group.Spec.Desired) + r.surplus()
	for _, m := range r.recalled() {
		n += r.size(m)
	}
	if r.group.Status.Balancing != "" {
		n++
	}
	return n
}

// fits says whether the group has the capacity that it wants, and no member that it could do without:
// weights may come to more than is wanted.
func (r *round) fits() bool {
	over := r.capacity() - r.want()
	return over >= 0 && !slices.ContainsFunc(r.live(), func(m resource.GroupInstance) bool { return r.size(m) <= over })
}

// rests says whether the group has what it wants, and all of it in service.
func (r *round) rests() bool {
	for _, m := range r.members {
		if m.Lifecycle != resource.MemberInService && m.Lifecycle != resource.MemberStandby {
			return false
		}
	}
	return len(r.group.Spec.Condemned) == 0 && r.fits()
}

// missing says whether an instance is to be launched now.
func (r *round) missing() bool {
	if r.capacity() >= r.want() || r.group.Spec.Suspended("Launch") {
		return false
	}
	if wait := r.group.Status.NextTry.Sub(r.now); wait > 0 {
		r.later(wait)
		return false
	}
	return true
}
