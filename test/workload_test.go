package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ekster.dev/ekster/test/lab"
)

const (
	helloImage = "registry.ekster.internal/hello:v1"
	webURL     = "http://web.default.svc.cluster.local"
)

// workload runs what people run on a cluster, each in a subtest.
func (j *job) workload(t *testing.T) {
	no(t, createWeb(t.Context(), j.kube, 4))
	pods, err := j.kube.AwaitPods(t.Context(), "default", "app=web", 4)
	no(t, err)
	for _, p := range pods {
		if !strings.HasPrefix(p.Status.PodIP, "172.31.") {
			t.Errorf("pod %s has address %s, which is none of the VPC's", p.Name, p.Status.PodIP)
		}
	}
	t.Run("Service by name", j.probe)
	t.Run("exec", func(t *testing.T) {
		out, err := j.kube.Exec(t.Context(), "default", pods[0].Name, "/hello", "get", "http://localhost:8080/")
		no(t, err)
		wantPage(t, out, "pod:    "+pods[0].Name)
	})
	t.Run("port-forward", func(t *testing.T) {
		out, err := j.kube.Fetch(t.Context(), "default", pods[1].Name, 8080, "/")
		no(t, err)
		wantPage(t, out, "pod:    "+pods[1].Name)
	})
	t.Run("NodePort", j.nodePort)
	t.Run("ConfigMap and Secret as environment", j.environment)
	t.Run("probes", j.probes)
	t.Run("Job", j.batch)
	t.Run("volumes", j.volumes)
}

// createWeb is `kubectl create deployment web` and `kubectl expose`.
func createWeb(ctx context.Context, k *lab.Kube, replicas int32, change ...func(*corev1.PodSpec)) error {
	labels := map[string]string{"app": "web"}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "hello", Image: helloImage}}}
	for _, f := range change {
		f(&spec)
	}
	_, err := k.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       spec,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = k.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	return err
}

// ask runs `hello get URL` in a pod of its own and returns its log, which is the page.
func ask(ctx context.Context, k *lab.Kube, name, url string) (string, error) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "probe", Image: helloImage, Args: []string{"get", url}}},
	}}
	got, log, err := runPod(ctx, k, pod)
	if err == nil && got.Status.Phase != corev1.PodSucceeded {
		err = fmt.Errorf("getting %s in pod %s: %s: %s", url, name, lab.Explain(*got), log)
	}
	return log, err
}

// runPod runs a pod to its end and deletes it.
func runPod(ctx context.Context, k *lab.Kube, pod *corev1.Pod) (*corev1.Pod, string, error) {
	pods := k.CoreV1().Pods("default")
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return pod, "", err
	}
	got, log, err := k.AwaitEnd(ctx, "default", pod.Name)
	if del := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err == nil {
		err = del
	}
	return got, log, err
}

func wantPage(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range append(lines, "Hello from Ekster!") {
		if !strings.Contains(page, line) {
			t.Errorf("the page lacks %q:\n%s", line, page)
		}
	}
}

// probe asks the Service by each of its names, through the cluster's DNS.
func (j *job) probe(t *testing.T) {
	for i, url := range []string{webURL, "http://web", "http://web.default"} {
		page, err := ask(t.Context(), j.kube, fmt.Sprint("probe-", i), url)
		no(t, err)
		wantPage(t, page, "pod:    web-", "node:   ip-172-31-", "zone:   us-west-2")
	}
}

func (j *job) nodePort(t *testing.T) {
	ctx := t.Context()
	svc, err := j.kube.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web-node"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	no(t, err)
	for i, n := range j.nodes {
		page, err := ask(ctx, j.kube, fmt.Sprint("node-port-", i), fmt.Sprintf("http://%s:%d/", internalIP(n), svc.Spec.Ports[0].NodePort))
		no(t, err)
		wantPage(t, page, "pod:    web-")
	}
}

func internalIP(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// environment has hello say what a ConfigMap and a Secret told it.
func (j *job) environment(t *testing.T) {
	ctx := t.Context()
	makeConfig(t, j.kube)
	from := func(name string, src *corev1.EnvVarSource) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: src}
	}
	_, err := j.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "configured", Labels: map[string]string{"app": "configured"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "hello", Image: helloImage, Env: []corev1.EnvVar{
			from("POD_NAME", &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "greeting"}}),
			from("NODE_NAME", &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "key"}, Key: "word"}}),
			from("ZONE", &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}),
		}}}},
	}, metav1.CreateOptions{})
	no(t, err)
	pods, err := j.kube.AwaitPods(ctx, "default", "app=configured", 1)
	no(t, err)
	page, err := j.kube.Fetch(ctx, "default", "configured", 8080, "/")
	no(t, err)
	wantPage(t, page, "pod:    from-a-configmap", "node:   from-a-secret", "zone:   "+pods[0].Spec.NodeName)
}

func makeConfig(t *testing.T, k *lab.Kube) {
	_, err := k.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"greeting": "from-a-configmap"}}, metav1.CreateOptions{})
	no(t, err)
	_, err = k.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "key"}, StringData: map[string]string{"word": "from-a-secret"}}, metav1.CreateOptions{})
	no(t, err)
}

// probes checks that a failing liveness probe restarts, and a failing readiness probe
// keeps a pod out of its Service.
func (j *job) probes(t *testing.T) {
	ctx := t.Context()
	get := func(port int32) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(port)}}}
	}
	pods := j.kube.CoreV1().Pods("default")
	for name, c := range map[string]corev1.Container{
		"good":    {LivenessProbe: get(8080), ReadinessProbe: get(8080)},
		"sick":    {LivenessProbe: get(8081)},
		"unready": {ReadinessProbe: get(8081)},
	} {
		c.Name, c.Image = "hello", helloImage
		_, err := pods.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"probed": "yes"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{c}, TerminationGracePeriodSeconds: new(int64(1))},
		}, metav1.CreateOptions{})
		no(t, err)
	}
	_, err := j.kube.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "probed"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"probed": "yes"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	no(t, err)
	no(t, lab.Until(ctx, lab.NodesTimeout, "the probes to have their effect", func(ctx context.Context) (bool, string, error) {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "probed=yes"})
		if err != nil {
			return false, "", err
		}
		ok, said := true, ""
		for _, p := range list.Items {
			if len(p.Status.ContainerStatuses) == 0 {
				return false, p.Name + " has not started", nil
			}
			restarts, ready := p.Status.ContainerStatuses[0].RestartCount, lab.Ready(p)
			running := p.Status.ContainerStatuses[0].State.Running != nil
			said += fmt.Sprintf("%s: ready %t, %d restarts; ", p.Name, ready, restarts)
			switch p.Name {
			case "good":
				ok = ok && ready && restarts == 0
			case "sick":
				ok = ok && restarts > 0
			case "unready":
				ok = ok && !ready && running && restarts == 0
			}
		}
		return ok && len(list.Items) == 3, said, nil
	}))
	slices, err := j.kube.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=probed"})
	no(t, err)
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.TargetRef.Name == "unready" && *e.Conditions.Ready {
				t.Error("a pod whose readiness probe fails is a ready endpoint of its Service")
			}
		}
	}
	no(t, pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{LabelSelector: "probed=yes"}))
}

func (j *job) batch(t *testing.T) {
	ctx := t.Context()
	_, err := j.kube.BatchV1().Jobs("default").Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "ask"}, Spec: batchv1.JobSpec{
		Completions: new(int32(2)), Parallelism: new(int32(2)),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{Name: "ask", Image: helloImage, Args: []string{"get", webURL}}}}},
	}}, metav1.CreateOptions{})
	no(t, err)
	no(t, lab.Until(ctx, lab.NodesTimeout, "the Job to complete", func(ctx context.Context) (bool, string, error) {
		got, err := j.kube.BatchV1().Jobs("default").Get(ctx, "ask", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return got.Status.Succeeded == 2, fmt.Sprintf("%+v", got.Status), nil
	}))
	pods, err := j.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "job-name=ask"})
	no(t, err)
	for _, p := range pods.Items {
		log, err := j.kube.Log(ctx, "default", p.Name)
		no(t, err)
		wantPage(t, log)
	}
}
