package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/test/lab"
)

// TestUpstreamVPCCNI runs AWS's own VPC CNI, unmodified, against this EC2 and IMDS: on one
// node of a cluster whose other node has ours. Its agent asks EC2 for addresses and
// interfaces, and pods reach each other across both. It logs how quickly either is Ready.
// hack/build-vpc-cni.sh builds it, which no other build does.
func TestUpstreamVPCCNI(t *testing.T) {
	d, cloud := newDaemon(t)
	layout := filepath.Join(filepath.Dir(d.Node()), "vpc-cni")
	if _, err := os.Stat(layout); err != nil {
		t.Skip("not built (hack/build-vpc-cni.sh)")
	}
	ctx := t.Context()
	loaded, err := d.Run(ctx, "image", "load", layout)
	no(t, err)
	images := map[string]string{} // by their names without a registry
	for name := range strings.FieldsSeq(loaded) {
		if base, _, ok := strings.Cut(filepath.Base(name), ":"); ok {
			images[base] = name
		}
	}
	land, err := cloud.Landscape(ctx)
	no(t, err)
	_, err = cloud.EKS.CreateCluster(ctx, land.ClusterInput(clusterName, ""))
	no(t, err)
	cluster, err := cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	kube, err := cloud.Kube(cluster)
	no(t, err)
	sets := kube.AppsV1().DaemonSets("kube-system")
	_, err = sets.Patch(ctx, "aws-node", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"cni":"ours"}}}}}`), metav1.PatchOptions{})
	no(t, err)
	_, err = sets.Create(ctx, upstreamCNI(images["amazon-k8s-cni"], images["amazon-k8s-cni-init"]), metav1.CreateOptions{})
	no(t, err)

	took := map[string]float64{}
	for i, cni := range []string{"ours", "upstream"} {
		in := land.NodegroupInput(clusterName, cni, 1)
		in.Labels = map[string]string{"cni": cni}
		began := time.Now()
		_, err := cloud.EKS.CreateNodegroup(ctx, in)
		no(t, err)
		_, err = kube.AwaitNodes(ctx, i+1)
		no(t, err)
		took[cni] = time.Since(began).Seconds()
	}
	t.Logf("CreateNodegroup to Ready: %.1f s with our CNI, %.1f s with AWS's", took["ours"], took["upstream"])

	no(t, createWeb(ctx, kube, 2, func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"cni": "ours"} }))
	const many = 13 // an interface of a t3.medium has five addresses for pods, and it has three
	f := &failures{daemon: d, cloud: cloud, kube: kube}
	f.holdOn(t, "many", many, map[string]string{"cni": "upstream"})
	pods, err := kube.AwaitPods(ctx, "default", "app=many", many)
	no(t, err)
	_, err = kube.AwaitPods(ctx, "default", "app=web", 2)
	no(t, err)
	checkInterfaces(t, cloud, pods)
	page, log, err := runPod(ctx, kube, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "across"}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"cni": "upstream"}, RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{Name: "probe", Image: helloImage, Args: []string{"get", webURL}}},
	}})
	no(t, err)
	if page.Status.Phase != corev1.PodSucceeded || !strings.Contains(log, "pod:    web-") {
		t.Errorf("from a pod of AWS's CNI to a Service of ours: %s: %s", lab.Explain(*page), log)
	}
}

// checkInterfaces compares the pods' addresses with those that EC2 knows of their instance.
func checkInterfaces(t *testing.T, cloud *lab.Cloud, pods []corev1.Pod) {
	t.Helper()
	out, err := cloud.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: new("addresses.private-ip-address"), Values: []string{pods[0].Status.HostIP}},
	}})
	no(t, err)
	out, err = cloud.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: new("attachment.instance-id"), Values: []string{*out.NetworkInterfaces[0].Attachment.InstanceId}},
	}})
	no(t, err)
	if n := len(out.NetworkInterfaces); n != 3 {
		t.Errorf("%d pods, and %d interfaces, want 3", len(pods), n)
	}
	secondary := map[string]bool{}
	for _, eni := range out.NetworkInterfaces {
		for _, a := range eni.PrivateIpAddresses {
			secondary[*a.PrivateIpAddress] = !*a.Primary
		}
	}
	for _, p := range pods {
		if !secondary[p.Status.PodIP] {
			t.Errorf("pod %s has %s, which is no secondary address of its instance", p.Name, p.Status.PodIP)
		}
	}
}

// upstreamCNI is a DaemonSet of AWS's agent without its network policy agent, which is
// another program, for nodes with the label.
func upstreamCNI(agent, initial string) *appsv1.DaemonSet {
	labels := map[string]string{"k8s-app": "aws-node-upstream"}
	host := func(name, path string, kind corev1.HostPathType) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}}}
	}
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	env := []corev1.EnvVar{field("MY_NODE_NAME", "spec.nodeName"), field("MY_POD_NAME", "metadata.name")}
	for _, kv := range [][2]string{
		{"AWS_VPC_ENI_MTU", "9001"}, {"AWS_VPC_K8S_CNI_VETHPREFIX", "eni"}, {"ENABLE_IPv4", "true"}, {"ENABLE_IPv6", "false"},
		{"WARM_ENI_TARGET", "1"}, {"WARM_PREFIX_TARGET", "1"}, {"ADDITIONAL_ENI_TAGS", "{}"}, {"CLUSTER_NAME", clusterName},
	} {
		env = append(env, corev1.EnvVar{Name: kv[0], Value: kv[1]})
	}
	mount := func(name, path string) corev1.VolumeMount { return corev1.VolumeMount{Name: name, MountPath: path} }
	probe := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/app/grpc-health-probe", "-addr=unix:///var/run/aws-node/ipamd.sock", "-connect-timeout=5s", "-rpc-timeout=5s"}}}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "aws-node-upstream"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{
				NodeSelector: map[string]string{"cni": "upstream"}, PriorityClassName: "system-node-critical", ServiceAccountName: "aws-node", HostNetwork: true,
				TerminationGracePeriodSeconds: new(int64(10)), Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				InitContainers: []corev1.Container{{
					Name: "aws-vpc-cni-init", Image: initial, SecurityContext: &corev1.SecurityContext{Privileged: new(true)}, VolumeMounts: []corev1.VolumeMount{mount("bin", "/host/opt/cni/bin")},
				}},
				Containers: []corev1.Container{{
					Name: "aws-node", Image: agent, Env: env,
					ReadinessProbe:  &corev1.Probe{InitialDelaySeconds: 1, TimeoutSeconds: 10, ProbeHandler: probe},
					LivenessProbe:   &corev1.Probe{InitialDelaySeconds: 60, TimeoutSeconds: 10, ProbeHandler: probe},
					SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}}},
					VolumeMounts: []corev1.VolumeMount{
						mount("bin", "/host/opt/cni/bin"), mount("net", "/host/etc/cni/net.d"), mount("log", "/host/var/log/aws-routed-eni"), mount("run", "/var/run/aws-node"), mount("lock", "/run/xtables.lock"),
					},
				}},
				Volumes: []corev1.Volume{
					host("bin", "/opt/cni/bin", corev1.HostPathDirectoryOrCreate), host("net", "/etc/cni/net.d", corev1.HostPathDirectoryOrCreate),
					host("log", "/var/log/aws-routed-eni", corev1.HostPathDirectoryOrCreate), host("run", "/var/run/aws-node", corev1.HostPathDirectoryOrCreate),
					host("lock", "/run/xtables.lock", corev1.HostPathFileOrCreate),
				},
			},
		}},
	}
}
