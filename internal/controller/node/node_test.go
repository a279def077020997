package node

import (
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// TestCluster is all that needs an API server, in one: starting it takes longer than the rest.
func TestCluster(t *testing.T) {
	w := newWorld(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"node", testNode},
		{"foreign nodes", testForeignNodes},
		{"certificates", testCertificates},
		{"aws-auth", testAWSAuth},
		{"configure", testConfigure},
		{"drain", testDrain},
		{"faults", testFaults},
		{"reconnect", testReconnect},
		{"deleted cluster", testDeletedCluster},
	} {
		t.Run(part.name, func(t *testing.T) {
			mine := *w
			mine.t = t
			part.test(t, &mine)
		})
	}
}

// The life of a node, as a cluster sees it.
func testNode(t *testing.T, w *world) {
	instance, nodeName := w.launch()
	path := "/api/v1/nodes/" + nodeName
	began := time.Now()
	w.join(nodeName, instance)
	var n object
	eventually(t, "the taint is taken off", func() bool {
		n = w.get(path)
		for _, taint := range field(n, "spec", "taints").([]any) {
			if field(taint, "key") == uninitializedTaint {
				return false
			}
		}
		return true
	})
	t.Logf("initialized after %v", time.Since(began).Round(time.Millisecond))
	for label, want := range map[string]string{
		"kubernetes.io/os":                         "linux",
		"topology.kubernetes.io/zone":              "us-west-2b",
		"topology.kubernetes.io/region":            "us-west-2",
		"failure-domain.beta.kubernetes.io/zone":   "us-west-2b",
		"failure-domain.beta.kubernetes.io/region": "us-west-2",
		"node.kubernetes.io/instance-type":         "t3.medium",
		"beta.kubernetes.io/instance-type":         "t3.medium",
		"topology.k8s.aws/zone-id":                 "usw2-az2",
	} {
		if got := field(n, "metadata", "labels", label); got != want {
			t.Errorf("label %s is %v, want %s", label, got, want)
		}
	}
	if got := fmt.Sprint(field(n, "metadata", "labels", "k8s.io/cloud-provider-aws")); len(got) != 32 {
		t.Errorf("label k8s.io/cloud-provider-aws is %s", got)
	}
	want := "[map[address:" + address(nodeName) + " type:InternalIP] map[address:" + nodeName + " type:InternalDNS] map[address:" + nodeName + " type:Hostname]]"
	if got := fmt.Sprint(field(n, "status", "addresses")); got != want {
		t.Errorf("addresses %s, want %s", got, want)
	}
	if field(n, "spec", "taints", 0, "key") != "mine" {
		t.Errorf("another taint has gone: %v", field(n, "spec", "taints"))
	}

	for _, c := range []struct {
		status, reason string
		want           resource.Node
	}{
		{"False", "KubeletNotReady", resource.Node{Reason: "message of KubeletNotReady"}},
		{"True", "KubeletReady", resource.Node{Ready: true}},
		{"Unknown", "NodeStatusUnknown", resource.Node{Reason: "message of NodeStatusUnknown"}},
		{"True", "KubeletReady", resource.Node{Ready: true}},
	} {
		w.beat(nodeName, c.status, c.reason)
		c.want.Cluster, c.want.Name, c.want.Instance, c.want.Version = arn, nodeName, instance, "v1.35.4-eks-0000000"
		c.want.Since = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
		if !c.want.Ready {
			c.want.Conditions = []resource.NodeCondition{{Type: "Ready", Reason: c.reason, Since: c.want.Since}}
		}
		eventually(t, "the record says "+c.reason, func() bool { got, _ := w.record(nodeName); return equal(got, c.want) })
	}
	// A heartbeat is nothing new.
	writes := make(chan store.Change, 100)
	w.store.Subscribe(func(changes []store.Change) {
		for _, ch := range changes {
			if ch.Table == store.Nodes {
				writes <- ch
			}
		}
	})
	for range 3 {
		w.beat(nodeName, "True", "KubeletReady")
	}
	w.do(http.MethodPatch, path, object{"spec": object{"unschedulable": true}})
	eventually(t, "the record says that it is cordoned", func() bool { got, _ := w.record(nodeName); return got.Cordoned })
	if len(writes) != 1 {
		t.Errorf("heartbeats and a cordon are written %d times", len(writes))
	}

	putInstance(t, w.store, instance, address(nodeName), "shutting-down")
	putInstance(t, w.store, instance, address(nodeName), "terminated")
	eventually(t, "the node goes with its instance", func() bool { return w.absent(path) })
	eventually(t, "and its record", func() bool { _, ok := w.record(nodeName); return !ok })
	if errs := w.nodes.Errors(); len(errs) > 0 {
		t.Error(errs)
	}
}

// Nodes that are no instances of ours are left alone, but for those whose instance has gone.
func testForeignNodes(t *testing.T, w *world) {
	instance, nodeName := w.launch()
	w.do(http.MethodPost, "/api/v1/nodes", object{"metadata": object{"name": "plain"}})
	w.do(http.MethodPost, "/api/v1/nodes", object{"metadata": object{"name": "hybrid"}, "spec": object{"providerID": "eks-hybrid:///us-west-2/c1/mi-1"}})
	w.do(http.MethodPost, "/api/v1/nodes", object{"metadata": object{"name": "lost"}, "spec": object{"providerID": "aws:///us-west-2a/i-00000000000000000"}})
	// A node without a provider id is found by its name, and may have no labels.
	w.do(http.MethodPost, "/api/v1/nodes", object{"metadata": object{"name": nodeName}, "spec": object{"taints": []object{{"key": uninitializedTaint, "effect": "NoSchedule"}}}})
	eventually(t, "a node whose instance is not there is deleted", func() bool { return w.absent("/api/v1/nodes/lost") })
	eventually(t, "the node gets a provider id", func() bool {
		n := w.get("/api/v1/nodes/" + nodeName)
		return field(n, "spec", "providerID") == "aws:///us-west-2b/"+instance && field(n, "spec", "taints", 0) == nil ||
			field(n, "spec", "taints", 0, "key") != uninitializedTaint && field(n, "spec", "providerID") != nil
	})
	for _, name := range []string{"plain", "hybrid"} {
		eventually(t, "it has a record", func() bool { n, ok := w.record(name); return ok && !n.Ready && n.Instance == "" })
		w.get("/api/v1/nodes/" + name)
	}
}

// A control plane that dies is watched again, and what has happened meanwhile is seen.
func testReconnect(t *testing.T, w *world) {
	instance, nodeName := w.launch()
	w.join(nodeName, instance)
	eventually(t, "there is a record", func() bool { _, ok := w.record(nodeName); return ok })
	st := w.boot()
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// And nobody holds its listeners for the next one: the daemon is away too.
	if err := w.run.Stop(t.Context(), w.plane.Dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss shows", func() bool { return w.nodes.Errors()[arn] != nil })
	if err := w.store.Update(t.Context(), func(tx *store.Tx) error { // of a node that has gone unseen
		tx.Nodes.Put(resource.NodeKey(arn, "gone"), resource.Node{Cluster: arn, Name: "gone"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.boot()
	began := time.Now()
	eventually(t, "the loss is over", func() bool { return len(w.nodes.Errors()) == 0 })
	t.Logf("watched again after %v", time.Since(began).Round(time.Millisecond))
	w.beat(nodeName, "True", "KubeletReady")
	eventually(t, "the node is seen", func() bool { n, _ := w.record(nodeName); return n.Ready })
	eventually(t, "a record without a node goes", func() bool { _, ok := w.record("gone"); return !ok })
}

// A cluster that goes is not watched any longer.
func testDeletedCluster(t *testing.T, w *world) {
	instance, nodeName := w.launch()
	w.join(nodeName, instance)
	eventually(t, "there is a record", func() bool { _, ok := w.record(nodeName); return ok })
	err := w.store.Update(t.Context(), func(tx *store.Tx) error {
		cl, _ := tx.Clusters.Get(arn)
		cl.Deleting = true
		tx.Clusters.Put(arn, cl)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.nodes.watched(arn) != nil {
		t.Error("it is still watched")
	}
	if _, ok := w.nodes.AWSAuth(arn); ok {
		t.Error("it still has an aws-auth")
	}
}

func testConfigure(t *testing.T, w *world) {
	instance, nodeName := w.launch()
	w.join(nodeName, instance)
	change := resource.NodeChange{
		SetLabels: map[string]string{"a": "1", "b/c": "2"}, RemoveLabels: []string{"kubernetes.io/os", "absent"},
		SetTaints: []resource.Taint{{Key: "mine", Value: "v", Effect: "NO_SCHEDULE"}, {Key: "new", Effect: "PREFER_NO_SCHEDULE"}},
	}
	if err := w.nodes.Configure(t.Context(), arn, nodeName, change); err != nil {
		t.Fatal(err)
	}
	n := w.get("/api/v1/nodes/" + nodeName)
	if got := field(n, "metadata", "labels", "b/c"); got != "2" {
		t.Errorf("label b/c is %v", got)
	}
	if got := field(n, "metadata", "labels", "kubernetes.io/os"); got != nil {
		t.Errorf("the removed label is %v", got)
	}
	taintsOf := func() (out []string) {
		for _, taint := range field(w.get("/api/v1/nodes/"+nodeName), "spec", "taints").([]any) {
			if key := fmt.Sprint(field(taint, "key")); key == "mine" || key == "new" {
				out = append(out, fmt.Sprint(key, "=", field(taint, "value"), ":", field(taint, "effect")))
			}
		}
		return out
	}
	if got, want := taintsOf(), []string{"mine=v:NoSchedule", "new=<nil>:PreferNoSchedule"}; !slices.Equal(got, want) {
		t.Errorf("taints %v, want %v", got, want)
	}
	err := w.nodes.Configure(t.Context(), arn, nodeName, resource.NodeChange{RemoveTaints: []resource.Taint{
		{Key: "mine", Value: "whatever", Effect: "NO_SCHEDULE"}, {Key: "new", Effect: "NO_EXECUTE"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := taintsOf(), []string{"new=<nil>:PreferNoSchedule"}; !slices.Equal(got, want) {
		t.Errorf("taints %v, want %v", got, want)
	}
	if err := w.nodes.Configure(t.Context(), arn, "absent", change); err != nil {
		t.Errorf("a node that is no more: %v", err)
	}
}
