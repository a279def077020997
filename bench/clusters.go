package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// clusterTime is figure 1.
func (r *run) clusterTime(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		var floors, times []float64
		for i := range r.runs + 1 {
			f, err := startFloor(ctx, d.Kube(r.version))
			if err != nil {
				return err
			}
			if err := f.stop(); err != nil {
				return err
			}
			name := fmt.Sprint("bench-", i)
			took, err := r.createCluster(ctx, cloud, land, name)
			if err != nil {
				return err
			}
			if err := cloud.DeleteCluster(ctx, name); err != nil {
				return err
			}
			if i > 0 { // the first of each warms the page cache
				floors, times = append(floors, f.took), append(times, took)
			}
		}
		l := line{Figure: "1", What: "CreateCluster to ACTIVE, namespaces listed", Unit: "s", Value: median(times), Floor: median(floors), Samples: times,
			Note: "floor: etcd + kube-apiserver to /readyz"}
		r.report.ratio(l, 1.3)
		l.Floor, l.What, l.Note = 0, "the same, p50", ""
		r.report.atMost(l, 5)
		return nil
	})
}

// createCluster returns the seconds until the cluster is ACTIVE and lists its namespaces.
func (r *run) createCluster(ctx context.Context, cloud *lab.Cloud, land lab.Landscape, name string) (float64, error) {
	began := time.Now()
	if _, err := cloud.EKS.CreateCluster(ctx, land.ClusterInput(name, r.version)); err != nil {
		return 0, err
	}
	cl, err := cloud.AwaitCluster(ctx, name)
	if err != nil {
		return 0, err
	}
	kube, err := cloud.Kube(cl)
	if err != nil {
		return 0, err
	}
	list, err := kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	took := seconds(began)
	if err == nil && len(list.Items) == 0 {
		err = errors.New("the new cluster has no namespace")
	}
	return took, err
}

// nodeTime is figure 2.
func (r *run) nodeTime(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		const cluster = "bench"
		if _, err := r.createCluster(ctx, cloud, land, cluster); err != nil {
			return err
		}
		cl, err := cloud.Cluster(ctx, cluster)
		if err != nil {
			return err
		}
		kube, err := cloud.Kube(cl)
		if err != nil {
			return err
		}
		// Its disruption budget would hold up the deletion of each group.
		if err := kube.AppsV1().Deployments("kube-system").Delete(ctx, "coredns", metav1.DeleteOptions{}); err != nil {
			return err
		}
		f, err := startFloor(ctx, d.Kube(r.version))
		if err != nil {
			return err
		}
		defer f.stop() //nolint:errcheck // an error that counts has come before
		group := func(i, n int) (float64, error) {
			name := fmt.Sprintf("bench-%d-%d", n, i)
			began := time.Now()
			if _, err := cloud.EKS.CreateNodegroup(ctx, land.NodegroupInput(cluster, name, int32(n))); err != nil {
				return 0, err
			}
			if _, err := kube.AwaitNodes(ctx, n); err != nil {
				return 0, err
			}
			took := seconds(began)
			if err := cloud.DeleteNodegroup(ctx, cluster, name); err != nil {
				return 0, err
			}
			_, err := kube.AwaitNodes(ctx, 0)
			return took, err
		}
		var floors, one, three []float64
		for i := range r.runs + 1 {
			bare, err := f.nodeReady(ctx, d.Node(), fmt.Sprint("floor-", i))
			if err != nil {
				return err
			}
			took, err := group(i, 1)
			if err != nil {
				return err
			}
			if i > 0 {
				floors, one = append(floors, bare), append(one, took)
			}
		}
		for i := range min(r.runs, 3) {
			took, err := group(i, 3)
			if err != nil {
				return err
			}
			three = append(three, took)
		}
		l := line{Figure: "2", What: "CreateNodegroup, 1 node Ready", Unit: "s", Value: median(one), Floor: median(floors), Samples: one,
			Note: "floor: containerd + kubelet to Ready"}
		r.report.ratio(l, 1.5)
		l.Floor, l.What, l.Note = 0, "the same, p50", ""
		r.report.atMost(l, 8)
		r.report.atMost(line{Figure: "2", What: "CreateNodegroup, 3 nodes Ready, p50", Unit: "s", Value: median(three), Samples: three}, 15)
		return nil
	})
}

// idle is how long a control plane is left alone before its memory is measured.
const idle = 60 * time.Second

// planeMemory is figure 3. The four processes run from a copy of the program: pages of one
// file that both mapped would count as shared, and make either look smaller.
func (r *run) planeMemory(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		copied, err := copyProgram(d.Kube(r.version))
		if err != nil {
			return err
		}
		defer os.RemoveAll(filepath.Dir(copied))
		f, err := startFloor(ctx, copied)
		if err != nil {
			return err
		}
		defer f.stop() //nolint:errcheck // an error that counts has come before
		if err := f.rest(); err != nil {
			return err
		}
		if _, err := r.createCluster(ctx, cloud, land, "bench"); err != nil {
			return err
		}
		select {
		case <-time.After(idle):
		case <-ctx.Done():
			return ctx.Err()
		}
		pid, err := d.PlanePID(ctx, "bench")
		if err != nil {
			return err
		}
		ours, err := measureMemory(pid)
		if err != nil {
			return err
		}
		var four []int
		for name, cmd := range f.procs {
			if cmd.ProcessState != nil {
				return fmt.Errorf("the floor's %s has ended:\n%s", name, f.log(name))
			}
			four = append(four, cmd.Process.Pid)
		}
		naive, err := measureMemory(four...)
		if err != nil {
			return err
		}
		r.report.atMost(line{Figure: "3", What: "idle control plane, PSS", Unit: "MiB", Value: ours.pss, Floor: naive.pss, Ratio: ours.pss / naive.pss,
			Note: fmt.Sprintf("RSS %.0f MiB; beside it: the four processes apart", ours.rss)}, 250)
		return nil
	})
}

func copyProgram(path string) (string, error) {
	dir, err := os.MkdirTemp("/var/tmp", "ekster-floor-")
	if err != nil {
		return "", err
	}
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, filepath.Base(path)), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return to.Name(), errors.Join(err, to.Close())
}

// tenClusters is figure 6.
func (r *run) tenClusters(ctx context.Context) error {
	const n = 10
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		before, err := available()
		if err != nil {
			return err
		}
		began := time.Now()
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { _, errs[i] = r.createCluster(ctx, cloud, land, fmt.Sprint("bench-", i)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		took := seconds(began)
		var pids []int
		for i := range n {
			pid, err := d.PlanePID(ctx, fmt.Sprint("bench-", i))
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		planes, err := measureMemory(pids...)
		if err != nil {
			return err
		}
		after, err := available()
		if err != nil {
			return err
		}
		r.report.add(line{Figure: "6", What: "ten clusters at once, all ACTIVE", Unit: "s", Value: took, Note: "namespaces of each listed"})
		r.report.add(line{Figure: "6", What: "their control planes, PSS", Unit: "MiB", Value: planes.pss, Note: fmt.Sprintf("%.0f MiB each, just started", planes.pss/n)})
		r.report.add(line{Figure: "6", What: "less memory available on the host", Unit: "MiB", Value: before - after})
		return nil
	})
}
