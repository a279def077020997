package nodegroup

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// lives are what a node group goes through; each ends in a state that does not depend on
// what failed on the way.
var lives = map[string]func(*world){
	"create": func(w *world) { w.untilActive() },
	"config": func(w *world) {
		w.untilActive()
		w.relabel()
		w.untilActive()
	},
	"roll": func(w *world) {
		w.untilActive()
		w.ask("1.35", false)
		w.untilActive()
	},
	"delete": func(w *world) {
		w.untilActive()
		w.delete()
		w.until("gone", func() bool { _, ok := w.group(); return !ok })
	},
}

// relabel records an UpdateNodegroupConfig as service/eks does.
func (w *world) relabel() {
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Spec.ForcedConfigUpdateRevision++
		ng.Spec.Labels = map[string]string{"a": "b"}
		tx.Nodegroups.Put(ng.ARN, ng)
		tx.Updates.Put("u1", resource.Update{ID: "u1", Cluster: clusterARN, Nodegroup: ng.ARN, Revision: ng.Spec.ForcedConfigUpdateRevision, State: resource.UpdateInProgress,
			Params: []resource.UpdateParam{{Type: "LabelsToAdd", Value: `{"a":"b"}`}}})
		return nil
	})
}

// End is the state that a life ends in.
func (w *world) End() string {
	ng, ok := w.group()
	s := w.state()
	var labels []string
	w.nodes.mu.Lock()
	for _, m := range s.members {
		labels = append(labels, fmt.Sprint(w.nodes.labels[m.node.Name]))
	}
	roles := len(w.nodes.roles)
	w.nodes.mu.Unlock()
	slices.Sort(labels)
	counts := ""
	_ = w.store.View(func(tx *store.Tx) error {
		n := map[string]int{}
		for range tx.AutoScalingGroups.All() {
			n["groups"]++
		}
		for range tx.LaunchTemplates.All() {
			n["templates"]++
		}
		for range tx.InstanceProfiles.All() {
			n["profiles"]++
		}
		counts = fmt.Sprint(n)
		return nil
	})
	return fmt.Sprintf("%v %s %s, update %s, templates %s, labels %s, roles %d, %s, sizes %d %d %d", ok, ng.Current(), ng.Rolled().Version, w.updated("u1").State,
		w.templates(), strings.Join(labels, " "), roles, counts, s.group.Spec.Min, s.group.Spec.Max, s.group.Spec.Desired)
}

// Host are the calls that were made for nodes.
func (w *world) Host() *reconciletest.Calls { return &w.nodes.Calls }

// Again is a daemon started anew.
func (w *world) Again() {
	w.restart()
	for range 3 {
		w.step()
	}
}

func plain(t *testing.T) *world { return newWorld(t, nil) }

func TestEachHostCallFailsOnce(t *testing.T) { reconciletest.EachCallFailsOnce(t, lives, plain) }

func TestRunTwice(t *testing.T) { reconciletest.RunTwice(t, lives, plain) }
