// Package kubeapplytest plays the API server of a cluster for those who apply objects to
// it by package kubeapply.
//
//	kubeapply ─▶ dynamic client ─▶ Server (http.RoundTripper) ─▶ objects, by their path
//	                                  └─ Knobs: who owns fields, what is refused, what is whole
//
// It keeps what it is sent, and knows of field managers and of workloads only as much as its
// knobs say. It is for tests only, checks no object and has no watches.
package kubeapplytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
)

// Knobs are how the cluster is.
type Knobs struct {
	Sick    bool // workloads are not whole
	Touched bool // somebody else owns .spec.template of every workload
	Denied  bool // an admission webhook refuses every write
}

// A Server keeps objects.
type Server struct {
	mu      sync.Mutex
	knobs   Knobs
	objects map[string]map[string]any
}

// New returns a server without objects.
func New() *Server { return &Server{objects: map[string]map[string]any{}} }

// Turn changes the knobs.
func (s *Server) Turn(f func(*Knobs)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.knobs)
}

// Paths are those of the objects that there are, in order.
func (s *Server) Paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// RoundTrip answers a request.
func (s *Server) RoundTrip(q *http.Request) (*http.Response, error) {
	var body map[string]any
	if q.Body != nil && q.Method != http.MethodDelete {
		raw, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", q.Method, q.URL.Path, err)
		}
	}
	s.mu.Lock()
	status, out := s.serve(q, body)
	raw, err := json.Marshal(out)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: q,
	}, nil
}

func (s *Server) serve(q *http.Request, body map[string]any) (int, any) {
	at := q.URL.Path
	if q.Method == http.MethodPost {
		meta, _ := body["metadata"].(map[string]any)
		at = path.Join(at, fmt.Sprint(meta["name"]))
	}
	have, ok := s.objects[at]
	switch {
	case q.Method == http.MethodGet && ok:
		return http.StatusOK, s.withStatus(have)
	case q.Method == http.MethodDelete && ok:
		delete(s.objects, at)
		return http.StatusOK, status(http.StatusOK, "", "")
	case q.Method == http.MethodGet || q.Method == http.MethodDelete:
		return http.StatusNotFound, status(http.StatusNotFound, "NotFound", at+" not found")
	case s.knobs.Denied:
		return http.StatusForbidden, status(http.StatusForbidden, "Forbidden", `admission webhook "policy.test" denied the request`)
	case q.Method == http.MethodPost && ok:
		return http.StatusConflict, status(http.StatusConflict, "AlreadyExists", at+" already exists")
	}
	if q.Method == http.MethodPatch && q.URL.Query().Get("force") != "true" && s.conflicts(body) {
		out := status(http.StatusConflict, "Conflict", "Apply failed with 1 conflict")
		out["details"] = map[string]any{"causes": []any{map[string]any{"reason": "FieldManagerConflict", "field": ".spec.template", "message": `conflict with "kubectl"`}}}
		return http.StatusConflict, out
	}
	if q.URL.Query().Get("dryRun") == "" {
		s.objects[at] = body
	}
	return http.StatusOK, body
}

func (s *Server) conflicts(body map[string]any) bool {
	spec, _ := body["spec"].(map[string]any)
	_, ok := spec["template"]
	return ok && s.knobs.Touched
}

func status(code int, reason, message string) map[string]any {
	status := "Failure"
	if code == http.StatusOK {
		status = "Success"
	}
	return map[string]any{"apiVersion": "v1", "kind": "Status", "status": status, "code": code, "reason": reason, "message": message}
}

// withStatus is an object, of a workload with what its controller would say of it.
func (s *Server) withStatus(object map[string]any) map[string]any {
	out := maps.Clone(object)
	want := int64(1)
	spec, _ := object["spec"].(map[string]any)
	if n, ok := spec["replicas"].(float64); ok {
		want = int64(n)
	}
	have := want
	if s.knobs.Sick {
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
