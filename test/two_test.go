package test

import (
	"context"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/test/lab"
)

// TestTwoDaemons runs two on one machine, each with a cluster of the same name and a node,
// in VPCs with the same addresses. Neither notices the other, nor its end.
func TestTwoDaemons(t *testing.T) {
	watch := newStopwatch(t)
	type one struct {
		daemon  *lab.Daemon
		cloud   *lab.Cloud
		cluster *types.Cluster
		kube    *lab.Kube
		err     error
	}
	var both [2]one
	for i := range both {
		both[i].daemon, both[i].cloud = newDaemon(t)
	}
	var wg sync.WaitGroup
	for i := range both {
		o := &both[i]
		wg.Go(func() { o.cluster, o.kube, o.err = populate(t.Context(), o.cloud) })
	}
	wg.Wait()
	watch.done("two clusters with a node and a workload each")
	a, b := &both[0], &both[1]
	no(t, a.err)
	no(t, b.err)
	if *a.cluster.Endpoint == *b.cluster.Endpoint {
		t.Errorf("both clusters are at %s", *a.cluster.Endpoint)
	}
	ctx := t.Context()
	for i := range both {
		out, err := both[i].cloud.EKS.ListClusters(ctx, &eks.ListClustersInput{})
		no(t, err)
		if len(out.Clusters) != 1 {
			t.Errorf("daemon %d has clusters %v", i, out.Clusters)
		}
		nodes, err := both[i].kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		no(t, err)
		if len(nodes.Items) != 1 {
			t.Errorf("the cluster of daemon %d has %d nodes", i, len(nodes.Items))
		}
	}
	// A token of one daemon's caller is nothing to the other's cluster.
	stranger, err := a.cloud.Kube(b.cluster)
	no(t, err)
	if _, err := stranger.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err == nil {
		t.Error("a token of one daemon is accepted by the other's cluster")
	}
	plane, err := b.daemon.PlanePID(ctx, clusterName)
	no(t, err)
	st, err := b.daemon.Status(ctx)
	no(t, err)
	node, err := b.daemon.InstancePID(st.Machines[0].ID)
	no(t, err)

	purge(t, a.daemon)
	watch.done("purge of one")

	if pid, err := b.daemon.PlanePID(ctx, clusterName); err != nil || pid != plane {
		t.Errorf("the other's control plane was process %d and is %d (%v)", plane, pid, err)
	}
	if pid, err := b.daemon.InstancePID(st.Machines[0].ID); err != nil || pid != node {
		t.Errorf("the other's instance was process %d and is %d (%v)", node, pid, err)
	}
	page, err := ask(ctx, b.kube, "after", webURL)
	no(t, err)
	wantPage(t, page)
	purge(t, b.daemon)
	watch.done("purge of the other")
}

// populate makes a cluster with a node and a workload that answers.
func populate(ctx context.Context, cloud *lab.Cloud) (*types.Cluster, *lab.Kube, error) {
	land, err := cloud.Landscape(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := cloud.EKS.CreateCluster(ctx, land.ClusterInput(clusterName, "")); err != nil {
		return nil, nil, err
	}
	cl, err := cloud.AwaitCluster(ctx, clusterName)
	if err != nil {
		return cl, nil, err
	}
	kube, err := cloud.Kube(cl)
	if err != nil {
		return cl, nil, err
	}
	if _, err := cloud.EKS.CreateNodegroup(ctx, land.NodegroupInput(clusterName, groupName, 1)); err != nil {
		return cl, kube, err
	}
	if _, err := kube.AwaitNodes(ctx, 1); err != nil {
		return cl, kube, err
	}
	if err := createWeb(ctx, kube, 1); err != nil {
		return cl, kube, err
	}
	for namespace, app := range map[string]string{"default": "app=web", "kube-system": "k8s-app=kube-dns"} {
		n := map[string]int{"default": 1, "kube-system": 2}[namespace]
		if _, err := kube.AwaitPods(ctx, namespace, app, n); err != nil {
			return cl, kube, err
		}
	}
	_, err = ask(ctx, kube, "before", webURL)
	return cl, kube, err
}
