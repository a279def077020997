package node

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
)

// A serving is a controller that does what others ask of it, in a cluster whose API server
// fails one request.
type serving struct {
	*world
	calls reconciletest.Calls
	c     *Controller
	node  string
	role  string
}

func (s *serving) Host() *reconciletest.Calls { return &s.calls }

// Again has another daemon do it all again; what is so already is not written.
func (s *serving) Again() { s.restart() }

func (s *serving) restart() {
	s.c = New(Config{Store: s.store, Log: s.nodes.log, API: func(resource.Cluster) (*rest.Config, error) {
		cfg, err := controlplane.RESTConfig(s.plane)
		if err == nil {
			cfg.Wrap(s.calls.Transport)
		}
		return cfg, err
	}})
}

// End is what has become of the node and of aws-auth.
func (s *serving) End() string {
	n := s.get("/api/v1/nodes/" + s.node)
	_, auth := s.try("", http.MethodGet, "/api/v1/namespaces/kube-system/configmaps/aws-auth", nil)
	return fmt.Sprint(field(n, "metadata", "labels", "a"), field(n, "spec", "unschedulable"), field(auth, "data"))
}

// ask asks until it is done, as package controller/nodegroup does.
func (s *serving) ask(f func() error) {
	s.t.Helper()
	for range 3 {
		err := f()
		if err == nil {
			return
		}
		if !errors.Is(err, reconciletest.ErrInjected) {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("one request failed, and the third time is not the charm")
}

// testFaults has each request fail once that the controller sends for others.
func testFaults(t *testing.T, w *world) {
	ctx := t.Context()
	on := true
	reconciletest.EachCallFailsOnce(t, map[string]func(*serving){
		"configure": func(s *serving) {
			s.ask(func() error {
				return s.c.Configure(ctx, arn, s.node, resource.NodeChange{Cordon: &on, SetLabels: map[string]string{"a": "1"}})
			})
		},
		"aws-auth": func(s *serving) {
			s.ask(func() error { return s.c.EnsureAWSAuthRole(ctx, arn, s.role) })
			s.ask(func() error { return s.c.EnsureAWSAuthRole(ctx, arn, s.role+"-2") })
			s.ask(func() error { return s.c.RemoveAWSAuthRole(ctx, arn, s.role+"-2") })
		},
		"drain": func(s *serving) { s.ask(func() error { return s.c.Drain(ctx, arn, s.node) }) },
	}, func(t *testing.T) *serving {
		mine := *w
		mine.t = t
		s := &serving{world: &mine, role: "arn:aws:iam::000000000000:role/faults"}
		mine.try("", http.MethodDelete, "/api/v1/namespaces/kube-system/configmaps/aws-auth", nil)
		var id string
		id, s.node = mine.launch()
		mine.join(s.node, id)
		s.restart()
		return s
	})
}
