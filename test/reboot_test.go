package test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// downUp is a stand-in for a reboot: no process and no namespace is left, only the state.
func (v *victim) downUp(t *testing.T) {
	ctx := t.Context()
	before, err := v.daemon.Status(ctx)
	no(t, err)
	prefix, err := v.daemon.Prefix()
	no(t, err)
	no(t, v.daemon.Down(ctx))
	v.nothingRuns(t, prefix)
	no(t, v.daemon.Up(ctx))
	v.back(t, "downup")
	after, err := v.daemon.Status(ctx)
	no(t, err)
	var ids [2]map[string]bool
	for i, st := range []lab.Status{before, after} {
		ids[i] = map[string]bool{}
		for _, m := range st.Machines {
			ids[i][m.ID] = true
		}
	}
	if fmt.Sprint(ids[0]) != fmt.Sprint(ids[1]) {
		t.Errorf("machines were %v and are %v: a stopped one was replaced", ids[0], ids[1])
	}
}

// nothingRuns asserts that what is left is files.
func (v *victim) nothingRuns(t *testing.T, prefix string) {
	t.Helper()
	left, err := v.daemon.Leftovers(prefix)
	no(t, err)
	for _, l := range left {
		if l != "file "+v.daemon.State {
			t.Errorf("left: %s", l)
		}
	}
}

// back asserts that the cluster is the same one, with its data, and works.
func (v *victim) back(t *testing.T, name string) {
	t.Helper()
	ctx := t.Context()
	cl, err := v.cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	if *cl.Endpoint != *v.cluster.Endpoint || *cl.CertificateAuthority.Data != *v.cluster.CertificateAuthority.Data {
		t.Errorf("the cluster was at %s and is at %s, or has another authority", *v.cluster.Endpoint, *cl.Endpoint)
	}
	no(t, lab.Until(ctx, lab.ClusterTimeout, "its data", func(ctx context.Context) (bool, string, error) {
		_, err := v.kube.CoreV1().ConfigMaps("default").Get(ctx, "kept-0", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err), nil
	}))
	// What the API server says of nodes and pods may be from before, until their kubelets
	// are back; the answer to a question is not.
	n := 0
	no(t, lab.Until(ctx, lab.NodesTimeout, "the workload to answer", func(ctx context.Context) (bool, string, error) {
		n++
		_, err := ask(ctx, v.kube, fmt.Sprintf("back-%s-%d", name, n), webURL)
		return err == nil, fmt.Sprint(err), nil
	}))
	v.works(t, name)
}

// killEverything kills every process of ours at once and takes the namespaces away: what
// a host looks like after its power failed, but for its boot id.
func (v *victim) killEverything(t *testing.T) {
	ctx := t.Context()
	st, err := v.daemon.Status(ctx)
	no(t, err)
	prefix, err := v.daemon.Prefix()
	no(t, err)
	pids := v.pids(t, st)
	no(t, syscall.Kill(st.PID, syscall.SIGKILL)) // first, so that nobody mends anything meanwhile
	for _, pid := range pids {
		no(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	for _, pid := range append(slices.Collect(maps.Values(pids)), st.PID) {
		awaitEnd(t, pid)
	}
	spaces, err := filepath.Glob("/run/netns/" + prefix + "-*")
	no(t, err)
	if len(spaces) == 0 {
		t.Error("there was no namespace to take away")
	}
	for _, ns := range spaces {
		no(t, unix.Unmount(ns, unix.MNT_DETACH))
		no(t, os.Remove(ns))
	}
	no(t, v.daemon.Up(ctx))
	v.back(t, "everything")
}
