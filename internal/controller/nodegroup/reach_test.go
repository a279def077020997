package nodegroup

import (
	"testing"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// away has the cluster's API server stay away, or come back.
func (w *world) away(is bool) {
	w.nodes.mu.Lock()
	defer w.nodes.mu.Unlock()
	w.nodes.away = is
}

// What needs an API server that stays away ends as failed, and the group goes on from there
// once it is back.
func TestClusterThatStaysAway(t *testing.T) {
	failed := func(w *world, codes ...string) {
		w.t.Helper()
		asked := w.clock()
		w.until("given up", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
		u := w.updated("u1")
		var got []string
		for _, e := range u.Errors {
			got = append(got, e.Code)
		}
		if u.State != resource.UpdateFailed || len(got) != len(codes) || got[0] != codes[0] || got[len(got)-1] != codes[len(codes)-1] {
			w.t.Fatalf("%+v", u)
		}
		if took := u.Ended.Sub(asked); took < w.cfg.JoinTimeout || took > 4*w.cfg.JoinTimeout {
			w.t.Errorf("given up after %s", took)
		}
		w.untilActive()
		w.away(false)
	}
	t.Run("labels", func(t *testing.T) {
		w := newWorld(t, nil)
		w.untilActive()
		w.away(true)
		w.relabel()
		failed(w, clusterUnreachable)
	})
	t.Run("roll", func(t *testing.T) {
		w := newWorld(t, nil)
		w.untilActive()
		w.away(true)
		w.ask("1.35", false)
		failed(w, clusterUnreachable, clusterUnreachable)
		if ng, _ := w.group(); ng.Rolled().Version != "1.34" {
			t.Errorf("version %s", ng.Rolled().Version)
		}
		w.ask("1.35", false)
		w.untilActive()
		if u := w.updated("u2"); u.State != resource.UpdateSuccessful || w.templates() != "3 3 3" && w.templates() != "2 2 2" || w.left() != "" {
			t.Errorf("once it is back: %+v, templates %s, left: %s", u, w.templates(), w.left())
		}
	})
	t.Run("roll with an instance that has never joined", func(t *testing.T) {
		w := newWorld(t, nil)
		w.untilActive()
		first := w.state().members[0]
		w.absent = func(in resource.Instance) bool { return in.ID == first.Instance }
		w.update(func(tx *store.Tx) error {
			tx.Nodes.Delete(resource.NodeKey(clusterARN, first.node.Name))
			return nil
		})
		w.away(true)
		w.ask("1.35", false)
		w.until("given up", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
		if u := w.updated("u1"); u.State != resource.UpdateFailed || len(u.Errors) != 2 || u.Errors[0].Code != clusterUnreachable {
			t.Errorf("%+v", u)
		}
	})
	t.Run("labels, of which one node is refused", func(t *testing.T) {
		w := newWorld(t, nil)
		w.untilActive()
		w.nodes.refused = w.state().members[2].node.Name
		w.relabel()
		failed(w, clusterUnreachable)
	})
	t.Run("create", func(t *testing.T) {
		w := newWorld(t, nil)
		w.away(true)
		w.untilState(resource.NodegroupCreateFailed, clusterUnreachable)
		w.away(false)
		w.delete()
		w.until("gone", func() bool { _, ok := w.group(); return !ok })
	})
	t.Run("delete", func(t *testing.T) {
		w := newWorld(t, nil)
		w.cfg.DeleteDrainTimeout = 0
		w.restart()
		w.untilActive()
		w.away(true)
		w.delete()
		w.untilState(resource.NodegroupDeleteFailed, clusterUnreachable)
		w.away(false)
		w.again()
		w.until("gone", func() bool { _, ok := w.group(); return !ok })
	})
}
