package cluster

import (
	"strings"
	"testing"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
)

const tierUpdate = "ControlPlaneScalingConfigUpdate"

func toTier(tier string) func(*resource.Cluster) {
	return func(cl *resource.Cluster) { cl.Spec.ScalingTier = tier }
}

// tier is what the cluster's control plane is to stand.
func (w *world) tier() (t controlplane.Tier) {
	for _, p := range w.host.planes {
		t = p.Tier
	}
	return t
}

func TestScalingTier(t *testing.T) {
	w := newWorld(t)
	w.settle()
	if w.tier() != (controlplane.Tier{}) {
		t.Errorf("a standard control plane is told %+v", w.tier())
	}
	for i, step := range []struct {
		tier string
		want controlplane.Tier
	}{
		{"tier-xl", controlplane.Tier{Seats: 1700, PodsPerSecond: 167, Database: 16 << 30}},
		{"tier-8xl", controlplane.Tier{Seats: 13600, PodsPerSecond: 400, Database: 16 << 30}},
		{"standard", controlplane.Tier{}},
	} {
		w.host.data = 9 << 30 // no obstacle on the way up
		if step.tier == "standard" {
			w.host.data = 7 << 30
		}
		id := string(rune('a' + i))
		w.ask(tierUpdate, id, toTier(step.tier))
		w.settle()
		cl, _ := w.cluster()
		if u := w.updated(id); u.State != resource.UpdateSuccessful || cl.Tier() != step.tier || w.tier() != step.want || cl.Current() != resource.ClusterActive {
			t.Errorf("%s: the update is %s, the cluster at %s, its control plane's %+v", step.tier, u.State, cl.Tier(), w.tier())
		}
	}
}

func TestTierThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		obstacle      func(*host)
		code, message string
		ensured       bool // the control plane was replaced to find out
	}{
		"too much data": {func(h *host) { h.data = 8<<30 + 1 }, "OperationNotPermitted",
			"The control plane of the scaling tier standard did not become ready and the cluster stays at tier tier-xl. The size of the cluster's database exceeds", false},
		"never ready": {func(h *host) { h.broken["/payload/1.35"] = "kube-apiserver: etcd" }, "Unknown", "stays at tier tier-xl. kube-apiserver: etcd", true},
		"dies":        {func(h *host) { h.dies["/payload/1.35"] = true }, "Unknown", "panic: etcd", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.settle()
			w.ask(tierUpdate, "up", toTier("tier-xl"))
			w.settle()
			c.obstacle(w.host)
			w.ask(tierUpdate, "u", toTier("standard"))
			replaced := false
			for range 200 { // what is in the way of it is not in the way of the tier before
				_, err := w.c.Reconcile(t.Context(), clusterARN)
				cl, _ := w.cluster()
				if replaced = replaced || w.tier() == (controlplane.Tier{}); cl.Status.FailedRevision == cl.Spec.Revision {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				w.now = w.now.Add(deathPause)
			}
			w.host.broken, w.host.dies = map[string]string{}, map[string]bool{}
			w.settle()
			cl, _ := w.cluster()
			u := w.updated("u")
			if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != c.code || !strings.Contains(u.Errors[0].Message, c.message) {
				t.Errorf("%+v", u)
			}
			if cl.Current() != resource.ClusterActive || cl.Tier() != "tier-xl" || w.tier().Seats != 1700 || replaced != c.ensured {
				t.Errorf("the cluster is %s at %s, its control plane's %+v; replaced on the way: %t", cl.Current(), cl.Tier(), w.tier(), replaced)
			}
		})
	}
}
