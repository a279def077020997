package lifecycle

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/kubeapply/kubeapplytest"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// api is how controllers talk to the API server of a cluster: to its plane's objects.
func (d *daemon) api(cl resource.Cluster) (*rest.Config, error) {
	dir := cluster.Dir(d.life.clusters(), cl)
	return &rest.Config{Host: "http://plane", Transport: apiServer{hands: d.hands(), dir: dir}}, nil
}

// An apiServer is that of the plane in a directory, as long as it is up.
type apiServer struct {
	hands
	dir string
}

func (s apiServer) RoundTrip(q *http.Request) (*http.Response, error) {
	err := s.ask(q.Context())
	p, k := s.host.planes[s.dir], s.knobs.cluster
	up := p != nil && p.up
	s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !up:
		return nil, fmt.Errorf("connecting to %s: connection refused", s.dir)
	}
	p.api.Turn(func(to *kubeapplytest.Knobs) { *to = k })
	return p.api.RoundTrip(q)
}

// nodes play controller/node: instances that run become nodes, and cordons, drains and
// aws-auth are kept on the host.
type nodes struct {
	hands
	queue *reconcile.Queue
}

func (d *daemon) nodes() *nodes {
	n := &nodes{hands: d.hands()}
	n.queue = reconcile.New("node", n.reconcile, d.log)
	return n
}

func (n *nodes) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, n.queue, n.daemon.store, 2, func(tx *store.Tx) *store.Table[resource.Instance] { return tx.Instances }, nil)
}

func (n *nodes) Errors() map[string]error { return n.queue.Errors() }

// reconcile makes the record of the node that an instance is, or takes it away.
func (n *nodes) reconcile(ctx context.Context, id string) (time.Duration, error) {
	err := n.begin(ctx)
	strange := n.knobs.strange
	n.mu.Unlock()
	if err != nil {
		return reconcile.Never, err
	}
	return reconcile.Never, n.daemon.store.Update(ctx, func(tx *store.Tx) error {
		in, ok := tx.Instances.Get(id)
		name, running := in.Tags["eks:cluster-name"], ok && in.Current() == resource.InstanceRunning
		if name == "" {
			return nil
		}
		arn := "arn:aws:eks:" + in.Region + ":" + in.Account + ":cluster/" + name
		key := resource.NodeKey(arn, in.Spec.PrivateDNS)
		switch {
		case !running:
			tx.Nodes.Delete(key)
			n.uncordon(in.Spec.PrivateDNS) // addresses, and so names, are used again
		case !tx.Nodes.Has(key) && !strange:
			image, _ := ami.ByID(in.Region, in.Spec.Image)
			tx.Nodes.Put(key, resource.Node{Cluster: arn, Name: in.Spec.PrivateDNS, Instance: id, Ready: true, Version: "v" + image.Minor + ".0"})
		}
		return nil
	})
}

func (n *nodes) uncordon(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cordoned, node)
}

// A stuckError names the pods that are left on a node, as package controller/node does.
type stuckError struct{}

func (stuckError) Error() string  { return "left: default/web-1" }
func (stuckError) Pods() []string { return []string{"default/web-1"} }

func (n *nodes) Drain(ctx context.Context, _, node string) error {
	err := n.ask(ctx)
	n.cordoned[node] = n.cordoned[node] || err == nil
	stuck := n.knobs.stuck
	n.mu.Unlock()
	if err != nil || !stuck {
		return err
	}
	<-ctx.Done()
	return stuckError{}
}

func (n *nodes) Configure(ctx context.Context, _, node string, change resource.NodeChange) error {
	err := n.ask(ctx)
	defer n.mu.Unlock()
	if err == nil && change.Cordon != nil {
		n.cordoned[node] = *change.Cordon
	}
	return err
}

func (n *nodes) EnsureAWSAuthRole(ctx context.Context, cluster, role string) error {
	err := n.ask(ctx)
	defer n.mu.Unlock()
	if err == nil {
		n.roles[cluster+" "+role] = true
	}
	return err
}

func (n *nodes) RemoveAWSAuthRole(ctx context.Context, cluster, role string) error {
	err := n.ask(ctx)
	defer n.mu.Unlock()
	if err == nil {
		delete(n.roles, cluster+" "+role)
	}
	return err
}

func (n *nodes) HasAWSAuthRole(cluster, role string) (has, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.roles[cluster+" "+role], true
}

// applied says whether the cluster's API server has an object whose path ends so.
func (h *host) applied(dir, suffix string) bool {
	h.mu.Lock()
	p := h.planes[dir]
	h.mu.Unlock()
	return p != nil && slices.ContainsFunc(p.api.Paths(), func(at string) bool { return strings.HasSuffix(at, suffix) })
}
