package test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// victim is a cluster with two nodes and a workload, in which things are killed.
type victim struct {
	daemon  *lab.Daemon
	cloud   *lab.Cloud
	cluster *types.Cluster
	kube    *lab.Kube
	land    lab.Landscape
}

const victimNodes = 2

// TestKill ends each part with SIGKILL, found by what Ekster itself says of it, and then
// all of them at once. What was acknowledged stays, and everything comes back by itself.
func TestKill(t *testing.T) {
	watch := newStopwatch(t)
	v := newVictim(t)
	watch.done("cluster, nodes and workload")
	for _, step := range []struct {
		name string
		run  func(*victim, *testing.T)
	}{
		{"daemon", (*victim).killDaemon},
		{"control plane", (*victim).killPlane},
		{"kubelet", (*victim).killKubelet},
		{"instance", (*victim).killInstance},
		{"down and up", (*victim).downUp},
		{"everything", (*victim).killEverything},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(v, t) }) {
			t.Fatalf("%s did not come back", step.name)
		}
		watch.done(step.name)
	}
	purge(t, v.daemon)
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{}
	v.daemon, v.cloud = newDaemon(t)
	ctx := t.Context()
	var err error
	v.land, err = v.cloud.Landscape(ctx)
	no(t, err)
	_, err = v.cloud.EKS.CreateCluster(ctx, v.land.ClusterInput(clusterName, ""))
	no(t, err)
	v.cluster, err = v.cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	v.kube, err = v.cloud.Kube(v.cluster)
	no(t, err)
	_, err = v.cloud.EKS.CreateNodegroup(ctx, v.land.NodegroupInput(clusterName, groupName, victimNodes))
	no(t, err)
	no(t, createWeb(ctx, v.kube, 2))
	v.works(t, "first")
	_, err = v.cloud.AwaitNodegroup(ctx, clusterName, groupName)
	no(t, err)
	return v
}

// works asserts that nodes are Ready and that the workload answers by its Service.
func (v *victim) works(t *testing.T, name string) {
	t.Helper()
	ctx := t.Context()
	_, err := v.kube.AwaitNodes(ctx, victimNodes)
	no(t, err)
	_, err = v.kube.AwaitPods(ctx, "default", "app=web", 2)
	no(t, err)
	_, err = v.kube.AwaitPods(ctx, "kube-system", "k8s-app=kube-dns", 2)
	no(t, err)
	// Several questions: the Service's address must lead to pods that are there only.
	for i := range 3 {
		page, err := ask(ctx, v.kube, fmt.Sprintf("probe-%s-%d", name, i), webURL)
		no(t, err)
		wantPage(t, page, "pod:    web-")
	}
}

// kill ends a process with SIGKILL and returns once it is gone.
func kill(t *testing.T, pid int) {
	t.Helper()
	no(t, syscall.Kill(pid, syscall.SIGKILL))
	awaitEnd(t, pid)
}

func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	no(t, lab.Until(t.Context(), 20*time.Second, fmt.Sprint("process ", pid, " to be gone"), func(context.Context) (bool, string, error) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true, "", nil
		}
		// Gone is also who only waits for a parent to take notice.
		return strings.HasPrefix(string(raw[strings.LastIndexByte(string(raw), ')'):]), ") Z"), string(raw), nil
	}))
}

// writes makes things under numbered names until stop, and knows which were acknowledged.
type writes struct {
	mu    sync.Mutex
	acked []string
	stop  context.CancelFunc
	done  chan struct{}
}

func startWrites(t *testing.T, prefix string, write func(ctx context.Context, name string) error) *writes {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writes{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("%s-%d", prefix, i)
			if err := write(ctx, name); err != nil {
				select { // nobody is there
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
				continue
			}
			w.mu.Lock()
			w.acked = append(w.acked, name)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// atLeast waits until that many writes were acknowledged.
func (w *writes) atLeast(t *testing.T, n int) {
	t.Helper()
	no(t, lab.Until(t.Context(), 30*time.Second, fmt.Sprint(n, " writes"), func(context.Context) (bool, string, error) {
		return w.count() >= n, fmt.Sprint(w.count()), nil
	}))
}

// missing are those acknowledged that are not in have.
func (w *writes) missing(have map[string]bool) (out []string) {
	w.stop()
	<-w.done
	for _, name := range w.acked {
		if !have[name] {
			out = append(out, name)
		}
	}
	return out
}

// killDaemon kills it in the middle of writes. The next one finds the same children.
func (v *victim) killDaemon(t *testing.T) {
	ctx := t.Context()
	st, err := v.daemon.Status(ctx)
	no(t, err)
	before := v.pids(t, st)
	w := startWrites(t, "kept", func(ctx context.Context, name string) error {
		_, err := v.cloud.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &name, Description: new("d"), VpcId: &v.land.VPC})
		return err
	})
	w.atLeast(t, 50)
	kill(t, st.PID)
	no(t, v.daemon.Up(ctx))
	w.atLeast(t, w.count()+10) // and it takes writes again
	have := map[string]bool{}
	pages := ec2.NewDescribeSecurityGroupsPaginator(v.cloud.EC2, &ec2.DescribeSecurityGroupsInput{
		MaxResults: new(int32(1000)), Filters: []ec2types.Filter{{Name: new("group-name"), Values: []string{"kept-*"}}},
	})
	w.stop()
	<-w.done
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		no(t, err)
		for _, g := range page.SecurityGroups {
			have[*g.GroupName] = true
		}
	}
	if lost := w.missing(have); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are lost: %v", len(lost), w.count(), lost)
	}
	t.Logf("%d acknowledged writes kept", w.count())
	now, err := v.daemon.Status(ctx)
	no(t, err)
	if now.PID == st.PID {
		t.Error("the daemon is the same process")
	}
	v.works(t, "daemon")
	for what, pid := range v.pids(t, now) {
		if before[what] != pid {
			t.Errorf("%s was process %d and is %d: it was not found again", what, before[what], pid)
		}
	}
}

// pids are the control plane's process and each instance's.
func (v *victim) pids(t *testing.T, st lab.Status) map[string]int {
	t.Helper()
	plane, err := v.daemon.PlanePID(t.Context(), clusterName)
	no(t, err)
	out := map[string]int{"control plane": plane}
	for _, m := range st.Machines {
		pid, err := v.daemon.InstancePID(m.ID)
		no(t, err)
		out[m.ID] = pid
	}
	return out
}

// killPlane kills the control plane in the middle of writes to its API server.
func (v *victim) killPlane(t *testing.T) {
	ctx := t.Context()
	pid, err := v.daemon.PlanePID(ctx, clusterName)
	no(t, err)
	maps := v.kube.CoreV1().ConfigMaps("default")
	w := startWrites(t, "kept", func(ctx context.Context, name string) error {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	})
	w.atLeast(t, 50)
	kill(t, pid)
	w.atLeast(t, w.count()+10)
	again, err := v.daemon.PlanePID(ctx, clusterName)
	no(t, err)
	if again == pid {
		t.Error("the control plane is the same process")
	}
	w.stop()
	<-w.done
	list, err := maps.List(ctx, metav1.ListOptions{})
	no(t, err)
	have := map[string]bool{}
	for _, m := range list.Items {
		have[m.Name] = true
	}
	if lost := w.missing(have); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are lost: %v", len(lost), w.count(), lost)
	}
	t.Logf("%d acknowledged writes kept", w.count())
	v.works(t, "plane")
}

// killKubelet kills one kubelet, which its instance starts again; the pods go on.
func (v *victim) killKubelet(t *testing.T) {
	ctx := t.Context()
	st, err := v.daemon.Status(ctx)
	no(t, err)
	init, err := v.daemon.InstancePID(st.Machines[0].ID)
	no(t, err)
	kubelet, err := lab.ChildPID(init, "kubelet")
	no(t, err)
	before, err := v.kube.AwaitPods(ctx, "default", "app=web", 2)
	no(t, err)
	kill(t, kubelet)
	no(t, lab.Until(ctx, 30*time.Second, "another kubelet", func(context.Context) (bool, string, error) {
		again, err := lab.ChildPID(init, "kubelet")
		return err == nil && again != kubelet, fmt.Sprint(again, err), nil
	}))
	v.works(t, "kubelet")
	after, err := v.kube.AwaitPods(ctx, "default", "app=web", 2)
	no(t, err)
	for i := range before {
		if before[i].UID != after[i].UID || after[i].Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("pod %s did not outlive its kubelet", before[i].Name)
		}
	}
}

// killInstance kills an instance's pid 1: its group replaces it.
func (v *victim) killInstance(t *testing.T) {
	ctx := t.Context()
	st, err := v.daemon.Status(ctx)
	no(t, err)
	dead := st.Machines[0]
	pid, err := v.daemon.InstancePID(dead.ID)
	no(t, err)
	kill(t, pid)
	no(t, lab.Until(ctx, lab.NodesTimeout, "the dead instance to be replaced", func(ctx context.Context) (bool, string, error) {
		st, err := v.daemon.Status(ctx)
		if err != nil {
			return false, "", err
		}
		ready := 0
		for _, m := range st.Machines {
			if m.ID == dead.ID {
				return false, "it is still there: " + m.State, nil
			}
			if m.Ready {
				ready++
			}
		}
		return ready == victimNodes, fmt.Sprint(ready, " nodes are ready"), nil
	}))
	v.works(t, "instance")
	if _, err := v.kube.CoreV1().Nodes().Get(ctx, dead.Node, metav1.GetOptions{}); err == nil && dead.Node != "" {
		t.Errorf("node %s of the dead instance is still there", dead.Node)
	}
}
