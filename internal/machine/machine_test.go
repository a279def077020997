package machine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/internal/machine"
)

const conflist = `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"none"}]}`

func (w *world) config(payload string) machine.Config {
	return machine.Config{
		ID: "i-0123456789abcdef0", Dir: filepath.Join(w.dir, "i-0123456789abcdef0"), Netns: w.guest,
		Hostname: nodeName, Region: region, VCPU: 8, MemoryMiB: 32768, MaxPods: 58,
		CgroupParent: filepath.Base(w.dir),
		NodePayload:  filepath.Join(payload, "node"), Kube: filepath.Join(payload, "kubernetes", kubeMinor),
		Mirror: "http://198.18.0.1:5000", Pause: "registry.ekster.internal/pause:3.10",
		DNS: "169.254.169.253", Domains: []string{region + ".compute.internal"}, Generation: 1,
	}
}

// ensure starts the instance and has it removed, and looked for, at the end.
func ensure(t *testing.T, c machine.Config) machine.Status {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			logTail(t, machine.ConsoleLog(c.Dir), 3000)
			for _, log := range []string{"containerd", "kubelet"} {
				logTail(t, filepath.Join(c.Dir, "disk/var/log", log+".log"), 4000)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := machine.Remove(ctx, c.Dir); err != nil {
			t.Error(err)
		}
		nothingLeft(t, c)
	})
	st, err := machine.Ensure(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func nothingLeft(t *testing.T, c machine.Config) {
	t.Helper()
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", c.Dir, err)
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/" + c.CgroupParent)
	if err != nil || len(left) > 0 {
		t.Errorf("cgroups are left: %v, %v", left, err)
	}
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(raw), c.Dir) {
		t.Errorf("mounts are left, or cannot be told: %v", err)
	}
	if pids := inNetns(t, c.Netns); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
}

// inNetns lists the processes in a network namespace.
func inNetns(t *testing.T, path string) []string {
	t.Helper()
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		t.Fatal(err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, l := range links {
		var st unix.Stat_t
		if unix.Stat(l, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev {
			pids = append(pids, l)
		}
	}
	return pids
}

func TestNodeJoins(t *testing.T) {
	dir := payload(t)
	w := newWorld(t)
	w.metadata(t)
	w.registry(t)
	p := w.plane(t, filepath.Join(dir, "kubernetes", kubeMinor))
	w.instance.UserData = []byte(w.userData(p.ca))
	c := w.config(dir)
	cni := filepath.Join(c.Dir, "disk/etc/cni/net.d/10-test.conflist")
	if err := os.MkdirAll(filepath.Dir(cni), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cni, []byte(conflist), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ensure(t, c)
	ctx := context.Background()
	var node *corev1.Node
	poll(t, 60*time.Second, "the node", func() (err error) {
		node, err = p.client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		return err
	})
	t.Logf("registered after %v", time.Since(began))
	poll(t, 60*time.Second, "the node to be ready", func() (err error) {
		if node, err = p.client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, cond := range node.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%+v", node.Status.Conditions)
	})
	t.Logf("ready after %v", time.Since(began))
	logTail(t, machine.ConsoleLog(c.Dir), 3000)
	capacity := node.Status.Capacity
	for what, pair := range map[string][2]string{
		"cpu":      {capacity.Cpu().String(), "8"},
		"memory":   {capacity.Memory().String(), "32Gi"},
		"pods":     {capacity.Pods().String(), "58"},
		"provider": {node.Spec.ProviderID, "aws:///us-west-2a/i-0123456789abcdef0"},
		"zone":     {node.Labels["topology.kubernetes.io/zone"], zone},
		"type":     {node.Labels["node.kubernetes.io/instance-type"], "m5.2xlarge"},
		"group":    {node.Labels["eks.amazonaws.com/nodegroup"], "ng"},
		"address":  {node.Status.Addresses[0].Address, guestIP},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
}
