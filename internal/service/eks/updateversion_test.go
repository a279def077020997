package eks_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// at makes a cluster that runs a version.
func at(version string) func(*sdk.CreateClusterInput) {
	return func(in *sdk.CreateClusterInput) { in.Version = aws.String(version) }
}

// changeCluster alters a cluster's record.
func (w *world) changeCluster(t *testing.T, arn string, f func(*resource.Cluster)) resource.Cluster {
	t.Helper()
	var c resource.Cluster
	w.Update(t, func(tx *store.Tx) {
		c, _ = tx.Clusters.Get(arn)
		f(&c)
		tx.Clusters.Put(arn, c)
	})
	return c
}

// done ends a cluster's updates, as its controller would.
func (w *world) done(t *testing.T, arn string) {
	t.Helper()
	w.Update(t, func(tx *store.Tx) {
		c, _ := tx.Clusters.Get(arn)
		if was := c.Version(); was != c.Spec.Version {
			c.Status.UpgradedFrom, c.Status.Upgraded = was, now
		}
		c.Status.RunningTier = c.TargetTier()
		c.Status.AppliedRevision, c.Status.RunningVersion = c.Spec.Revision, c.Spec.Version
		tx.Clusters.Put(arn, c)
		for id, u := range tx.Updates.All() {
			if u.Cluster == arn && u.Nodegroup == "" {
				u.State = resource.UpdateSuccessful
				tx.Updates.Put(id, u)
			}
		}
	})
}

func (w *world) node(t *testing.T, cluster, name, version string) {
	t.Helper()
	w.Update(t, func(tx *store.Tx) {
		tx.Nodes.Put(resource.NodeKey(cluster, name), resource.Node{Cluster: cluster, Name: name, Instance: "i-1", Ready: true, Version: version})
	})
}

func TestUpdateClusterVersion(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.34"))
	up := func(version string, force bool) (*sdk.UpdateClusterVersionOutput, error) {
		return w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c"), Version: aws.String(version), Force: force})
	}
	for _, refused := range []struct{ version, message string }{
		{"1.36", "Unsupported Kubernetes minor version update from 1.34 to 1.36"},
		{"1.34", "Unsupported Kubernetes minor version update from 1.34 to 1.34"},
		{"1.31", "Unsupported Kubernetes minor version update from 1.34 to 1.31"},
		{"1.37", "unsupported Kubernetes version 1.37"},
		{"1.33", "unsupported Kubernetes version 1.33"}, // there is no payload
	} {
		_, err := up(refused.version, true)
		fails(t, err, "InvalidParameterException", refused.message)
	}
	_, err := w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("x"), Version: aws.String("1.35")})
	fails(t, err, "ResourceNotFoundException", "No cluster found for name: x.")

	in := &sdk.UpdateClusterVersionInput{Name: aws.String("c"), Version: aws.String("1.35"), ClientRequestToken: aws.String("t")}
	out, err := w.root.UpdateClusterVersion(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	w.golden(t, "updateclusterversion.json")
	again, err := w.root.UpdateClusterVersion(t.Context(), in)
	if err != nil || *again.Update.Id != *out.Update.Id {
		t.Fatalf("the same token again: %+v, %v", again, err)
	}
	d, err := w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c")})
	if err != nil || d.Cluster.Status != types.ClusterStatusUpdating || *d.Cluster.Version != "1.34" {
		t.Fatalf("%+v, %v", d, err)
	}
	_, err = up("1.36", false)
	fails(t, err, "ResourceInUseException", "Cannot VersionUpdate because cluster c currently has an update in progress")
	_, err = w.root.DeleteCluster(t.Context(), &sdk.DeleteClusterInput{Name: aws.String("c")})
	fails(t, err, "ResourceInUseException", "Cannot delete because cluster c currently has an update in progress")
	_, err = w.root.CancelUpdate(t.Context(), &sdk.CancelUpdateInput{Name: aws.String("c"), UpdateId: out.Update.Id})
	fails(t, err, "InvalidRequestException", "Update "+*out.Update.Id+" of type VersionUpdate cannot be cancelled. Only version rollbacks of EKS Auto Mode clusters can be cancelled.")

	w.done(t, c.ARN)
	d, err = w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c")})
	if err != nil || d.Cluster.Status != types.ClusterStatusActive || *d.Cluster.Version != "1.35" {
		t.Fatalf("%+v, %v", d, err)
	}
	_, err = w.root.CancelUpdate(t.Context(), &sdk.CancelUpdateInput{Name: aws.String("c"), UpdateId: out.Update.Id})
	fails(t, err, "InvalidStateException", "Update "+*out.Update.Id+" cannot be cancelled because it is in status Successful")
}

func TestUpdateClusterVersionSkew(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.34"))
	w.activeNodegroup(t, "c", "old", func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.34") })
	arn := w.activeNodegroup(t, "c", "older", func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.34") })
	w.change(t, arn, func(n *resource.Nodegroup) { n.Spec.Version = "1.31" })
	up := func(force bool) error {
		_, err := w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c"), Version: aws.String("1.35"), Force: force})
		return err
	}
	const refusal = "Nodegroups older must be updated to match cluster version 1.34 before updating cluster version"
	fails(t, up(false), "InvalidParameterException", refusal)
	fails(t, up(true), "InvalidParameterException", refusal)
	w.change(t, arn, func(n *resource.Nodegroup) { n.Spec.Version = "1.34" })
	w.node(t, c.ARN, "own", "v1.31.14-eks-0123456")
	fails(t, up(false), "InvalidStateException", "Cluster c has insights with status ERROR that must be resolved before the update to version 1.35: Kubelet version skew. Use the force flag to override them.")
	if err := up(true); err != nil {
		t.Fatal(err)
	}
}

func TestVersionRollback(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.35"))
	to := func(version string, force bool) (*sdk.UpdateClusterVersionOutput, error) {
		return w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c"), Version: aws.String(version), Force: force})
	}
	const never = "Unsupported Kubernetes minor version update from 1.35 to 1.34"
	_, err := to("1.34", true)
	fails(t, err, "InvalidParameterException", never) // it was created so
	if _, err := to("1.36", false); err != nil {
		t.Fatal(err)
	}
	w.done(t, c.ARN)
	w.node(t, c.ARN, "new", "v1.36.3-eks-0123456")
	_, err = to("1.35", false)
	fails(t, err, "InvalidStateException", "Cluster c has insights with status ERROR that must be resolved before the update to version 1.35: Kubelet version skew. Use the force flag to override them.")
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) { c.Status.Upgraded = now.Add(-8 * 24 * time.Hour) })
	_, err = to("1.35", true)
	fails(t, err, "InvalidParameterException", "Unsupported Kubernetes minor version update from 1.36 to 1.35")
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) { c.Status.Upgraded = now.Add(-6 * 24 * time.Hour) })
	out, err := to("1.35", true)
	if err != nil || out.Update.Type != types.UpdateTypeVersionRollback {
		t.Fatalf("%+v, %v", out, err)
	}
}
