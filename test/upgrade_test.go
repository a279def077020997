package test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ekster.dev/ekster/test/lab"
)

// An upgrade is a cluster that is taken from version to version while it is used.
type upgrade struct {
	daemon  *lab.Daemon
	cloud   *lab.Cloud
	kube    *lab.Kube
	uid     string // of the namespace kube-system: the cluster's data
	watcher *watcher
	written []string // what was written while something happened
}

const (
	objects  = 500
	rolled   = 3 // nodes of the group that is rolled
	replicas = 5
)

// TestUpgrade takes a cluster with objects and a served workload through the versions that
// are built, a step back, to one that does not come up and on again, and its nodes after it.
func TestUpgrade(t *testing.T) {
	watch := newStopwatch(t)
	payload := t.TempDir()
	d, cloud := newDaemon(t, func(d *lab.Daemon) {
		no(t, d.OwnPayload(payload))
		d.Flags = append(d.Flags, "--drained-pause", "2s")
	})
	versions := d.Versions()
	if len(versions) < 2 {
		t.Skipf("only %v is built, and an upgrade needs two versions (make payload)", versions)
	}
	u := &upgrade{daemon: d, cloud: cloud}
	land, err := cloud.Landscape(t.Context())
	no(t, err)
	_, err = cloud.EKS.CreateCluster(t.Context(), land.ClusterInput(clusterName, versions[0]))
	no(t, err)
	began := time.Now()
	cl, err := cloud.AwaitCluster(t.Context(), clusterName)
	no(t, err)
	t.Logf("create of %s: %.1fs", versions[0], time.Since(began).Seconds())
	u.kube, err = cloud.Kube(cl)
	no(t, err)
	for name, n := range map[string]int32{groupName: rolled, "steady": 1} {
		in := land.NodegroupInput(clusterName, name, n)
		in.Labels = map[string]string{"group": name}
		_, err := cloud.EKS.CreateNodegroup(t.Context(), in)
		no(t, err)
	}
	for _, name := range []string{groupName, "steady"} {
		_, err := cloud.AwaitNodegroup(t.Context(), clusterName, name)
		no(t, err)
	}
	u.populate(t)
	watch.done("cluster, nodes, objects")
	t.Run("public endpoint", u.publicEndpoint)
	t.Run("insights", u.insights)
	watch.done("endpoint, insights")
	for _, v := range versions[1:] {
		t.Run("control plane to "+v, func(t *testing.T) { u.plane(t, v, types.UpdateTypeVersionUpdate) })
		watch.done("control plane to " + v)
	}
	last, before := versions[len(versions)-1], versions[len(versions)-2]
	t.Run("control plane back to "+before, func(t *testing.T) { u.plane(t, before, types.UpdateTypeVersionRollback) })
	watch.done("control plane back")
	t.Run("control plane to a broken "+last, func(t *testing.T) { u.broken(t, last) })
	watch.done("broken version")
	t.Run("control plane again to "+last, func(t *testing.T) { u.plane(t, last, types.UpdateTypeVersionUpdate) })
	watch.done("control plane again to " + last)
	t.Run("nodes", func(t *testing.T) { u.roll(t, last) })
	watch.done("nodes")
}

// populate makes objects and the workload: a Deployment behind a budget, whose pods leave
// their endpoints before they end, and somebody on another node who asks for its pages.
func (u *upgrade) populate(t *testing.T) {
	ctx := t.Context()
	for i := range objects {
		_, err := u.kube.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("object-", i)}, Data: map[string]string{"n": fmt.Sprint(i)},
		}, metav1.CreateOptions{})
		no(t, err)
	}
	ns, err := u.kube.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
	no(t, err)
	u.uid = string(ns.UID)
	no(t, createWeb(ctx, u.kube, replicas, func(spec *corev1.PodSpec) {
		spec.NodeSelector = map[string]string{"group": groupName}
		spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
		spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}}}
	}))
	_, err = u.kube.PolicyV1().PodDisruptionBudgets("default").Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromString("80%")), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}, metav1.CreateOptions{})
	no(t, err)
	u.settled(t)
	_, err = u.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "asker", Labels: map[string]string{"app": "asker"}}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"group": "steady"}, Containers: []corev1.Container{{Name: "hello", Image: helloImage, Args: []string{"ask", "-i", "50ms", webURL}}},
	}}, metav1.CreateOptions{})
	no(t, err)
	_, err = u.kube.AwaitPods(ctx, "default", "app=asker", 1)
	no(t, err)
	u.watcher = startWatcher(t, u.kube)
}

// settled waits until the workload is whole.
func (u *upgrade) settled(t *testing.T) {
	no(t, lab.Until(t.Context(), 2*time.Minute, "the Deployment to be whole", func(ctx context.Context) (bool, string, error) {
		d, err := u.kube.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return whole(d), fmt.Sprintf("%+v", d.Status), nil
	}))
}

func whole(d *appsv1.Deployment) bool {
	s := d.Status
	return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == replicas && s.Replicas == replicas && s.AvailableReplicas == replicas
}

// during does something to the control plane while it is used: it is read, written and
// watched, and the workload is asked for its pages.
func (u *upgrade) during(t *testing.T, what string, act func()) {
	t.Helper()
	maps := u.kube.CoreV1().ConfigMaps("default")
	before := len(answers(t, u.kube))
	reader := startCaller(t, 20*time.Millisecond, func(ctx context.Context) error {
		_, err := maps.Get(ctx, "object-1", metav1.GetOptions{})
		return err
	})
	var written []string
	writer := startCaller(t, 50*time.Millisecond, func(ctx context.Context) error {
		name := fmt.Sprint("object-", objects+len(u.written)+len(written))
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) { // it was, although the answer is lost
			written = append(written, name)
			return nil
		}
		return err
	})
	began := time.Now()
	act()
	took := time.Since(began)
	t.Logf("%s in %.1fs; reads: %s; writes: %s", what, took.Seconds(), reader.end(), writer.end())
	for _, c := range []*caller{reader, writer} {
		if c.twice > 0 {
			t.Errorf("failed twice: %v", c.first)
		}
	}
	u.written = append(u.written, written...)
	u.watcher.saw(t, u.written)
	told := answers(t, u.kube)[before:]
	if bad := refused(told); len(bad) > 0 || len(told) == 0 {
		t.Errorf("of %d requests to the workload %d failed: %v", len(told), len(bad), bad)
	}
	t.Logf("%d requests to the workload meanwhile", len(told))
}

// plane moves the control plane to another version, while it is used.
func (u *upgrade) plane(t *testing.T, version string, kind types.UpdateType) {
	ctx := t.Context()
	before, err := u.cloud.Cluster(ctx, clusterName)
	no(t, err)
	u.during(t, string(kind)+" to "+version, func() {
		out, err := u.cloud.EKS.UpdateClusterVersion(ctx, &eks.UpdateClusterVersionInput{Name: new(clusterName), Version: &version})
		no(t, err)
		if out.Update.Type != kind {
			t.Errorf("the update's type is %s", out.Update.Type)
		}
		if c, err := u.cloud.Cluster(ctx, clusterName); err != nil || c.Status != types.ClusterStatusUpdating {
			t.Errorf("after the call it is %v, %v", c.Status, err)
		}
		succeeded(t, u.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id}, time.Minute)
	})
	u.is(t, version, before)
}

// is asserts the control plane's version, and that all else is what it was.
func (u *upgrade) is(t *testing.T, version string, before *types.Cluster) {
	t.Helper()
	ctx := t.Context()
	after, err := u.cloud.Cluster(ctx, clusterName)
	no(t, err)
	if *after.Version != version || after.Status != types.ClusterStatusActive || *after.Endpoint != *before.Endpoint || *after.CertificateAuthority.Data != *before.CertificateAuthority.Data {
		t.Errorf("%s %s at %s, before at %s", *after.Version, after.Status, *after.Endpoint, *before.Endpoint)
	}
	v, err := u.kube.Discovery().ServerVersion()
	no(t, err)
	if v.Major+"."+v.Minor != version {
		t.Errorf("the API server is %s", v.GitVersion)
	}
	ns, err := u.kube.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
	no(t, err)
	all, err := u.kube.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	no(t, err)
	have := map[string]bool{}
	for _, m := range all.Items {
		have[m.Name] = true
	}
	for i := range objects + len(u.written) {
		if name := fmt.Sprint("object-", i); !have[name] {
			t.Errorf("%s is lost", name)
		}
	}
	if string(ns.UID) != u.uid {
		t.Errorf("kube-system is %s, was %s", ns.UID, u.uid)
	}
}

// broken tries a version whose control plane ends at once: the update fails and says so, and
// the cluster goes on with the version that it has.
func (u *upgrade) broken(t *testing.T, version string) {
	ctx := t.Context()
	before, err := u.cloud.Cluster(ctx, clusterName)
	no(t, err)
	mend, err := u.daemon.Break(version)
	no(t, err)
	u.during(t, "an update to a broken "+version, func() {
		out, err := u.cloud.EKS.UpdateClusterVersion(ctx, &eks.UpdateClusterVersionInput{Name: new(clusterName), Version: &version})
		no(t, err)
		up := ended(t, u.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id}, 2*time.Minute)
		if up.Status != types.UpdateStatusFailed || len(up.Errors) != 1 || !strings.Contains(*up.Errors[0].ErrorMessage, lab.Broken) {
			t.Errorf("it has ended as %s: %s", up.Status, errorsOf(up))
		}
		t.Log(errorsOf(up))
	})
	no(t, mend())
	u.is(t, *before.Version, before)
}

func (u *upgrade) roll(t *testing.T, version string) {
	ctx := t.Context()
	before := len(answers(t, u.kube))
	began := time.Now()
	out, err := u.cloud.EKS.UpdateNodegroupVersion(ctx, &eks.UpdateNodegroupVersionInput{ClusterName: aws.String(clusterName), NodegroupName: aws.String(groupName), Version: &version})
	no(t, err)
	succeeded(t, u.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id, NodegroupName: aws.String(groupName)}, 12*time.Minute)
	told := answers(t, u.kube)[before:]
	bad := refused(told)
	t.Logf("%d nodes to %s in %.1fs; of %d requests to the workload %d failed", rolled, version, time.Since(began).Seconds(), len(told), len(bad))
	if len(bad) > 0 || len(told) == 0 {
		t.Errorf("requests failed: %v", bad)
	}
	nodes, err := u.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "group=" + groupName})
	no(t, err)
	want, err := versionOf(ctx, u.kube)
	no(t, err)
	for _, n := range nodes.Items {
		if n.Status.NodeInfo.KubeletVersion != want || n.Spec.Unschedulable {
			t.Errorf("node %s runs %s, cordoned: %t", n.Name, n.Status.NodeInfo.KubeletVersion, n.Spec.Unschedulable)
		}
	}
	if len(nodes.Items) != rolled {
		t.Errorf("%d nodes", len(nodes.Items))
	}
	u.settled(t)
}

// versionOf is the API server's version, which nodes of the same minor version have too.
func versionOf(_ context.Context, k *lab.Kube) (string, error) {
	v, err := k.Discovery().ServerVersion()
	if err != nil {
		return "", err
	}
	return v.GitVersion, nil
}

// publicEndpoint closes and opens the cluster to the host, which is its internet.
func (u *upgrade) publicEndpoint(t *testing.T) {
	ctx := t.Context()
	set := func(open bool) {
		out, err := u.cloud.EKS.UpdateClusterConfig(ctx, &eks.UpdateClusterConfigInput{Name: aws.String(clusterName), ResourcesVpcConfig: &types.VpcConfigRequest{
			EndpointPublicAccess: &open, EndpointPrivateAccess: aws.Bool(true),
		}})
		no(t, err)
		succeeded(t, u.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id}, time.Minute)
	}
	set(false)
	if _, err := u.kube.Discovery().ServerVersion(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed endpoint answers %v", err)
	}
	out, err := u.cloud.EKS.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: aws.String(clusterName), NodegroupName: aws.String(groupName)})
	if err != nil || out.Nodegroup.Status != types.NodegroupStatusActive {
		t.Errorf("the node group is %+v, %v", out, err)
	}
	set(true)
	_, err = u.kube.AwaitNodes(ctx, rolled+1)
	no(t, err)
}

// insights have the cluster looked into.
func (u *upgrade) insights(t *testing.T) {
	ctx := t.Context()
	_, err := u.cloud.EKS.StartInsightsRefresh(ctx, &eks.StartInsightsRefreshInput{ClusterName: aws.String(clusterName)})
	no(t, err)
	no(t, lab.Until(ctx, 30*time.Second, "the refresh of insights", func(ctx context.Context) (bool, string, error) {
		out, err := u.cloud.EKS.DescribeInsightsRefresh(ctx, &eks.DescribeInsightsRefreshInput{ClusterName: aws.String(clusterName)})
		if err != nil {
			return false, "", err
		}
		return out.Status == types.InsightsRefreshStatusCompleted, aws.ToString(out.Message), nil
	}))
	out, err := u.cloud.EKS.ListInsights(ctx, &eks.ListInsightsInput{ClusterName: aws.String(clusterName)})
	no(t, err)
	for _, i := range out.Insights {
		if i.InsightStatus.Status != types.InsightStatusValuePassing {
			t.Errorf("%s for %s is %s: %s", *i.Name, *i.KubernetesVersion, i.InsightStatus.Status, *i.InsightStatus.Reason)
		}
	}
	if len(out.Insights) < 3 {
		t.Errorf("%d insights", len(out.Insights))
	}
}
