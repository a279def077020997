package nodeconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const plain = `---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: c1
    apiServerEndpoint: https://example.com
    certificateAuthority: Y2VydA==
    cidr: 10.100.0.0/16
  kubelet:
    config:
      maxPods: 17
    flags: ["--node-labels=a=b"]
`

const second = `apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  kubelet:
    config:
      maxPods: 29
      featureGates: {X: true}
    flags:
    - --v=4
  featureGates:
    InstanceIdNodeName: true
`

func wantMerged() NodeConfig {
	return NodeConfig{
		APIVersion: APIVersion, Kind: Kind,
		Spec: Spec{
			Cluster: Cluster{Name: "c1", APIServerEndpoint: "https://example.com", CertificateAuthority: []byte("cert"), CIDR: "10.100.0.0/16"},
			Kubelet: Kubelet{
				Config: map[string]any{"maxPods": float64(29), "featureGates": map[string]any{"X": true}},
				Flags:  []string{"--node-labels=a=b", "--v=4"},
			},
			FeatureGates: map[string]bool{"InstanceIdNodeName": true},
		},
	}
}

func mimeOf(parts ...string) string {
	s := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n"
	for _, p := range parts {
		s += "\n--//\n" + p
	}
	return s + "\n--//--\n"
}

func TestParse(t *testing.T) {
	single := wantMerged()
	single.Spec.Kubelet = Kubelet{Config: map[string]any{"maxPods": float64(17)}, Flags: []string{"--node-labels=a=b"}}
	single.Spec.FeatureGates = nil
	packed := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.String()
	}
	for name, c := range map[string]struct {
		in   string
		want UserData
	}{
		"nothing":   {"", UserData{}},
		"plain":     {plain, UserData{Node: single, HasNode: true}},
		"gzip":      {packed(plain), UserData{Node: single, HasNode: true}},
		"documents": {plain + "---\n" + second, UserData{Node: wantMerged(), HasNode: true}},
		"multipart, the last wins": {
			mimeOf("Content-Type: application/node.eks.aws\n\n"+plain, "Content-Type: application/node.eks.aws\n\n"+second),
			UserData{Node: wantMerged(), HasNode: true}},
		"base64 part, other parts": {
			mimeOf("Content-Type: text/cloud-config\n\npackages: [x]\n",
				"Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/sh\ntrue",
				"Content-Type: application/node.eks.aws\nContent-Transfer-Encoding: base64\n\n"+base64.StdEncoding.EncodeToString([]byte(plain))),
			UserData{Node: single, HasNode: true, Scripts: [][]byte{[]byte("#!/bin/sh\ntrue")}, Cloud: CloudConfig{Packages: []string{"x"}}}},
		"crlf":         {strings.ReplaceAll(mimeOf("Content-Type: application/node.eks.aws\n\n"+plain), "\n", "\r\n"), UserData{Node: single, HasNode: true}},
		"script":       {"#!/bin/bash\necho hi\n", UserData{Scripts: [][]byte{[]byte("#!/bin/bash\necho hi\n")}}},
		"cloud-config": {"#cloud-config\npackages: []\nswap: {}\n", UserData{Cloud: CloudConfig{Ignored: []string{"swap"}}}},
		"plain parts": {mimeOf("Content-Type: text/plain\n\n#!/bin/sh\necho a", "Content-Type: text/plain\n\n#cloud-config\nruncmd: [a, [b, 1]]",
			"Content-Type: text/plain\n\nnothing", "Content-Type: text/x-include-url\n\nhttp://x"), UserData{
			Scripts: [][]byte{[]byte("#!/bin/sh\necho a")}, Cloud: CloudConfig{Commands: []Command{{Line: "a"}, {Args: []string{"b", "1"}}}},
			Ignored: []string{"text/plain", "text/x-include-url"}}},
		"scripts of all kinds": {mimeOf("Content-Type: text/cloud-boothook\n\n#cloud-boothook\n#!/bin/sh\nhook", "Content-Type: text/x-shellscript-per-boot\n\n#!/bin/sh\nboot",
			"Content-Type: text/x-shellscript-per-once\n\n#!/bin/sh\nonce"), UserData{
			Boothooks: [][]byte{[]byte("#!/bin/sh\nhook")}, PerBoot: [][]byte{[]byte("#!/bin/sh\nboot")}, PerInstance: [][]byte{[]byte("#!/bin/sh\nonce")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"another kind":   {"apiVersion: v1\nkind: Pod\n", "a document of kind v1, Pod"},
		"unknown member": {strings.Replace(plain, "cidr:", "cidrs:", 1), `unknown field "cidrs"`},
		"not base64":     {strings.Replace(plain, "Y2VydA==", "'%%%'", 1), "base64"},
		"no yaml":        {"a: b: c", "reading a NodeConfig"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	c := wantMerged()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	err := NodeConfig{}.Validate()
	for _, want := range []string{"Name is missing", "Apiserver endpoint is missing", "Certificate authority is missing", "CIDR is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestClusterDNS(t *testing.T) {
	for cidr, want := range map[string]string{"10.100.0.0/16": "10.100.0.10", "172.20.5.0/24": "172.20.5.10", "fd30:1c53:5f8a::/108": "fd30:1c53:5f8a::a"} {
		got, err := NodeConfig{Spec: Spec{Cluster: Cluster{CIDR: cidr}}}.ClusterDNS()
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", cidr, got, err, want)
		}
	}
}
