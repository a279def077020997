// Package nodegroup makes the records of managed node groups real, by what EKS makes for
// them: an instance profile, a launch template, an Auto Scaling group, and the nodes'
// way into the cluster.
//
//	CREATING ─ profile, template, group, access entry ─ nodes Ready ─▶ ACTIVE
//	                                                 └─ too late ─▶ CREATE_FAILED
//	ACTIVE ─ something is missing or nodes do not come (health.go) ─▶ DEGRADED, and back
//	a node stays unhealthy ─ replaced or rebooted, if nodeRepairConfig says so (repair.go)
//	EC2 wants a Spot instance back ─ its node replaced, or left at once (spot.go)
//	the cluster's traffic is shifted from a zone ─ no new nodes there, no repair (shift.go)
//	ACTIVE ─ UpdateNodegroupConfig ─ UPDATING ─ group and nodes changed ─▶ ACTIVE
//	ACTIVE ─ UpdateNodegroupVersion ─ UPDATING ─ nodes replaced (roll.go) ─▶ ACTIVE
//	Deleting ─ group deleted, its nodes drained ─ template, profile, entry and record deleted
//	         └─ somebody needs its security group ─▶ DELETE_FAILED
//	the cluster's API server is needed and stays away ─ what needs it has failed (reach.go)
//
// It acts as a client of IAM, EC2 and Auto Scaling: it writes their records, and their
// controllers go on from there. It moves no pods itself (Nodes does).
package nodegroup

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Nodes changes Kubernetes nodes; package controller/node does.
type Nodes interface {
	// Drain cordons the node and evicts its pods until none is left or ctx ends.
	Drain(ctx context.Context, cluster, node string) error
	// Configure changes labels and taints of the node: those in the maps' old and new values.
	Configure(ctx context.Context, cluster, node string, change resource.NodeChange) error
	EnsureAWSAuthRole(ctx context.Context, cluster, role string) error
	RemoveAWSAuthRole(ctx context.Context, cluster, role string) error
	// HasAWSAuthRole says whether aws-auth lets nodes of the role in, as far as that is known.
	HasAWSAuthRole(cluster, role string) (has, known bool)
}

// Config holds the waits that EKS has and tests shorten.
type Config struct {
	JoinTimeout  time.Duration // until nodes that do not become Ready, or a cluster that does not answer, fail the group
	DrainTimeout time.Duration // until a node is terminated although pods are left on it
	// DeleteDrainTimeout is DrainTimeout for a group that is deleted, which EKS gives less:
	// with a cluster's last nodes, a disruption budget is never satisfied again.
	DeleteDrainTimeout time.Duration
	DrainedPause       time.Duration // between a node's being empty and its end, for load balancers to notice; 0: DefaultDrainedPause
	RepairWait         time.Duration // for how long a node is unhealthy before it is repaired; 0: DefaultRepairWait
	Now                func() time.Time
}

// Controller reconciles node groups, by their ARNs.
type Controller struct {
	cfg   Config
	store *store.Store
	nodes Nodes
	queue *reconcile.Queue
	log   *slog.Logger

	mu       sync.Mutex
	draining map[string]draining // by instance
	emptying map[string]context.CancelFunc
	ctx      context.Context
}

// New returns the controller; Run starts it.
func New(cfg Config, st *store.Store, nodes Nodes, log *slog.Logger) *Controller {
	c := &Controller{cfg: cfg, store: st, nodes: nodes, log: log, draining: map[string]draining{}, emptying: map[string]context.CancelFunc{}}
	c.queue = reconcile.New("nodegroup", c.Reconcile, log)
	return c
}

// Run reconciles every node group once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.ctx = ctx
	return reconcile.Serve(ctx, c.queue, c.store, 4, func(tx *store.Tx) *store.Table[resource.Nodegroup] { return tx.Nodegroups }, c.changed)
}

// Errors are those of the node groups that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	switch ch.Table {
	case store.Clusters, store.Nodes, store.AutoScalingGroups, store.GroupInstances, store.LaunchTemplates,
		store.InstanceProfiles, store.Roles, store.SecurityGroups, store.Subnets, store.AccessEntries, store.SpotRequests, store.InstanceRefreshes, store.ZonalShifts:
		// A handful of groups: finding the right one costs more code than looking.
		for arn := range tx.Nodegroups.All() {
			c.queue.Wake(arn)
		}
	}
}

// state is what a reconcile sees of a node group.
type state struct {
	ng      resource.Nodegroup
	cluster resource.Cluster
	group   resource.AutoScalingGroup
	grouped bool // the Auto Scaling group exists
	members []member
	faults  []resource.Issue // what has been taken away from it
	away    string           // the zone that the cluster's traffic is shifted from
}

// A member is an instance of the group, and the node that it has become.
type member struct {
	resource.GroupInstance
	node     resource.Node
	joined   bool
	template string // number of the launch template's version that it was made from
	notice   notice // of EC2's, to a Spot instance
}

// ready says whether it is a node that pods can be on.
func (m member) ready() bool {
	return m.joined && m.node.Ready && m.Lifecycle == resource.MemberInService
}

// leaving says whether its end has begun.
func (m member) leaving() bool { return m.Leaves() }

func (s state) ready() int {
	n := 0
	for _, m := range s.members {
		if m.ready() {
			n++
		}
	}
	return n
}

func (c *Controller) get(arn string) (s state, ok bool, err error) {
	err = c.store.View(func(tx *store.Tx) error {
		if s.ng, ok = tx.Nodegroups.Get(arn); !ok {
			return nil
		}
		s.cluster, _ = tx.Clusters.Get(s.ng.Cluster)
		if shift, ok := tx.ZonalShifts.Get(s.ng.Cluster); ok && !shift.Over(s.cluster, c.cfg.Now()) {
			s.away = shift.Zone
		}
		group := groupARN(s.ng)
		s.group, s.grouped = tx.AutoScalingGroups.Get(group)
		nodes := map[string]resource.Node{}
		for _, n := range tx.Nodes.All() {
			if n.Cluster == s.ng.Cluster {
				nodes[n.Instance] = n
			}
		}
		for _, m := range tx.GroupInstances.All() {
			if m.Group == group {
				node, joined := nodes[m.Instance]
				in, _ := tx.Instances.Get(m.Instance)
				s.members = append(s.members, member{m, node, joined, in.Tags["aws:ec2launchtemplate:version"], noticeOf(tx, in)})
			}
		}
		s.faults = faultsOf(tx, s)
		return nil
	})
	if err == nil && ok {
		s.faults = append(s.faults, c.shutOut(s)...)
	}
	return s, ok, err
}

// Reconcile brings what the node group consists of nearer to its record.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	s, ok, err := c.get(arn)
	if err != nil || !ok {
		return reconcile.Never, err
	}
	c.drain(s)
	if err := c.admit(ctx, s); err != nil {
		return reconcile.Never, err
	}
	if err := c.leaveSpot(ctx, s); err != nil {
		return reconcile.Never, err
	}
	if err := c.keepAway(ctx, s); err != nil {
		return reconcile.Never, err
	}
	switch {
	case s.ng.Deleting && s.ng.Status.State == resource.NodegroupDeleteFailed:
		return reconcile.Never, nil // until it is asked for again
	case s.ng.Deleting:
		return reconcile.Never, c.remove(ctx, s)
	case s.ng.Status.State == resource.NodegroupCreateFailed:
		return reconcile.Never, nil
	case s.ng.Status.AutoScalingGroup == "":
		err := c.make(ctx, s)
		if issue, final := issueFor(s.ng, err); final {
			return reconcile.Never, c.cannotMake(ctx, arn, issue)
		}
		return reconcile.Never, err
	}
	if why, lost := s.lost(); lost && s.ng.Status.AppliedRevision < s.ng.Spec.ForcedConfigUpdateRevision {
		switch {
		case !s.grouped || !s.rolled():
			return reconcile.Never, c.failUpdates(ctx, s, why)
		case s.ng.Status.Roll.Failed == nil:
			return reconcile.Never, c.fail(ctx, s, why) // what it has done is taken back, which needs no template
		}
	}
	switch {
	case s.ng.Rolling():
		return c.roll(ctx, s)
	case s.ng.Status.AppliedRevision < s.ng.Spec.ForcedConfigUpdateRevision:
		return reconcile.Never, c.orFail(ctx, s, c.applyConfig(ctx, s))
	default:
		again, err := c.follow(ctx, s)
		if err != nil {
			return again, err
		}
		if s.cluster.Spec.AuthenticationMode == modeConfigMap {
			again = sooner(again, awsAuthEvery)
		}
		next, err := c.repair(ctx, s)
		return sooner(again, next), err
	}
}

// sooner is the earlier of two waits.
func sooner(a, b time.Duration) time.Duration {
	if a == reconcile.Never || b != reconcile.Never && b < a {
		return b
	}
	return a
}

// follow compares the nodes that are Ready with those wanted, and what the group consists of
// with what it should.
func (c *Controller) follow(ctx context.Context, s state) (time.Duration, error) {
	now := c.cfg.Now()
	ready, want := s.ready(), int(s.group.Spec.Desired)
	again := reconcile.Never
	err := c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error {
		st.ReadyNodes = ready
		st.Waiting = ""
		issues := slices.Clone(s.faults)
		if ready >= want && s.grouped {
			st.EverActive, st.WaitingSince = true, time.Time{}
			return settle(st, true, issues)
		}
		if st.WaitingSince.IsZero() {
			st.WaitingSince = now
		}
		st.Waiting = fmt.Sprintf("%d of %d nodes to be ready", want-ready, want)
		refused, why := s.launchFailure()
		if why {
			issues = append(issues, refused)
			st.Waiting = "Auto Scaling: " + s.group.Status.Waiting
		}
		if left := c.cfg.JoinTimeout - now.Sub(st.WaitingSince); left > 0 {
			again = left
			return settle(st, false, issues)
		}
		if !why && s.grouped {
			issues = append(issues, s.creationFailure())
		}
		if st.State == resource.NodegroupCreating {
			st.Issues = issues
			return st.Move(resource.NodegroupCreateFailed)
		}
		return settle(st, false, issues)
	})
	return again, err
}

// admit lets new instances through: there is nothing that EKS does with them by its own hook.
func (c *Controller) admit(ctx context.Context, s state) error {
	if !slices.ContainsFunc(s.members, func(m member) bool { return m.Awaits(launchHook) }) {
		return nil
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		for _, m := range s.members {
			if g, ok := tx.GroupInstances.Get(m.Instance); ok && g.Complete(launchHook, "", resource.ActionContinue, "") {
				tx.GroupInstances.Put(m.Instance, g)
			}
		}
		return nil
	})
}

// A draining is the emptying of a node whose instance waits to be terminated.
type draining struct {
	timeout time.Duration
	cancel  context.CancelFunc
}

// drain empties every node whose instance waits to be terminated, and then lets it go. One
// that is being emptied already when its group is deleted has no more time than the others.
func (c *Controller) drain(s state) {
	timeout := c.cfg.DrainTimeout
	if s.ng.Deleting {
		timeout = c.cfg.DeleteDrainTimeout
	}
	for _, m := range s.members {
		if m.Lifecycle != resource.MemberTerminatingWait || !m.Awaits(drainHook) {
			continue
		}
		if d := s.ng.Status.Roll.Drains[m.Instance]; !d.Done.IsZero() {
			m.joined = false // it has been emptied, or had its time
		}
		c.mu.Lock()
		was, busy := c.draining[m.Instance]
		switch {
		case !busy:
			ctx, cancel := context.WithCancel(c.ctx)
			c.draining[m.Instance] = draining{timeout, cancel}
			go c.drainInTime(ctx, s.ng, m, timeout)
		case was.timeout != timeout:
			was.cancel() // its end begins it again
		}
		c.mu.Unlock()
	}
}

// drainInTime drains one node, however often that breaks off, and has the group looked at
// again if it is not the node's time that has ended it.
func (c *Controller) drainInTime(ctx context.Context, ng resource.Nodegroup, m member, timeout time.Duration) {
	tick := time.NewTicker(drainsEvery)
	defer tick.Stop()
	for {
		err := c.drainOne(ctx, m, ng.Cluster, timeout)
		if err == nil || ctx.Err() != nil {
			break
		}
		c.log.Error("draining a node", "node", m.node.Name, "instance", m.Instance, "err", err)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	stopped := ctx.Err() != nil
	c.mu.Lock()
	c.draining[m.Instance].cancel()
	delete(c.draining, m.Instance)
	c.mu.Unlock()
	if stopped && c.ctx.Err() == nil {
		c.queue.Wake(ng.ARN)
	}
}

func (c *Controller) drainOne(ctx context.Context, m member, cluster string, timeout time.Duration) error {
	if m.joined {
		timed, cancel := context.WithTimeout(ctx, m.Waiting.Add(timeout).Sub(c.cfg.Now()))
		defer cancel()
		if err := c.nodes.Drain(timed, cluster, m.node.Name); err != nil {
			if ctx.Err() != nil || timed.Err() == nil {
				return err
			}
			// As on EKS the instance goes when the time is over, whatever is left on it.
			c.log.Warn("a node goes with pods on it", "node", m.node.Name, "err", err)
		}
	}
	return c.store.Update(c.ctx, func(tx *store.Tx) error {
		g, ok := tx.GroupInstances.Get(m.Instance)
		if ok && g.Complete(drainHook, "", resource.ActionContinue, "") {
			tx.GroupInstances.Put(m.Instance, g)
		}
		return nil
	})
}

// setStatus writes the status that f makes of the present one, if it differs.
func (c *Controller) setStatus(ctx context.Context, arn string, f func(*resource.NodegroupStatus) error) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Nodegroups.Edit(arn, func(ng *resource.Nodegroup) error { return f(&ng.Status) })
	})
}
