package account

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const mine, other = "111111111111", "222222222222"

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func update(t *testing.T, st *store.Store, f func(tx *store.Tx)) {
	t.Helper()
	if err := st.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// fill gives an account some of everything, and returns how many records that are.
func fill(tx *store.Tx, id string) {
	home := resource.Home{Account: id, Region: "us-west-2"}
	cluster := "arn:aws:eks:us-west-2:" + id + ":cluster/c"
	group := "arn:aws:autoscaling:us-west-2:" + id + ":autoScalingGroup:u:autoScalingGroupName/g"
	tx.Accounts.Put(id, resource.Account{ID: id})
	tx.AccessKeys.Put("AKIA"+id, resource.AccessKey{Account: id, ID: "AKIA" + id})
	tx.Roles.Put("arn:aws:iam::"+id+":role/r", resource.Role{Account: id})
	tx.VPCs.Put("vpc-"+id, resource.VPC{Home: home, ID: "vpc-" + id})
	tx.Clusters.Put(cluster, resource.Cluster{Home: home, ARN: cluster})
	tx.Nodegroups.Put(cluster+"/n", resource.Nodegroup{Home: home})
	tx.AutoScalingGroups.Put(group, resource.AutoScalingGroup{Home: home, ARN: group})
	tx.GroupInstances.Put("i-"+id, resource.GroupInstance{Group: group, Instance: "i-" + id})
	tx.ScalingActivities.Put("a"+id, resource.ScalingActivity{Group: group})
	tx.AccessEntries.Put(cluster+"|x", resource.AccessEntry{Cluster: cluster, Principal: "arn:aws:iam::" + other + ":user/u"})
	tx.Nodes.Put(cluster+"|node", resource.Node{Cluster: cluster})
	tx.Instances.Put("i-"+id, resource.Instance{Home: home, ID: "i-" + id, Status: resource.InstanceStatus{State: resource.InstanceRunning}, Spec: resource.InstanceSpec{TerminationProtection: true}})
	for i := range 3 * batch {
		name := "arn:aws:iam::" + id + ":user/" + time.Duration(i).String()
		tx.Users.Put(name, resource.User{Account: id, ARN: name})
	}
}

// owned counts the records of an account, of all kinds.
func owned(t *testing.T, st *store.Store, id string) (n int) {
	t.Helper()
	update(t, st, func(tx *store.Tx) {
		n = tx.DeleteWhere(1_000_000, func(_, key string, record any) bool { return owner(key, record) == id })
		if tx.Accounts.Has(id) {
			n++
		}
		fill(tx, id) // puts back what counting has deleted
	})
	return n
}

func TestAccountGoesWithEverything(t *testing.T) {
	st := open(t)
	update(t, st, func(tx *store.Tx) { fill(tx, mine); fill(tx, other) })
	before := owned(t, st, other)
	c := New(st, time.Now, slog.New(slog.NewTextHandler(io.Discard, nil)))
	step := func(want time.Duration) {
		t.Helper()
		if got, err := c.Reconcile(t.Context(), mine); err != nil || got != want {
			t.Fatalf("again in %s, %v; want %s", got, err, want)
		}
	}
	step(0) // nobody has asked
	update(t, st, func(tx *store.Tx) {
		a, _ := tx.Accounts.Get(mine)
		a.Deleting = true
		tx.Accounts.Put(mine, a)
	})
	step(again)
	update(t, st, func(tx *store.Tx) {
		if i, _ := tx.Instances.Get("i-" + mine); !i.Terminating {
			t.Error("the instance is not asked to go")
		}
		if cl, _ := tx.Clusters.Get("arn:aws:eks:us-west-2:" + mine + ":cluster/c"); !cl.Deleting {
			t.Error("the cluster is not asked to go")
		}
		if !tx.VPCs.Has("vpc-" + mine) {
			t.Error("the network has gone before the machines")
		}
		for _, g := range tx.AutoScalingGroups.All() {
			if g.Account == mine {
				t.Error("a group stays to replace what goes")
			}
		}
		provision.Terminated(tx, "i-"+mine, time.Now())
	})
	step(again) // the cluster is still there
	update(t, st, func(tx *store.Tx) { tx.Clusters.Delete("arn:aws:eks:us-west-2:" + mine + ":cluster/c") })
	step(0)
	update(t, st, func(tx *store.Tx) {
		n := tx.DeleteWhere(1_000_000, func(table, key string, record any) bool {
			if owner(key, record) != mine {
				return false
			}
			t.Errorf("%s/%s is left", table, key)
			return true
		})
		if n > 0 || tx.Accounts.Has(mine) {
			t.Errorf("%d records are left", n)
		}
	})
	if after := owned(t, st, other); after != before {
		t.Errorf("another account has %d records instead of %d", after, before)
	}
	step(0) // it is gone, and may be asked once more
}
