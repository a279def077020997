package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A drain evicts what has to go, and waits for budgets until its context ends.
func testDrain(t *testing.T, w *world) {
	id, nodeName := w.launch()
	w.join(nodeName, id)
	const pods = "/api/v1/namespaces/default/pods"
	eventually(t, "pods can be made", func() bool { return !w.absent("/api/v1/namespaces/default/serviceaccounts/default") })
	pod := func(name string, meta object) {
		t.Helper()
		metadata := object{"name": name, "labels": object{"app": name}}
		for k, v := range meta {
			metadata[k] = v
		}
		w.do(http.MethodPost, pods, object{"metadata": metadata, "spec": object{
			"nodeName": nodeName, "terminationGracePeriodSeconds": 0, "containers": []object{{"name": "c", "image": "i"}},
		}})
	}
	phase := func(name, phase string) {
		t.Helper()
		w.do(http.MethodPatch, pods+"/"+name+"/status", object{"status": object{"phase": phase, "conditions": []object{{"type": "Ready", "status": "True"}}}})
	}
	pod("plain", nil)
	pod("guarded", nil)
	phase("guarded", "Running")
	pod("daemon", object{"ownerReferences": []object{{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}}})
	pod("mirror", object{"annotations": object{"kubernetes.io/config.mirror": "x"}})
	pod("done", nil)
	phase("done", "Succeeded")
	const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
	w.do(http.MethodPost, budgets, object{"metadata": object{"name": "b"}, "spec": object{
		"minAvailable": 1, "selector": object{"matchLabels": object{"app": "guarded"}},
	}})
	eventually(t, "the budget counts its pod", func() bool {
		return field(w.get(budgets+"/b"), "status", "currentHealthy") == 1.0
	})

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := w.nodes.Drain(ctx, arn, nodeName)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "default/guarded (") || strings.Contains(err.Error(), "default/plain") {
		t.Errorf("a drain that a budget stops: %v", err)
	}
	if field(w.get("/api/v1/nodes/"+nodeName), "spec", "unschedulable") != true {
		t.Error("the node is not cordoned")
	}
	w.do(http.MethodDelete, budgets+"/b", nil)
	if err := w.nodes.Drain(t.Context(), arn, nodeName); err != nil {
		t.Errorf("a drain that nothing stops: %v", err)
	}
	for name, gone := range map[string]bool{"plain": true, "guarded": true, "mirror": false, "done": false} {
		if w.absent(pods+"/"+name) != gone {
			t.Errorf("pod %s: gone %v, want %v", name, !gone, gone)
		}
	}
	if err := w.nodes.Drain(t.Context(), arn, "absent"); err != nil {
		t.Errorf("a node that is no more: %v", err)
	}
	if err := w.nodes.Drain(t.Context(), "arn:absent", nodeName); err == nil {
		t.Error("a node of a cluster that is no more is drained")
	}
}
