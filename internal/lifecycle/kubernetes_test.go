package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// api is how controllers talk to the API server of a cluster: to its plane's objects.
func (d *daemon) api(cl resource.Cluster) (*rest.Config, error) {
	dir := cluster.Dir(d.life.clusters(), cl)
	return &rest.Config{Host: "http://plane", Transport: apiServer{hands: d.hands(), dir: dir}}, nil
}

// An apiServer keeps objects by their path, and knows of field managers as much as its knobs
// say. Workloads are whole at once.
type apiServer struct {
	hands
	dir string
}

func (s apiServer) RoundTrip(q *http.Request) (*http.Response, error) {
	var body map[string]any
	if q.Body != nil {
		raw, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		if len(raw) > 0 && q.Method != http.MethodDelete {
			if err := json.Unmarshal(raw, &body); err != nil {
				return nil, fmt.Errorf("%s %s: %w", q.Method, q.URL.Path, err)
			}
		}
	}
	err := s.begin(q.Context())
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p := s.host.planes[s.dir]
	if p == nil || !p.up {
		return nil, fmt.Errorf("connecting to %s: connection refused", s.dir)
	}
	status, out := s.serve(p, q, body)
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: q,
	}, nil
}

func (s apiServer) serve(p *plane, q *http.Request, body map[string]any) (int, any) {
	at := q.URL.Path
	if q.Method == http.MethodPost {
		meta, _ := body["metadata"].(map[string]any)
		at = path.Join(at, fmt.Sprint(meta["name"]))
	}
	have, ok := p.objects[at]
	switch {
	case q.Method == http.MethodGet && ok:
		return http.StatusOK, s.withStatus(have)
	case q.Method == http.MethodDelete && ok:
		delete(p.objects, at)
		return http.StatusOK, refusal(http.StatusOK, "Success", "")
	case q.Method == http.MethodGet || q.Method == http.MethodDelete:
		return http.StatusNotFound, refusal(http.StatusNotFound, "NotFound", at+" not found")
	case s.knobs.denied:
		return http.StatusForbidden, refusal(http.StatusForbidden, "Forbidden", `admission webhook "policy.test" denied the request`)
	case q.Method == http.MethodPost && ok:
		return http.StatusConflict, refusal(http.StatusConflict, "AlreadyExists", at+" already exists")
	}
	if cause := s.conflict(body); q.Method == http.MethodPatch && cause != "" && q.URL.Query().Get("force") != "true" {
		out := refusal(http.StatusConflict, "Conflict", "Apply failed with 1 conflict")
		out["details"] = map[string]any{"causes": []any{map[string]any{"reason": "FieldManagerConflict", "field": cause, "message": `conflict with "kubectl"`}}}
		return http.StatusConflict, out
	}
	if q.URL.Query().Get("dryRun") == "" {
		p.objects[at] = body
	}
	return http.StatusOK, body
}

// conflict is the field of an object that somebody else owns, if the object has it.
func (s apiServer) conflict(body map[string]any) string {
	spec, _ := body["spec"].(map[string]any)
	if _, ok := spec["template"]; ok && s.knobs.touched {
		return ".spec.template"
	}
	return ""
}

func refusal(code int, reason, message string) map[string]any {
	status := "Failure"
	if code == http.StatusOK {
		status = "Success"
	}
	return map[string]any{"apiVersion": "v1", "kind": "Status", "status": status, "code": code, "reason": reason, "message": message}
}

// withStatus is a workload with what its controller would say of it.
func (s apiServer) withStatus(object map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range object {
		out[k] = v
	}
	want := int64(1)
	spec, _ := object["spec"].(map[string]any)
	if n, ok := spec["replicas"].(float64); ok {
		want = int64(n)
	}
	have := want
	if s.knobs.sick {
		have = 0
	}
	switch object["kind"] {
	case "Deployment":
		out["status"] = map[string]any{"replicas": want, "updatedReplicas": want, "availableReplicas": have}
	case "DaemonSet":
		out["status"] = map[string]any{"desiredNumberScheduled": want, "updatedNumberScheduled": want, "numberAvailable": have}
	}
	return out
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
	err := n.begin(ctx)
	n.cordoned[node] = true
	stuck := n.knobs.stuck
	n.mu.Unlock()
	if err != nil || !stuck {
		return err
	}
	<-ctx.Done()
	return stuckError{}
}

func (n *nodes) Configure(ctx context.Context, _, node string, change resource.NodeChange) error {
	err := n.begin(ctx)
	defer n.mu.Unlock()
	if err == nil && change.Cordon != nil {
		n.cordoned[node] = *change.Cordon
	}
	return err
}

func (n *nodes) EnsureAWSAuthRole(ctx context.Context, cluster, role string) error {
	err := n.begin(ctx)
	defer n.mu.Unlock()
	if err == nil {
		n.roles[cluster+" "+role] = true
	}
	return err
}

func (n *nodes) RemoveAWSAuthRole(ctx context.Context, cluster, role string) error {
	err := n.begin(ctx)
	defer n.mu.Unlock()
	if err == nil {
		delete(n.roles, cluster+" "+role)
	}
	return err
}

// applied says whether the cluster's API server has an object whose path ends so.
func (h *host) applied(dir, suffix string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planes[dir]
	if p == nil {
		return false
	}
	for at := range p.objects {
		if strings.HasSuffix(at, suffix) {
			return true
		}
	}
	return false
}
