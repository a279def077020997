package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/internal/machine/spec"
	"ekster.dev/ekster/internal/nodeconfig"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden shows what a node's daemons are started with.
func TestGolden(t *testing.T) {
	i := spec.Instance{ID: "i-0a", VCPU: 2, MemoryMiB: 8192, MaxPods: 29, Mirror: "http://198.18.0.1:5000", Pause: "registry.ekster.internal/pause:3.10"}
	f := facts{identity: identity{InstanceID: "i-0a", InstanceType: "m5.large", AvailabilityZone: "us-west-2a", Region: "us-west-2", PrivateIP: "10.0.0.2"},
		hostname: "ip-10-0-0-2.us-west-2.compute.internal", zoneID: "usw2-az1", ipv6: "2001:db8::2"}
	u, err := nodeconfig.Parse([]byte(`apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster: {name: c1, apiServerEndpoint: "https://c1.example", certificateAuthority: Y2VydA==, cidr: 10.100.0.0/16}
  kubelet:
    config: {maxPods: 17}
    flags: ["--node-labels=eks.amazonaws.com/nodegroup=ng", "--register-with-taints=a=b:NoSchedule"]
`))
	if err != nil {
		t.Fatal(err)
	}
	config, err := kubeletConfiguration(i, f, u.Node, true)
	if err != nil {
		t.Fatal(err)
	}
	v6 := u.Node
	v6.Spec.Cluster.CIDR = "fd00::/108"
	v6.Spec.FeatureGates = map[string]bool{"InstanceIdNodeName": true}
	v6.Spec.Kubelet = nodeconfig.Kubelet{}
	for name, got := range map[string]string{
		"kubelet-config.json":    asJSON(config),
		"kubelet-args.txt":       strings.Join(kubeletArgs(f, u.Node), "\n") + "\n",
		"kubelet-args-ipv6.txt":  strings.Join(kubeletArgs(f, v6), "\n") + "\n",
		"kubeconfig.json":        asJSON(kubeconfig(f.Region, u.Node.Spec.Cluster)),
		"containerd.toml":        containerdConfig(i, true),
		"hosts.toml":             hostsConfig(i.Mirror),
		"base-runtime-spec.json": asJSON(baseSpec()),
	} {
		file := "testdata/" + name
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got; -update writes it):\n%s", name, d)
		}
	}
}
