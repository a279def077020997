package nodeconfig

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const settings = `
[settings.kubernetes]
api-server = "https://example.eks.amazonaws.com"
cluster-certificate = "Y2VydA=="
cluster-name = "c"
cluster-dns-ip = "10.100.0.10"
max-pods = 17
image-gc-high-threshold-percent = "85"
[settings.kubernetes.node-labels]
"eks.amazonaws.com/nodegroup" = "n"
team = "blue"
[settings.kubernetes.node-taints]
dedicated = ["a:NoSchedule", "b:NoExecute"]
special = "true:NoSchedule"
[settings.kubernetes.eviction-hard]
"memory.available" = "15%"
[settings.host-containers.admin]
enabled = true
`

func TestSettings(t *testing.T) {
	want := Settings{HasNode: true, Ignored: []string{"settings.host-containers"}, Node: NodeConfig{
		APIVersion: APIVersion, Kind: Kind, DNS: []netip.Addr{netip.MustParseAddr("10.100.0.10")},
		Spec: Spec{
			Cluster: Cluster{Name: "c", APIServerEndpoint: "https://example.eks.amazonaws.com", CertificateAuthority: []byte("cert")},
			Kubelet: Kubelet{
				Config: map[string]any{"maxPods": 17.0, "imageGCHighThresholdPercent": 85.0, "evictionHard": map[string]any{"memory.available": "15%"}},
				Flags: []string{"--node-labels=eks.amazonaws.com/nodegroup=n,team=blue",
					"--register-with-taints=dedicated=a:NoSchedule,dedicated=b:NoExecute,special=true:NoSchedule"},
			},
		},
	}}
	got, err := ParseSettings([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	if err := got.Node.Validate(); err != nil {
		t.Error(err)
	}
	if dns, err := got.Node.ClusterDNS(); err != nil || dns.String() != "10.100.0.10" {
		t.Errorf("DNS at %s, %v", dns, err)
	}
	if none, err := ParseSettings(nil); err != nil || none.HasNode {
		t.Errorf("nothing: %+v, %v", none, err)
	}
}

// The user's settings win over those of EKS, and the rest of both stays.
func TestMergeSettings(t *testing.T) {
	raw, err := MergeSettings(map[string]any{"kubernetes": map[string]any{"cluster-name": "c", "max-pods": 17, "node-labels": map[string]any{"a": "1", "b": "1"}}},
		[]byte("[settings.kubernetes]\nmax-pods = 5\n[settings.kubernetes.node-labels]\nb = \"2\"\n[settings.motd]\nx = 1"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSettings(raw)
	if err != nil {
		t.Fatalf("%v:\n%s", err, raw)
	}
	k := got.Node.Spec.Kubelet
	if got.Node.Spec.Cluster.Name != "c" || k.Config["maxPods"] != 5.0 || strings.Join(k.Flags, " ") != "--node-labels=a=1,b=2" || len(got.Ignored) != 1 {
		t.Errorf("%+v\n%s", got, raw)
	}
}

func TestSettingsRefuse(t *testing.T) {
	for in, want := range map[string]string{
		"a = 1":                              "reading the settings",
		"[settings]\nnope = 1":               `settings: unknown field "nope"`,
		"[settings.kubernetes]\nclutser = 1": `settings.kubernetes: unknown field "clutser"`,
		"[settings.kubernetes]\ncluster-certificate = \"%\"":   "settings.kubernetes.cluster-certificate",
		"[settings.kubernetes]\ncluster-dns-ip = \"x\"":        "settings.kubernetes.cluster-dns-ip",
		"[settings.kubernetes]\nauthentication-mode = \"tls\"": "tls is not supported",
		"#!/bin/sh\necho": "reading the settings",
	} {
		if _, err := ParseSettings([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
