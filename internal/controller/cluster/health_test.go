package cluster

import (
	"testing"
	"time"

	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func (w *world) codes() (out string) {
	cl, _ := w.cluster()
	for _, i := range cl.Status.Issues {
		out += i.Code + " "
	}
	return out
}

// Whatever is taken away from a cluster shows, until it is back.
func TestIssuesComeAndGo(t *testing.T) {
	w := newWorld(t)
	const role = "arn:aws:iam::000000000000:role/cluster"
	w.update(func(tx *store.Tx) error {
		tx.Roles.Put(role, resource.Role{ARN: role})
		cl, _ := tx.Clusters.Get(clusterARN)
		cl.Spec.RoleARN = role
		for id := range tx.Subnets.All() {
			cl.Spec.Subnets = append(cl.Spec.Subnets, id)
		}
		tx.Clusters.Put(cl.ARN, cl)
		return nil
	})
	w.settle()
	cl, _ := w.cluster()
	for code, take := range map[string]func(*store.Tx) (giveBack func(*store.Tx)){
		"IamRoleNotFound ": func(tx *store.Tx) func(*store.Tx) {
			r, _ := tx.Roles.Get(role)
			tx.Roles.Delete(role)
			return func(tx *store.Tx) { tx.Roles.Put(role, r) }
		},
		"Ec2SubnetNotFound ": func(tx *store.Tx) func(*store.Tx) {
			s, _ := tx.Subnets.Get(cl.Spec.Subnets[1])
			tx.Subnets.Delete(s.ID)
			return func(tx *store.Tx) { tx.Subnets.Put(s.ID, s) }
		},
		"Ec2SecurityGroupNotFound ": func(tx *store.Tx) func(*store.Tx) {
			g, _ := tx.SecurityGroups.Get(cl.Spec.ClusterSecurityGroup)
			tx.SecurityGroups.Delete(g.ID)
			return func(tx *store.Tx) { tx.SecurityGroups.Put(g.ID, g) }
		},
	} {
		var giveBack func(*store.Tx)
		w.update(func(tx *store.Tx) error { giveBack = take(tx); return nil })
		w.settle()
		if got := w.codes(); got != code {
			t.Errorf("issues %q, want %q", got, code)
		}
		w.update(func(tx *store.Tx) error { giveBack(tx); return nil })
		w.settle()
		if got := w.codes(); got != "" {
			t.Errorf("issues %q after %s", got, code)
		}
	}
	if cl, _ := w.cluster(); cl.Current() != resource.ClusterActive {
		t.Errorf("it is %s", cl.Current())
	}
}

// A version whose support has ended is left, when that is depends on the upgrade policy.
func TestEndOfSupport(t *testing.T) {
	v, _ := eksversion.Lookup("1.35")
	for policy, end := range map[string]time.Time{"STANDARD": v.StandardEnd, "EXTENDED": v.ExtendedEnd} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			w.update(func(tx *store.Tx) error {
				cl, _ := tx.Clusters.Get(clusterARN)
				cl.Spec.SupportType = policy
				tx.Clusters.Put(cl.ARN, cl)
				return nil
			})
			w.now = end.Add(-48 * time.Hour)
			w.settle()
			if cl, _ := w.cluster(); cl.Version() != "1.35" || cl.Spec.Revision != 0 {
				t.Fatalf("two days before it is at %s", cl.Version())
			}
			w.now = end.Add(time.Minute)
			w.settle()
			cl, _ := w.cluster()
			if cl.Version() != "1.36" || w.binary() != "1.36" || cl.Current() != resource.ClusterActive {
				t.Fatalf("it is %s at %s, runs %s", cl.Current(), cl.Version(), w.binary())
			}
			var shown []string
			_ = w.store.View(func(tx *store.Tx) error {
				for _, u := range tx.Updates.All() {
					shown = append(shown, u.Type+" "+u.State+" "+u.Params[0].Value)
				}
				return nil
			})
			if len(shown) != 1 || shown[0] != "VersionUpdate Successful 1.36" {
				t.Errorf("updates %v", shown)
			}
		})
	}
}

// One that does not come up is tried again a day later; without a version to go to, the
// cluster's health says so.
func TestEndOfSupportWithoutAWay(t *testing.T) {
	w := newWorld(t)
	v, _ := eksversion.Lookup("1.35")
	w.now = v.ExtendedEnd.Add(time.Minute)
	w.host.broken["/payload/1.36"] = "kube-apiserver: etcd"
	w.settle()
	cl, _ := w.cluster()
	if cl.Version() != "1.35" || cl.Spec.Revision != 1 {
		t.Fatalf("at %s after %d updates", cl.Version(), cl.Spec.Revision)
	}
	delete(w.host.broken, "/payload/1.36")
	w.settle()
	if cl, _ = w.cluster(); cl.Spec.Revision != 1 {
		t.Fatalf("tried again at once: %d updates", cl.Spec.Revision)
	}
	w.now = w.now.Add(retryUpgrade)
	w.settle()
	if cl, _ = w.cluster(); cl.Version() != "1.36" {
		t.Fatalf("at %s a day later", cl.Version())
	}
	newest, _ := eksversion.Lookup("1.36")
	w.now = newest.ExtendedEnd.Add(time.Minute)
	w.settle()
	if got := w.codes(); got != "UnsupportedVersion " {
		t.Errorf("issues %q", got)
	}
}

// A tier that could not be is not asked for again with a version.
func TestEndOfSupportAfterFailedTier(t *testing.T) {
	w := newWorld(t)
	v, _ := eksversion.Lookup("1.35")
	w.settle()
	w.ask(tierUpdate, "up", toTier("tier-xl"))
	w.settle()
	w.host.data = 8<<30 + 1
	w.ask(tierUpdate, "down", toTier("standard"))
	w.settle()
	w.update(func(tx *store.Tx) error { // and a node group's failure is none of the cluster's
		tx.Updates.Put("n", resource.Update{ID: "n", Cluster: clusterARN, Nodegroup: "n", Type: "VersionUpdate", State: resource.UpdateFailed, Ended: v.ExtendedEnd})
		return nil
	})
	w.now = v.ExtendedEnd.Add(time.Minute)
	w.settle()
	if cl, _ := w.cluster(); cl.Version() != "1.36" || cl.Tier() != "tier-xl" {
		t.Errorf("it is at %s and %s: %+v", cl.Version(), cl.Tier(), cl.Status)
	}
}
