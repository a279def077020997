package lifecycle

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// compare waits until the host is as the records say, now that nothing goes on.
func (l *life) compare() {
	l.t.Helper()
	differs := ""
	l.await("as the records say", func() bool { differs = l.differs(); return differs == "" || l.daemon.dead.Load() })
	if l.calm {
		for _, t := range l.now() {
			if t.kind != "access entry" && t.status != "ACTIVE" && t.status != resource.UpdateSuccessful {
				l.t.Fatalf("nothing went wrong, and %s %s (%s) is %s", t.kind, t.name, t.what, t.status)
			}
		}
	}
}

// differs is one way in which the host is not what the records say, "" if there is none.
func (l *life) differs() (what string) {
	_ = l.daemon.store.View(func(tx *store.Tx) error { // the function returns no error
		for _, c := range tx.Clusters.All() {
			dir := cluster.Dir(l.clusters(), c)
			l.host.mu.Lock()
			p := l.host.planes[dir]
			l.host.mu.Unlock()
			if c.Current() == resource.ClusterActive && (p == nil || p.version != c.Version()) {
				what = fmt.Sprintf("cluster %s of version %s has the control plane %+v", c.Name, c.Version(), p)
			}
			if standard := c.Tier() == resource.TierStandard; c.Current() == resource.ClusterActive && p != nil && standard != (p.config.Tier == controlplane.Tier{}) {
				what = fmt.Sprintf("cluster %s of tier %s has a control plane of %+v", c.Name, c.Tier(), p.config.Tier)
			}
			for _, a := range tx.Addons.All() {
				if a.Cluster != c.ARN || a.Current() != resource.AddonActive {
					continue
				}
				if suffix := "s/" + a.Name; !l.host.applied(dir, suffix) {
					what = fmt.Sprintf("add-on %s is ACTIVE without its workload", a.Name)
				}
			}
		}
		for _, n := range tx.Nodegroups.All() {
			if w := l.unlike(tx, n); w != "" && l.calm {
				what = w
			}
		}
		for _, g := range tx.AutoScalingGroups.All() {
			running := 0
			for _, m := range tx.GroupInstances.All() {
				l.host.mu.Lock()
				if vm := l.host.machines[filepath.Join(l.dir, "instances", m.Instance)]; m.Group == g.ARN && vm != nil && vm.running {
					running++
				}
				l.host.mu.Unlock()
			}
			if running != int(g.Spec.Desired) || g.Spec.Desired < g.Spec.Min || g.Spec.Desired > g.Spec.Max {
				what = fmt.Sprintf("group %s wants %d instances of %d to %d, and %d machines run", g.Name, g.Spec.Desired, g.Spec.Min, g.Spec.Max, running)
			}
		}
		return nil
	})
	return what
}

// unlike is how a machine of a node group is not what its description says, "" if all are.
// Where nothing has gone wrong all nodes have the group's version, and take pods.
func (l *life) unlike(tx *store.Tx, n resource.Nodegroup) string {
	for _, m := range tx.GroupInstances.All() {
		in, _ := tx.Instances.Get(m.Instance)
		if in.Tags["eks:nodegroup-name"] != n.Name || in.Tags["eks:cluster-name"] != clusterOf(n.Cluster) || n.Current() != resource.NodegroupActive {
			continue
		}
		image, _ := ami.ByID(in.Region, in.Spec.Image)
		if image.Minor != n.Rolled().Version {
			return fmt.Sprintf("node group %s has version %s, and instance %s has %s", n.Name, n.Rolled().Version, in.ID, image.Minor)
		}
		l.host.mu.Lock()
		cordoned := l.host.cordoned[in.Spec.PrivateDNS]
		l.host.mu.Unlock()
		if cordoned {
			return fmt.Sprintf("node group %s is %s, and its node %s is cordoned", n.Name, n.Current(), in.Spec.PrivateDNS)
		}
	}
	return ""
}

// clean deletes everything as a user does, and waits until nothing is left.
func (l *life) clean() {
	l.t.Helper()
	l.note("the end")
	l.host.turn((*knobs).heal)
	l.resume()
	l.await("empty", func() bool {
		if l.daemon.dead.Load() {
			return false
		}
		v := l.now()
		for _, c := range v.all("cluster", "") {
			if c.status == "DELETING" {
				continue
			}
			for _, n := range v.all("nodegroup", c.name) {
				if n.status != "DELETING" {
					l.dropNodegroup(c.name, n.name)
				}
			}
			if len(v.all("nodegroup", c.name)) == 0 && len(v.restless()) == 0 {
				l.dropCluster(c.name)
			}
		}
		return len(l.now().all("cluster", "")) == 0 && len(l.left()) == 0
	})
}

func (l *life) dropCluster(name string) {
	l.t.Helper()
	if l.facts[name].protected {
		if l.call("UpdateClusterConfig "+name+" protection off", func(ctx context.Context) error {
			_, err := l.daemon.eks.UpdateClusterConfig(ctx, &eks.UpdateClusterConfigInput{Name: &name, DeletionProtection: aws.Bool(false)})
			return err
		}, func(v view) []string { return answers(forUpdate(v, name)) }) {
			l.facts[name].protected = false
		}
		return
	}
	l.call("DeleteCluster "+name, func(ctx context.Context) error {
		_, err := l.daemon.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: &name})
		return err
	}, func(v view) []string { return l.forDelete(v, name) })
}
