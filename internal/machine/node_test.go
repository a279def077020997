package machine_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/internal/machine"
)

// boot starts an instance as a node of a new cluster.
func boot(t *testing.T, change ...func(*machine.Config)) (*world, plane, machine.Config, machine.Status) {
	t.Helper()
	dir := payload(t)
	w := newWorld(t)
	w.metadata(t)
	w.registry(t)
	p := w.plane(t, filepath.Join(dir, "kubernetes", kubeMinor))
	w.instance.UserData = []byte(w.userData(p.ca))
	c := w.config(dir)
	for _, f := range change {
		f(&c)
	}
	return w, p, c, ensure(t, c)
}

// ready returns the node once it is Ready in another boot than the one given.
func (p plane) ready(t *testing.T, lastBoot string) (node *corev1.Node) {
	t.Helper()
	poll(t, 60*time.Second, "the node to be ready", func() (err error) {
		if node, err = p.client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, cond := range node.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue && node.Status.NodeInfo.BootID != lastBoot {
				return nil
			}
		}
		return fmt.Errorf("boot %s, %+v", node.Status.NodeInfo.BootID, node.Status.Conditions)
	})
	return node
}

func TestNodeRunsPod(t *testing.T) {
	began := time.Now()
	w, p, c, _ := boot(t)
	t.Logf("test's own cluster took %v", time.Since(began))
	began = time.Now()
	node := p.ready(t, "")
	t.Logf("ready %v after Ensure", time.Since(began))
	for what, pair := range map[string][2]string{
		"cpu":      {node.Status.Capacity.Cpu().String(), "8"},
		"memory":   {node.Status.Capacity.Memory().String(), "32Gi"},
		"pods":     {node.Status.Capacity.Pods().String(), "58"},
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

	if gib := node.Status.Capacity.StorageEphemeral().Value() >> 30; gib != 19 { // 20, less what the file system takes
		t.Errorf("disk: %d GiB", gib)
	}

	began = time.Now()
	said := w.runPod(t, p, "hello", 8080)
	t.Logf("pod answers after %v", time.Since(began))
	if !strings.Contains(said, "hello from ip-10-0-0-2") {
		t.Errorf("the pod said %q", said)
	}
	bounded := false
	err := filepath.WalkDir(filepath.Join("/sys/fs/cgroup/memory", c.CgroupParent, c.ID), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "memory.limit_in_bytes" {
			raw, err := os.ReadFile(path)
			bounded = bounded || err == nil && strings.TrimSpace(string(raw)) == fmt.Sprint(64<<20)
		}
		return nil // containers come and go
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil && !bounded {
		t.Error("no container in the instance's cgroup has the pod's memory limit")
	}
	for _, daemon := range []string{"containerd", "kubelet"} {
		raw, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/memory", c.CgroupParent, c.ID, "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		for pid := range strings.FieldsSeq(string(raw)) {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm") // it may be gone
			if strings.TrimSpace(string(comm)) == daemon {
				if err := exec.Command("kill", "-9", pid).Run(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if said := w.runPod(t, p, "after", 8081); !strings.Contains(said, "hello from") {
		t.Errorf("a pod, after containerd and the kubelet were killed, said %q", said)
	}
	if said := w.ask(t, 8080); !strings.Contains(said, "hello from") {
		t.Errorf("the first pod says now %q", said)
	}

	logTail(t, machine.ConsoleLog(c.Dir), 3000)
	for _, pid := range inNetns(t, c.Netns) {
		t.Log(memory(pid))
	}
}

// runPod runs a pod that serves at the port, and returns what it says.
func (w *world) runPod(t *testing.T, p plane, name string, port int) string {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: nodeName, HostNetwork: true, // the network of pods is not this package's
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "hello", Image: "docker.example/team/hello:v1", Args: []string{fmt.Sprintf(":%d", port)},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("64Mi")}}}},
	}}
	if _, err := p.client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return w.ask(t, port)
}

// ask returns what the instance says at the port, once it does.
func (w *world) ask(t *testing.T, port int) (said string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: w.dial}}
	defer client.CloseIdleConnections()
	poll(t, 30*time.Second, "an answer of the pod", func() error {
		resp, err := client.Get(fmt.Sprintf("http://%s:%d/", guestIP, port))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		said = string(raw)
		return err
	})
	return said
}

// memory says what a process takes of it.
func memory(ns string) string {
	proc := filepath.Dir(filepath.Dir(ns))
	comm, _ := os.ReadFile(proc + "/comm")
	rollup, _ := os.ReadFile(proc + "/smaps_rollup")
	var sizes []string
	for line := range strings.Lines(string(rollup)) {
		if strings.HasPrefix(line, "Rss:") || strings.HasPrefix(line, "Pss:") || strings.HasPrefix(line, "Pss_Anon:") {
			sizes = append(sizes, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.TrimSpace(string(comm)) + ": " + strings.Join(sizes, ", ")
}

// TestSmallest runs a node with the memory of a t3.nano, of which the host
// gives no more.
func TestSmallest(t *testing.T) {
	w, p, c, _ := boot(t, func(c *machine.Config) { c.VCPU, c.MemoryMiB, c.MaxPods = 1, 512, 4 })
	node := p.ready(t, "")
	if cpu, memory := node.Status.Capacity.Cpu().String(), node.Status.Capacity.Memory().String(); cpu != "1" || memory != "512Mi" {
		t.Errorf("%s processors, %s of memory", cpu, memory)
	}
	w.runPod(t, p, "hello", 8080)
	logTail(t, filepath.Join("/sys/fs/cgroup/memory", c.CgroupParent, c.ID, "memory.max_usage_in_bytes"), 100)
	quota, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/cpu", c.CgroupParent, c.ID, "cpu.cfs_quota_us"))
	if err == nil && string(quota) != "100000\n" {
		t.Errorf("processor quota %s", quota)
	}
}
