package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/internal/machine/spec"
	"ekster.dev/ekster/internal/nodeconfig"
)

func TestProcessorNames(t *testing.T) {
	for name, c := range map[string]struct {
		host []int
		id   string
		n    int
		want []string
	}{
		"as many":  {[]int{0, 1}, "i-1", 2, []string{"cpu0", "cpu1"}},
		"more":     {[]int{0, 1}, "i-1", 5, []string{"cpu0", "cpu1", "cpu00", "cpu01", "cpu000"}},
		"a subset": {[]int{4, 6}, "i-1", 3, []string{"cpu4", "cpu6", "cpu04"}},
	} {
		if d := cmp.Diff(c.want, processorNames(c.host, c.id, c.n)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	used := map[string]bool{}
	for _, id := range []string{"i-1", "i-2", "i-3", "i-4", "i-5", "i-6"} {
		names := processorNames([]int{0, 1, 2, 3, 4, 5, 6, 7}, id, 1)
		if len(names) != 1 {
			t.Fatal(names)
		}
		used[names[0]] = true
	}
	if len(used) < 3 {
		t.Errorf("six small instances share %v", used)
	}
	if got := online([]string{"cpu4", "cpu6", "cpu04"}); got != "4,6\n" {
		t.Errorf("online: %q", got)
	}
}

func TestCPUInfo(t *testing.T) {
	const host = "processor\t: 0\nmodel name\t: EPYC\nsiblings\t: 2\ncore id\t\t: 0\ncpu cores\t: 2\nflags\t\t: a b\n\nprocessor\t: 1\nmodel name\t: EPYC\n\n"
	const want = "processor\t: 0\nmodel name\t: EPYC\nsiblings\t: 3\ncore id\t\t: 0\ncpu cores\t: 2\nflags\t\t: a b\n\n" +
		"processor\t: 1\nmodel name\t: EPYC\nsiblings\t: 3\ncore id\t\t: 0\ncpu cores\t: 2\nflags\t\t: a b\n\n" +
		"processor\t: 2\nmodel name\t: EPYC\nsiblings\t: 3\ncore id\t\t: 1\ncpu cores\t: 2\nflags\t\t: a b\n\n"
	if d := cmp.Diff(want, cpuinfo(host, 3)); d != "" {
		t.Error(d)
	}
}

func TestMemInfo(t *testing.T) {
	const host = "MemTotal:       24684092 kB\nMemFree:        17375692 kB\nCached:              100 kB\nSwapTotal:       5 kB\nHugePages_Total:       0\n"
	const want = "MemTotal:        8388608 kB\nMemFree:         8388608 kB\nCached:              100 kB\nSwapTotal:             0 kB\nHugePages_Total:       0\n"
	if d := cmp.Diff(want, meminfo(host, 8192)); d != "" {
		t.Error(d)
	}
}

func TestKubeReserved(t *testing.T) {
	for _, c := range []struct {
		vcpu, pods  int
		cpu, memory string
	}{{1, 4, "60m", "299Mi"}, {2, 17, "70m", "442Mi"}, {4, 58, "80m", "893Mi"}, {8, 58, "90m", "893Mi"}, {96, 737, "310m", "8362Mi"}} {
		got := kubeReserved(c.vcpu, c.pods)
		if got["cpu"] != c.cpu || got["memory"] != c.memory {
			t.Errorf("%d vCPU, %d pods: %v, want %s and %s", c.vcpu, c.pods, got, c.cpu, c.memory)
		}
	}
}

func TestMaxPods(t *testing.T) {
	user := nodeconfig.NodeConfig{Spec: nodeconfig.Spec{Kubelet: nodeconfig.Kubelet{Config: map[string]any{"maxPods": float64(30)}}}}
	for _, c := range []struct {
		i    spec.Instance
		c    nodeconfig.NodeConfig
		want int
	}{{spec.Instance{MaxPods: 58}, user, 30}, {spec.Instance{MaxPods: 58}, nodeconfig.NodeConfig{}, 58}, {spec.Instance{}, nodeconfig.NodeConfig{}, 110}} {
		if got := maxPods(c.i, c.c); got != c.want {
			t.Errorf("%+v: %d, want %d", c, got, c.want)
		}
	}
}

func TestParseCgroups(t *testing.T) {
	const v1 = `33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
35 31 0:31 / /mnt/again rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:39 / / rw - ext4 /dev/vda rw
`
	got, err := parseCgroups([]byte(v1))
	if err != nil {
		t.Fatal(err)
	}
	want := []hierarchy{{"/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"}, {"/sys/fs/cgroup/systemd", "name=systemd"}, {"/sys/fs/cgroup/unified", ""}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(hierarchy{})); d != "" {
		t.Error(d)
	}
	if _, err := parseCgroups([]byte(strings.Repeat("42 31 0:39 / / rw - ext4 /dev/vda rw\n", 2))); err == nil {
		t.Error("no error without cgroups")
	}
}
