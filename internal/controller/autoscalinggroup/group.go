// Package autoscalinggroup keeps the number of instances that Auto Scaling groups want.
//
//	             launch                 running
//	(nothing) ──────────▶ Pending ──────────────▶ InService
//	                                                 │ too many, condemned, group deleted
//	                                                 ▼
//	            Terminating:Wait ──Continue or heartbeat over──▶ Terminating ──▶ (gone)
//	            (only with a hook)
//
// It acts as a client of EC2: it records instances through package provision, which
// controller/instance makes real. An instance that ends by itself has its membership
// ended here and is replaced. Launches and ends are scaling activities.
//
// It has no instance refresh, warm pool or scheduled action yet, checks no health but
// the instance's own, and does not watch what runs inside an instance.
package autoscalinggroup

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Lifecycle states of a member, as Auto Scaling spells them.
const (
	pending         = "Pending"
	inService       = "InService"
	terminatingWait = "Terminating:Wait"
	terminating     = "Terminating"
)

// hookTerminating is the transition of a hook that holds a member back before its end.
const hookTerminating = "autoscaling:EC2_INSTANCE_TERMINATING"

// Bounds of the wait after a launch that failed.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Controller reconciles Auto Scaling groups, by their ARNs.
type Controller struct {
	store *store.Store
	queue *reconcile.Queue
	now   func() time.Time
	log   *slog.Logger
}

// New returns the controller; Run starts it.
func New(st *store.Store, now func() time.Time, log *slog.Logger) *Controller {
	c := &Controller{store: st, now: now, log: log}
	c.queue = reconcile.New("autoscalinggroup", c.Reconcile, log)
	return c
}

// Run reconciles every group once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 4, func(tx *store.Tx) *store.Table[resource.AutoScalingGroup] { return tx.AutoScalingGroups }, c.changed)
}

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	switch ch.Table {
	case store.GroupInstances:
		if m, ok := tx.GroupInstances.Get(ch.Key); ok {
			c.queue.Wake(m.Group)
		}
	case store.Instances:
		if i, ok := tx.Instances.Get(ch.Key); ok && i.Spec.AutoScalingGroup != "" {
			c.queue.Wake(i.Spec.AutoScalingGroup)
		}
	}
}

// Errors are those of the groups that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Reconcile brings the group's instances nearer to what it wants.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	var again time.Duration
	missing := 0
	err := c.store.Update(ctx, func(tx *store.Tx) error {
		g, ok := tx.AutoScalingGroups.Get(arn)
		if !ok {
			return nil
		}
		r := round{tx: tx, group: g, now: c.now()}
		if err := r.settle(); err != nil {
			return err
		}
		if g.Deleting && len(r.members) == 0 {
			tx.AutoScalingGroups.Delete(arn)
			for key, a := range tx.ScalingActivities.All() {
				if a.Group == arn {
					tx.ScalingActivities.Delete(key)
				}
			}
			return nil
		}
		missing, again = r.missing(), r.again
		return nil
	})
	if err != nil {
		return reconcile.Never, fmt.Errorf("group %s: %w", arn, err)
	}
	for range missing {
		next, err := c.launchOne(ctx, arn)
		if err != nil {
			return reconcile.Never, fmt.Errorf("group %s: %w", arn, err)
		}
		if next > 0 {
			return next, nil
		}
	}
	return again, nil
}

// A round is one look at a group inside a transaction.
type round struct {
	tx      *store.Tx
	group   resource.AutoScalingGroup
	now     time.Time
	members []resource.GroupInstance
	again   time.Duration
}

// settle follows what has become of the members, and sends off those who must go.
func (r *round) settle() error {
	for _, m := range r.tx.GroupInstances.All() {
		if m.Group != r.group.ARN {
			continue
		}
		in, ok := r.tx.Instances.Get(m.Instance)
		switch {
		case !ok || in.Status.State == resource.InstanceTerminated:
			r.gone(m, in)
			continue
		case m.Lifecycle == pending && in.Current() == resource.InstanceRunning:
			m.Lifecycle = inService
			r.tx.GroupInstances.Put(m.Instance, m)
			r.finish(m.Instance, "Launching")
		case in.Terminating && m.Lifecycle != terminating:
			m.Lifecycle, m.Health = terminating, "Unhealthy"
			r.tx.GroupInstances.Put(m.Instance, m)
			r.begin(m.Instance, "Terminating EC2 instance: "+m.Instance,
				fmt.Sprintf("At %s an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.", stamp(r.now)))
		}
		r.members = append(r.members, m)
	}
	for i, m := range r.members {
		if m.Lifecycle == terminatingWait {
			if err := r.release(&r.members[i]); err != nil {
				return err
			}
		}
	}
	return r.shrink()
}

// gone ends the membership of an instance that is no more.
func (r *round) gone(m resource.GroupInstance, in resource.Instance) {
	if m.Lifecycle != terminating {
		r.begin(m.Instance, "Terminating EC2 instance: "+m.Instance,
			fmt.Sprintf("At %s an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.", stamp(r.now)))
	}
	if m.Lifecycle == pending {
		r.fail(m.Instance, "Launching", "Instance failed to launch. "+in.Status.StateReason)
	}
	r.finish(m.Instance, "Terminating")
	r.tx.GroupInstances.Delete(m.Instance)
	r.pardon(m.Instance)
}

// pardon takes an instance off the list of the condemned.
func (r *round) pardon(id string) {
	if _, ok := r.group.Spec.Condemned[id]; ok {
		delete(r.group.Spec.Condemned, id) // a copy of ours: Get in an Update
		r.tx.AutoScalingGroups.Put(r.group.ARN, r.group)
	}
}

// live are the members that count towards the desired capacity.
func (r *round) live() []resource.GroupInstance {
	return slices.DeleteFunc(slices.Clone(r.members), func(m resource.GroupInstance) bool {
		return m.Lifecycle == terminating || m.Lifecycle == terminatingWait
	})
}

func (r *round) want() int {
	if r.group.Deleting {
		return 0
	}
	return int(r.group.Spec.Desired)
}

// missing is how many instances are to be launched now.
func (r *round) missing() int {
	n := r.want() - len(r.live())
	if n <= 0 || slices.Contains(r.group.Spec.SuspendedProcesses, "Launch") {
		return 0
	}
	if wait := r.group.Status.NextTry.Sub(r.now); wait > 0 {
		r.again = wait
		return 0
	}
	return n
}

// shrink sends off condemned members, and as many others as there are too many.
func (r *round) shrink() error {
	if slices.Contains(r.group.Spec.SuspendedProcesses, "Terminate") && !r.group.Deleting {
		return nil
	}
	for _, m := range r.live() {
		if _, ok := r.group.Spec.Condemned[m.Instance]; ok {
			cause := fmt.Sprintf("At %s instance %s was taken out of service in response to a user request.", stamp(r.now), m.Instance)
			if err := r.sendOff(m, cause); err != nil {
				return err
			}
		}
	}
	for len(r.live()) > r.want() {
		m, ok := victim(r.tx, r.live(), r.group.Deleting)
		if !ok {
			return nil // all are protected
		}
		cause := fmt.Sprintf("At %s an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.  At %s instance %s was selected for termination.",
			stamp(r.now), len(r.live()), r.want(), stamp(r.now), m.Instance)
		if err := r.sendOff(m, cause); err != nil {
			return err
		}
	}
	return nil
}

// sendOff begins a member's end, at its hook if there is one.
func (r *round) sendOff(m resource.GroupInstance, cause string) error {
	r.begin(m.Instance, "Terminating EC2 instance: "+m.Instance, cause)
	i := slices.IndexFunc(r.members, func(o resource.GroupInstance) bool { return o.Instance == m.Instance })
	r.members[i].Lifecycle, r.members[i].Waiting, r.members[i].Continue = terminatingWait, r.now, false
	return r.release(&r.members[i])
}

// release lets a member go whom nothing holds back, and records the others.
func (r *round) release(m *resource.GroupInstance) error {
	if left := r.hold(*m); left > 0 {
		if r.again == 0 || left < r.again {
			r.again = left
		}
		r.tx.GroupInstances.Put(m.Instance, *m)
		return nil
	}
	m.Lifecycle = terminating
	r.tx.GroupInstances.Put(m.Instance, *m)
	_, err := provision.Terminate(r.tx, r.group.Home, m.Instance, r.now)
	return err
}

// hold is how long a member is still held back by a hook.
func (r *round) hold(m resource.GroupInstance) time.Duration {
	if m.Continue || r.group.Force {
		return 0
	}
	for _, h := range r.group.Spec.Hooks {
		if h.Transition == hookTerminating {
			return time.Duration(h.Heartbeat)*time.Second - r.now.Sub(m.Waiting)
		}
	}
	return 0
}

// victim chooses who goes first: of the zone with the most members, the oldest, as the
// default termination policy does among equals. force passes over scale-in protection.
func victim(tx *store.Tx, live []resource.GroupInstance, force bool) (resource.GroupInstance, bool) {
	perZone := map[string]int{}
	zone := map[string]string{}
	for _, m := range live {
		in, _ := tx.Instances.Get(m.Instance)
		zone[m.Instance] = in.Spec.Zone
		perZone[in.Spec.Zone]++
	}
	live = slices.DeleteFunc(slices.Clone(live), func(m resource.GroupInstance) bool { return m.Protected && !force })
	if len(live) == 0 {
		return resource.GroupInstance{}, false
	}
	return slices.MinFunc(live, func(a, b resource.GroupInstance) int {
		if d := perZone[zone[b.Instance]] - perZone[zone[a.Instance]]; d != 0 {
			return d
		}
		return a.Joined.Compare(b.Joined)
	}), true
}
