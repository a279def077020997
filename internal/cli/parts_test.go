package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const planeLog = `I1130 18:00:00.000001      12 controlplane.go:83] "Starting control plane" version="v1.35.4"
{"level":"warn","ts":"2026-11-30T18:00:00Z","caller":"etcdserver/server.go:1","msg":"slow"}
I1130 18:00:00.000002      12 cacher.go:439] "Replacing watch cache"
I1130 18:00:00.000003      12 deployment_controller.go:173] "Starting controller" controller="deployment"
E1130 18:00:00.000004      12 garbagecollector.go:360] "Unhandled Error" err=<
	two lines
 >
I1130 18:00:00.000005      12 schedule_one.go:314] "Successfully bound pod to node" pod="kube-system/coredns"
W1130 18:00:00.000006      12 reflector.go:561] "Failed to list"
`

func TestLogsOfAPart(t *testing.T) {
	dir := t.TempDir()
	plane := filepath.Join(dir, "clusters", "0123456789abcdef")
	if err := os.MkdirAll(plane, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"control-plane.log": planeLog, "cluster-name": "demo\n"} {
		if err := os.WriteFile(filepath.Join(plane, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.SplitAfter(planeLog, "\n")
	for part, lines := range map[string][]int{
		"":                        {0, 1, 2, 3, 4, 5, 6, 7, 8},
		"etcd":                    {1},
		"kube-apiserver":          {0, 2, 8},
		"kube-controller-manager": {0, 3, 4, 5, 6, 8},
		"kube-scheduler":          {0, 7, 8},
	} {
		var want string
		for _, n := range lines {
			want += all[n]
		}
		// No daemon runs on it: the log is there all the same.
		code, out, errOut := run(t, append([]string{"logs", "--state-dir", dir, "cluster", "demo"}, strings.Fields(part)...)...)
		if code != 0 || out != want {
			t.Errorf("%q: code %d, %s\n%s\nwant\n%s", part, code, errOut, out, want)
		}
	}
	if code, _, errOut := run(t, "logs", "--state-dir", dir, "cluster", "demo", "kubelet"); code != exitUsage || !strings.Contains(errOut, "has the parts etcd, kube-apiserver") {
		t.Errorf("code %d, %s", code, errOut)
	}
	if code, _, errOut := run(t, "logs", "--state-dir", dir, "cluster", "other"); code != exitNotFound || !strings.Contains(errOut, "no control plane of a cluster other") {
		t.Errorf("code %d, %s", code, errOut)
	}
}

func TestSourcesAreOfParts(t *testing.T) {
	counts := map[string]int{}
	for line := range strings.Lines(sources) {
		part, file, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasSuffix(file, ".go") {
			t.Fatalf("%q", line)
		}
		counts[part]++
	}
	for _, part := range parts[1:] {
		if counts[part] < 20 {
			t.Errorf("%s has %d source files", part, counts[part])
		}
	}
	if len(counts) != 3 {
		t.Error(counts)
	}
}
