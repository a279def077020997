package test

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/test/lab"
)

// groups is a cluster with node groups to which things happen.
type groups struct {
	daemon *lab.Daemon
	cloud  *lab.Cloud
	kube   *lab.Kube
	land   lab.Landscape
}

// replaceTimeout bounds what takes a control plane's 50 seconds until it misses a kubelet, a
// repair's wait and a new node.
const replaceTimeout = 4 * time.Minute

// drainTimeout is for how long pods are asked to leave a node; EKS asks for 15 minutes.
const drainTimeout = 10 * time.Second

// TestNodegroups is what happens to nodes that nobody asked for: a kubelet that falls silent,
// a Spot instance at risk and one taken back, a role that is not let in any more; a roll that
// a disruption budget forbids; and a group's way from no node to one and back.
func TestNodegroups(t *testing.T) {
	g := &groups{}
	g.daemon, g.cloud = newDaemon(t, func(d *lab.Daemon) {
		d.Flags = []string{"--node-repair-wait", "15s", "--drain-timeout", drainTimeout.String(), "--drained-pause", "1s"}
	})
	ctx := t.Context()
	watch := newStopwatch(t)
	var err error
	g.land, err = g.cloud.Landscape(ctx)
	no(t, err)
	_, err = g.cloud.EKS.CreateCluster(ctx, g.land.ClusterInput(clusterName, ""))
	no(t, err)
	cluster, err := g.cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	g.kube, err = g.cloud.Kube(cluster)
	no(t, err)
	// With two nodes of which one is always on its way out, its disruption budget would only
	// make everything wait for drains to give up.
	_, err = g.kube.AppsV1().Deployments("kube-system").Patch(ctx, "coredns", apitypes.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	no(t, err)
	_, err = g.cloud.EC2.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: new("mine")})
	no(t, err)
	repaired := g.land.NodegroupInput(clusterName, "repaired", 1)
	repaired.NodeRepairConfig = &types.NodeRepairConfig{Enabled: new(true)}
	repaired.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: new("mine")}
	spot := g.land.NodegroupInput(clusterName, "spot", 1)
	spot.CapacityType = types.CapacityTypesSpot
	rolled := g.land.NodegroupInput(clusterName, "rolled", 1)
	rolled.InstanceTypes, rolled.LaunchTemplate = nil, g.template(t, "t3.medium")
	empty := g.land.NodegroupInput(clusterName, "empty", 0)
	empty.ScalingConfig.MinSize, empty.Labels = new(int32(0)), map[string]string{"for": "pending"}
	empty.Taints = []types.Taint{{Key: new("batch"), Effect: types.TaintEffectNoSchedule}}
	for _, in := range []*eks.CreateNodegroupInput{repaired, spot, rolled, empty} {
		_, err := g.cloud.EKS.CreateNodegroup(ctx, in)
		no(t, err)
	}
	ng, err := g.cloud.AwaitNodegroup(ctx, clusterName, "repaired")
	no(t, err)
	for _, name := range []string{"spot", "rolled", "empty"} {
		_, err = g.cloud.AwaitNodegroup(ctx, clusterName, name)
		no(t, err)
	}
	watch.done("cluster and nodes")
	t.Run("issues", g.issues)
	watch.done("issues")
	t.Run("nodes", func(t *testing.T) {
		t.Run("silent kubelet", func(t *testing.T) { t.Parallel(); g.repair(t) })
		t.Run("spot", func(t *testing.T) { t.Parallel(); g.spot(t) })
		t.Run("forbidden roll", func(t *testing.T) { t.Parallel(); g.rolled(t) })
		t.Run("from zero and to zero", func(t *testing.T) { t.Parallel(); g.zero(t) })
	})
	watch.done("silent kubelet, and beside it Spot, a forbidden roll, no nodes")
	g.opened(t, *ng.Resources.RemoteAccessSecurityGroup)
	no(t, g.cloud.DeleteNodegroup(ctx, clusterName, "repaired"))
	_, err = g.cloud.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*ng.Resources.RemoteAccessSecurityGroup}})
	if lab.Code(err) != "InvalidGroup.NotFound" {
		t.Errorf("the security group of the deleted group's remoteAccess: %v", err)
	}
	for _, name := range []string{"spot", "rolled", "empty"} {
		no(t, g.cloud.DeleteNodegroup(ctx, clusterName, name))
	}
	no(t, g.cloud.DeleteCluster(ctx, clusterName))
	watch.done("deletion")
}

// issues has the nodes' role shut out, and let in again.
func (g *groups) issues(t *testing.T) {
	ctx := t.Context()
	_, err := g.cloud.EKS.DeleteAccessEntry(ctx, &eks.DeleteAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: &g.land.NodeRole})
	no(t, err)
	g.awaitHealth(t, types.NodegroupStatusDegraded, types.NodegroupIssueCodeAccessDenied)
	_, err = g.cloud.EKS.CreateAccessEntry(ctx, &eks.CreateAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: &g.land.NodeRole, Type: new("EC2_LINUX")})
	no(t, err)
	g.awaitHealth(t, types.NodegroupStatusActive)
	// Kubelets that were refused meanwhile come back before anything else happens to them.
	_, err = g.kube.AwaitNodes(ctx, 3)
	no(t, err)
}

func (g *groups) awaitHealth(t *testing.T, status types.NodegroupStatus, codes ...types.NodegroupIssueCode) {
	t.Helper()
	no(t, lab.Until(t.Context(), lab.NodesTimeout, fmt.Sprint("the group to be ", status, " with ", codes), func(ctx context.Context) (bool, string, error) {
		out, err := g.cloud.EKS.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: new(clusterName), NodegroupName: new("repaired")})
		if err != nil {
			return false, "", err
		}
		var have []types.NodegroupIssueCode
		for _, i := range out.Nodegroup.Health.Issues {
			have = append(have, i.Code)
		}
		return out.Nodegroup.Status == status && slices.Equal(have, codes), fmt.Sprint(out.Nodegroup.Status, have), nil
	}))
}

// nodes are the Nodes of a group, by their instances.
func (g *groups) nodes(ctx context.Context, group string) (map[string]corev1.Node, error) {
	list, err := g.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "eks.amazonaws.com/nodegroup=" + group})
	if err != nil {
		return nil, err
	}
	out := map[string]corev1.Node{}
	for _, n := range list.Items {
		out[n.Spec.ProviderID[len(n.Spec.ProviderID)-len("i-0123456789abcdef0"):]] = n
	}
	return out, nil
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// only is the one node that a group has.
func (g *groups) only(t *testing.T, group string) string {
	t.Helper()
	nodes, err := g.nodes(t.Context(), group)
	no(t, err)
	for id := range nodes {
		if len(nodes) == 1 {
			return id
		}
	}
	t.Fatalf("group %s has %d nodes", group, len(nodes))
	return ""
}

// another waits until a group has another node than before, Ready, and before is no more.
// Nodes are counted on the way: at least one that serves, if one is to be there always.
func (g *groups) another(t *testing.T, group, before string, always bool) string {
	t.Helper()
	after := ""
	no(t, lab.Until(t.Context(), replaceTimeout, "another node of group "+group, func(ctx context.Context) (bool, string, error) {
		nodes, err := g.nodes(ctx, group)
		if err != nil {
			return false, "", err
		}
		serving, last := 0, ""
		for id, n := range nodes {
			if nodeReady(&n) && !n.Spec.Unschedulable {
				serving++
				after = id
			}
			last += fmt.Sprintf("%s ready %v, cordoned %v; ", id, nodeReady(&n), n.Spec.Unschedulable)
		}
		if always && serving == 0 {
			return false, "", fmt.Errorf("no node takes pods: %s", last)
		}
		_, old := nodes[before]
		return !old && serving == 1 && len(nodes) == 1, last, nil
	}))
	return after
}

// repair stops a kubelet as one that hangs, and the node is replaced.
func (g *groups) repair(t *testing.T) {
	ctx, id := t.Context(), g.only(t, "repaired")
	init, err := g.daemon.InstancePID(id)
	no(t, err)
	kubelet, err := lab.ChildPID(init, "kubelet")
	no(t, err)
	no(t, syscall.Kill(kubelet, syscall.SIGSTOP))
	began := time.Now()
	after := g.another(t, "repaired", id, false)
	t.Logf("%s, whose kubelet is silent, was replaced by %s within %s", id, after, time.Since(began).Round(time.Second))
	out, err := g.cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	no(t, err)
	if s := out.Reservations[0].Instances[0].State.Name; s != ec2types.InstanceStateNameTerminated && s != ec2types.InstanceStateNameShuttingDown {
		t.Errorf("its instance is %s", s)
	}
}

// spot recommends a node's replacement, and then takes back the one that came.
func (g *groups) spot(t *testing.T) {
	ctx, id := t.Context(), g.only(t, "spot")
	_, err := g.daemon.Run(ctx, "fault", "spot", id, "--rebalance")
	no(t, err)
	began := time.Now()
	next := g.another(t, "spot", id, true)
	t.Logf("%s, at risk, was replaced within %s", id, time.Since(began).Round(time.Second))
	nodes, err := g.nodes(ctx, "spot")
	no(t, err)
	if label := nodes[next].Labels["eks.amazonaws.com/capacityType"]; label != "SPOT" {
		t.Errorf("its successor has the capacity type %q", label)
	}
	_, err = g.daemon.Run(ctx, "fault", "spot", next)
	no(t, err)
	began = time.Now()
	g.another(t, "spot", next, false)
	t.Logf("%s, taken back, was replaced within %s", next, time.Since(began).Round(time.Second))
}

// opened asserts what a remoteAccess without sources opens, and that the instance has it.
func (g *groups) opened(t *testing.T, group string) {
	t.Helper()
	ctx := t.Context()
	out, err := g.cloud.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{group}})
	no(t, err)
	p := out.SecurityGroups[0].IpPermissions
	if len(p) != 1 || *p[0].FromPort != 22 || *p[0].ToPort != 22 || len(p[0].IpRanges) != 1 || *p[0].IpRanges[0].CidrIp != "0.0.0.0/0" {
		t.Errorf("it lets in %+v", p)
	}
	instances, err := g.cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{g.only(t, "repaired")}})
	no(t, err)
	i := instances.Reservations[0].Instances[0]
	if *i.KeyName != "mine" || !slices.ContainsFunc(i.SecurityGroups, func(s ec2types.GroupIdentifier) bool { return *s.GroupId == group }) {
		t.Errorf("the instance has key %s and groups %+v", *i.KeyName, i.SecurityGroups)
	}
}
