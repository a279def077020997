package test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ekster.dev/ekster/test/lab"
)

const addonTimeout = 4 * time.Minute

// TestAddons makes a cluster as eksctl does, whose add-ons are all EKS's, and has an
// autoscaler live on what metrics-server says.
func TestAddons(t *testing.T) {
	watch := newStopwatch(t)
	_, cloud := newDaemon(t)
	j := &job{cloud: cloud}
	land, err := cloud.Landscape(t.Context())
	no(t, err)
	in := land.ClusterInput(clusterName, "")
	in.BootstrapSelfManagedAddons = new(false)
	_, err = cloud.EKS.CreateCluster(t.Context(), in)
	no(t, err)
	j.cluster, err = cloud.AwaitCluster(t.Context(), clusterName)
	no(t, err)
	j.kube, err = cloud.Kube(j.cluster)
	no(t, err)
	sets, err := j.kube.AppsV1().DaemonSets("kube-system").List(t.Context(), metav1.ListOptions{})
	no(t, err)
	if len(sets.Items) > 0 {
		t.Errorf("a cluster without self-managed add-ons has %d DaemonSets", len(sets.Items))
	}
	watch.done("cluster")

	for _, name := range []string{"vpc-cni", "kube-proxy", "coredns"} {
		j.createAddon(t, name, "")
	}
	no(t, j.awaitAddon(t.Context(), "vpc-cni", types.AddonStatusActive))
	no(t, j.awaitAddon(t.Context(), "kube-proxy", types.AddonStatusActive))
	_, err = cloud.EKS.CreateNodegroup(t.Context(), land.NodegroupInput(clusterName, groupName, 2))
	no(t, err)
	_, err = cloud.AwaitNodegroup(t.Context(), clusterName, groupName)
	no(t, err)
	no(t, j.awaitAddon(t.Context(), "coredns", types.AddonStatusActive))
	watch.done("add-ons and nodes")
	no(t, createWeb(t.Context(), j.kube, 1))
	_, err = j.kube.AwaitPods(t.Context(), "default", "app=web", 1)
	no(t, err)
	page, err := ask(t.Context(), j.kube, "probe", webURL)
	no(t, err)
	wantPage(t, page, "pod:    web-")
	watch.done("a page by its Service's name")

	j.createAddon(t, "metrics-server", `{"replicas":1,"args":["--metric-resolution=10s","--kubelet-request-timeout=5s"]}`)
	no(t, j.awaitAddon(t.Context(), "metrics-server", types.AddonStatusActive))
	watch.done("metrics-server")
	t.Run("top", j.top)
	watch.done("top")
	t.Run("autoscaler", j.autoscale)
	watch.done("autoscaler")
	t.Run("update", j.updateAddon)
	watch.done("update")
	no(t, cloud.DeleteNodegroup(t.Context(), clusterName, groupName))
	no(t, cloud.DeleteCluster(t.Context(), clusterName))
}

// createAddon makes an add-on as eksctl does.
func (j *job) createAddon(t *testing.T, name, configuration string) {
	t.Helper()
	ctx := t.Context()
	_, err := j.cloud.EKS.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: new(clusterName), AddonName: &name})
	if lab.Code(err) != "ResourceNotFoundException" {
		t.Fatalf("add-on %s, which is not there: %v", name, err)
	}
	versions, err := j.cloud.EKS.DescribeAddonVersions(ctx, &eks.DescribeAddonVersionsInput{AddonName: &name, KubernetesVersion: j.cluster.Version})
	no(t, err)
	in := &eks.CreateAddonInput{ClusterName: new(clusterName), AddonName: &name, ResolveConflicts: types.ResolveConflictsOverwrite}
	for _, v := range versions.Addons[0].AddonVersions {
		if slices.ContainsFunc(v.Compatibilities, func(c types.Compatibility) bool { return c.DefaultVersion }) {
			in.AddonVersion = v.AddonVersion
		}
	}
	if configuration != "" {
		in.ConfigurationValues = &configuration
	}
	_, err = j.cloud.EKS.DescribeAddonConfiguration(ctx, &eks.DescribeAddonConfigurationInput{AddonName: &name, AddonVersion: in.AddonVersion})
	no(t, err)
	_, err = j.cloud.EKS.CreateAddon(ctx, in)
	no(t, err)
}

func (j *job) awaitAddon(ctx context.Context, name string, status types.AddonStatus) error {
	return lab.Until(ctx, addonTimeout, fmt.Sprintf("add-on %s to be %s", name, status), func(ctx context.Context) (bool, string, error) {
		out, err := j.cloud.EKS.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: new(clusterName), AddonName: &name})
		if err != nil {
			return false, "", err
		}
		issues, err := json.Marshal(out.Addon.Health)
		return out.Addon.Status == status, string(out.Addon.Status) + " " + string(issues), err
	})
}

// usage is what metrics.k8s.io says of nodes or pods.
type usage struct {
	Items []struct {
		Metadata   metav1.ObjectMeta
		Usage      corev1.ResourceList
		Containers []struct {
			Name  string
			Usage corev1.ResourceList
		}
	}
}

func (j *job) usage(ctx context.Context, path string) (u usage, err error) {
	raw, err := j.kube.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/" + path).DoRaw(ctx)
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal(raw, &u)
}

// top is what `kubectl top nodes` and `kubectl top pods` ask.
func (j *job) top(t *testing.T) {
	no(t, lab.Until(t.Context(), addonTimeout, "usage of nodes and pods", func(ctx context.Context) (bool, string, error) {
		nodes, err := j.usage(ctx, "nodes")
		if err != nil {
			return false, err.Error(), nil // the aggregation layer is not there at once
		}
		pods, err := j.usage(ctx, "namespaces/default/pods")
		if err != nil {
			return false, err.Error(), nil
		}
		if len(nodes.Items) != 2 || len(pods.Items) == 0 {
			return false, fmt.Sprintf("%d nodes, %d pods", len(nodes.Items), len(pods.Items)), nil
		}
		for _, n := range nodes.Items {
			if n.Usage.Memory().IsZero() || n.Usage.Cpu().IsZero() {
				return false, fmt.Sprintf("node %s: %v", n.Metadata.Name, n.Usage), nil
			}
			t.Logf("node %s: cpu %s, memory %s", n.Metadata.Name, n.Usage.Cpu(), n.Usage.Memory())
		}
		for _, p := range pods.Items {
			if p.Containers[0].Usage.Memory().IsZero() {
				return false, fmt.Sprintf("pod %s: %v", p.Metadata.Name, p.Containers), nil
			}
			t.Logf("pod %s: cpu %s, memory %s", p.Metadata.Name, p.Containers[0].Usage.Cpu(), p.Containers[0].Usage.Memory())
		}
		return true, "", nil
	}))
}

// autoscale has an autoscaler scale a Deployment up while it is asked for pages, and down
// when nobody asks any more.
func (j *job) autoscale(t *testing.T) {
	ctx := t.Context()
	labels := map[string]string{"app": "busy"}
	_, err := j.kube.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "busy"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "hello", Image: helloImage, Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m")},
			}}}},
		}},
	}, metav1.CreateOptions{})
	no(t, err)
	_, err = j.kube.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "busy"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	no(t, err)
	at := &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(0))}
	_, err = j.kube.AutoscalingV2().HorizontalPodAutoscalers("default").Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "busy"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "busy"},
			MinReplicas:    new(int32(1)), MaxReplicas: 3, Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: at, ScaleDown: at},
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50))},
			}}},
		},
	}, metav1.CreateOptions{})
	no(t, err)
	_, err = j.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "load"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "load", Image: helloImage, Args: []string{"load", "-c", "4", "-d", "10m", "http://busy.default.svc.cluster.local"}}},
	}}, metav1.CreateOptions{})
	no(t, err)
	scaled := func(n int32) {
		t.Helper()
		no(t, lab.Until(ctx, addonTimeout, fmt.Sprintf("%d replicas", n), func(ctx context.Context) (bool, string, error) {
			h, err := j.kube.AutoscalingV2().HorizontalPodAutoscalers("default").Get(ctx, "busy", metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			d, err := j.kube.AppsV1().Deployments("default").Get(ctx, "busy", metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			last, err := json.Marshal(h.Status)
			return d.Status.ReadyReplicas == n && d.Status.Replicas == n, string(last), err
		}))
	}
	scaled(3)
	no(t, j.kube.CoreV1().Pods("default").Delete(ctx, "load", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	scaled(1)
}

// updateAddon changes a configuration, and the cluster is as it says.
func (j *job) updateAddon(t *testing.T) {
	ctx := t.Context()
	out, err := j.cloud.EKS.UpdateAddon(ctx, &eks.UpdateAddonInput{ClusterName: new(clusterName), AddonName: new("coredns"), ConfigurationValues: new(`{"replicaCount":3}`)})
	no(t, err)
	no(t, lab.Until(ctx, addonTimeout, "the update to succeed", func(ctx context.Context) (bool, string, error) {
		u, err := j.cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(clusterName), AddonName: new("coredns"), UpdateId: out.Update.Id})
		if err != nil {
			return false, "", err
		}
		return u.Update.Status == types.UpdateStatusSuccessful, string(u.Update.Status), nil
	}))
	d, err := j.kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	no(t, err)
	if d.Status.AvailableReplicas != 3 {
		t.Errorf("%d replicas are available", d.Status.AvailableReplicas)
	}
}
