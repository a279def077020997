package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ekster.dev/ekster/internal/controller/autoscalinggroup"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	clusterARN = "arn:aws:eks:us-west-2:000000000000:cluster/c"
	groupName1 = "arn:aws:eks:us-west-2:000000000000:nodegroup/c/ng/u-1"
	nodeRole   = "arn:aws:iam::000000000000:role/node"
)

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

// fakeNodes are the Kubernetes nodes of a cluster: a drain empties one at once, unless a
// pod is stuck on it.
type fakeNodes struct {
	reconciletest.Calls
	mu       sync.Mutex
	stuck    map[string]bool // nodes from which a pod cannot be evicted
	allStuck bool
	cordoned map[string]bool
	labels   map[string]map[string]string
	drained  map[string]int
	draining int
	most     int // drains at a time
	roles    map[string]bool
	away     bool   // the API server does not answer
	refused  string // the node that it will not have changed
}

var errRefused = errors.New("refused")

// do is the start of every request; the caller holds mu.
func (f *fakeNodes) do(what string) error {
	if f.away {
		return errors.New("connection refused")
	}
	return f.Call(what)
}

// A leftError is what package controller/node answers.
type leftError struct{ pods []string }

func (e leftError) Error() string  { return "left: " + strings.Join(e.pods, ", ") }
func (e leftError) Pods() []string { return e.pods }

func (f *fakeNodes) Drain(ctx context.Context, _, node string) error {
	f.mu.Lock()
	err := f.do("drain")
	f.cordoned[node] = f.cordoned[node] || err == nil
	stuck := f.stuck[node] || f.allStuck
	f.draining++
	f.most = max(f.most, f.draining)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.draining--
	}()
	if err != nil {
		return err
	}
	if stuck {
		<-ctx.Done()
		return leftError{[]string{"default/web-1"}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained[node]++
	return nil
}

func (f *fakeNodes) Configure(_ context.Context, _, node string, change resource.NodeChange) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("configure"); err != nil {
		return err
	}
	if node == f.refused {
		return errRefused
	}
	if change.Cordon != nil {
		f.cordoned[node] = *change.Cordon
	}
	if f.labels[node] == nil {
		f.labels[node] = map[string]string{}
	}
	for k, v := range change.SetLabels {
		f.labels[node][k] = v
	}
	for _, k := range change.RemoveLabels {
		delete(f.labels[node], k)
	}
	return nil
}

func (f *fakeNodes) EnsureAWSAuthRole(_ context.Context, _, role string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("let in"); err != nil {
		return err
	}
	f.roles[role] = true
	return nil
}

func (f *fakeNodes) RemoveAWSAuthRole(_ context.Context, _, role string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.do("shut out"); err != nil {
		return err
	}
	delete(f.roles, role)
	return nil
}

func (f *fakeNodes) HasAWSAuthRole(_, role string) (has, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.roles[role], true
}

// A world is a store with a cluster and a node group in it that is CREATING, a real Auto
// Scaling controller, instances that run and join at once, and a clock that moves by a
// second a step.
type world struct {
	t      *testing.T
	store  *store.Store
	nodes  *fakeNodes
	c      *Controller
	groups *autoscalinggroup.Controller
	cancel context.CancelFunc
	cfg    Config
	mu     sync.Mutex
	now    time.Time
	absent func(resource.Instance) bool // instances that never become nodes
	watch  func()                       // called after every step
}

func newWorld(t *testing.T, change func(*resource.Nodegroup)) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, now: time.Unix(1000, 0).UTC(), absent: func(resource.Instance) bool { return false }, nodes: &fakeNodes{
		stuck: map[string]bool{}, cordoned: map[string]bool{}, labels: map[string]map[string]string{}, drained: map[string]int{}, roles: map[string]bool{},
	}}
	w.cfg = Config{JoinTimeout: time.Minute, DrainTimeout: time.Minute, DeleteDrainTimeout: time.Minute, DrainedPause: time.Second, Now: w.clock}
	t.Cleanup(func() {
		w.cancel()
		_ = st.Close()
	})
	w.groups = autoscalinggroup.New(st, w.clock, slog.New(slog.DiscardHandler))
	w.restart()
	w.update(func(tx *store.Tx) error {
		tx.Accounts.Put(home.Account, resource.Account{ID: home.Account})
		if _, err := provision.EnsureRegion(tx, home, w.now); err != nil {
			return err
		}
		tx.Roles.Put(nodeRole, resource.Role{Account: home.Account, ARN: nodeRole, Name: "node", ID: "AROANODE"})
		tx.KeyPairs.Put("key-1", resource.KeyPair{Home: home, ID: "key-1", Name: "k"})
		vpc, _ := provision.DefaultVPC(tx, home)
		g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home, VPC: vpc.ID, Name: "eks-cluster-sg-c", Description: "c"})
		if err != nil {
			return err
		}
		cl := resource.Cluster{
			Home: home, ARN: clusterARN, Name: "c",
			Spec: resource.ClusterSpec{
				Version: "1.35", VPC: vpc.ID, ClusterSecurityGroup: g.ID, AuthenticationMode: "CONFIG_MAP", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
			},
			Status: resource.ClusterStatus{State: resource.ClusterActive, RunningVersion: "1.35", CA: []byte("PEM")},
		}
		ng := resource.Nodegroup{
			Home: home, ARN: groupName1, Cluster: clusterARN, Name: "ng", ID: "u-1",
			Spec: resource.NodegroupSpec{
				Version: "1.34", ReleaseVersion: "1.34.4-20261105", AMIType: "AL2023_x86_64_STANDARD", InstanceTypes: []string{"t3.medium"}, CapacityType: "ON_DEMAND",
				DiskGiB: 20, NodeRole: nodeRole, Min: 1, Max: 3, Desired: 3, MaxUnavailable: 1, UpdateStrategy: "DEFAULT",
			},
			Status: resource.NodegroupStatus{State: resource.NodegroupCreating},
		}
		for id, sn := range tx.Subnets.All() {
			if sn.Zone != "us-west-2c" && sn.Zone != "us-west-2d" {
				ng.Spec.Subnets = append(ng.Spec.Subnets, id)
			}
		}
		if change != nil {
			change(&ng)
		}
		tx.Clusters.Put(cl.ARN, cl)
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// restart is a daemon that was killed and started again: all but the records is forgotten.
func (w *world) restart() {
	if w.cancel != nil {
		w.cancel()
	}
	w.c = New(w.cfg, w.store, w.nodes, slog.New(slog.DiscardHandler))
	w.c.ctx, w.cancel = context.WithCancel(context.Background())
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) group() (ng resource.Nodegroup, ok bool) {
	_ = w.store.View(func(tx *store.Tx) error { ng, ok = tx.Nodegroups.Get(groupName1); return nil })
	return ng, ok
}

func (w *world) state() state {
	s, _, err := w.c.get(groupName1)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// step has every controller look once.
func (w *world) step() {
	w.t.Helper()
	ctx := w.t.Context()
	w.nodes.mu.Lock()
	away := w.nodes.away
	w.nodes.mu.Unlock()
	if _, err := w.c.Reconcile(ctx, groupName1); err != nil && !errors.Is(err, reconciletest.ErrInjected) && !errors.Is(err, errRefused) && !away {
		w.t.Fatal(err)
	}
	var groups []string
	_ = w.store.View(func(tx *store.Tx) error {
		for arn := range tx.AutoScalingGroups.All() {
			groups = append(groups, arn)
		}
		return nil
	})
	for _, arn := range groups {
		if _, err := w.groups.Reconcile(ctx, arn); err != nil {
			w.t.Fatal(err)
		}
	}
	w.run()
	w.mu.Lock()
	w.now = w.now.Add(time.Second)
	w.mu.Unlock()
	if w.watch != nil {
		w.watch()
	}
}

// run is what controller/instance and controller/node do.
func (w *world) run() {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		for id, in := range tx.Instances.All() {
			key := resource.NodeKey(clusterARN, "node-"+id)
			switch {
			case in.Terminating:
				provision.Terminated(tx, id, w.clock())
				tx.Nodes.Delete(key)
			case in.Status.State == resource.InstancePending:
				in.Status.State = resource.InstanceRunning
				tx.Instances.Put(id, in)
			case in.Status.State == resource.InstanceRunning && !tx.Nodes.Has(key) && !w.absent(in):
				tx.Nodes.Put(key, resource.Node{Cluster: clusterARN, Name: "node-" + id, Instance: id, Ready: true})
			}
		}
		return nil
	})
}

// until steps until cond holds.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !cond() {
		w.step()
		select {
		case <-tick.C: // drains run beside
		case <-deadline:
			ng, _ := w.group()
			w.t.Fatalf("never %s: %+v", what, ng.Status)
		}
	}
}

func (w *world) untilActive() {
	w.t.Helper()
	w.until("ACTIVE and at rest", func() bool {
		ng, _ := w.group()
		s := w.state()
		return ng.Current() == resource.NodegroupActive && len(s.members) == int(s.group.Spec.Desired) && s.ready() == len(s.members) && s.grouped
	})
}

// ask records an UpdateNodegroupVersion as service/eks does.
func (w *world) ask(version string, force bool) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Spec = ng.Rolled()
		ng.Spec.ForcedConfigUpdateRevision++
		rev := ng.Spec.ForcedConfigUpdateRevision
		ng.Spec.Roll = &resource.Roll{Revision: rev, Version: version, ReleaseVersion: version + ".x", InstanceTypes: ng.Spec.InstanceTypes, Force: force}
		tx.Nodegroups.Put(ng.ARN, ng)
		id := fmt.Sprint("u", rev)
		tx.Updates.Put(id, resource.Update{ID: id, Cluster: clusterARN, Nodegroup: ng.ARN, Type: "VersionUpdate", Revision: rev, State: resource.UpdateInProgress})
		return nil
	})
}

func (w *world) updated(id string) (u resource.Update) {
	_ = w.store.View(func(tx *store.Tx) error { u, _ = tx.Updates.Get(id); return nil })
	return u
}

// templates counts members by the version of the launch template that they were made from.
func (w *world) templates() string {
	var out []string
	for _, m := range w.state().members {
		out = append(out, m.template)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// free are the nodes that take pods: Ready and not cordoned.
func (w *world) free() (n int) {
	s := w.state()
	w.nodes.mu.Lock()
	defer w.nodes.mu.Unlock()
	for _, m := range s.members {
		if m.ready() && !w.nodes.cordoned[m.node.Name] {
			n++
		}
	}
	return n
}
