package cluster

import (
	"context"
	"reflect"
	"slices"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// faultsOf are the things that a cluster needs and that are not there any more, with EKS's
// codes. They are looked for each time anew: an issue goes when its cause does.
func faultsOf(tx *store.Tx, cl resource.Cluster) (out []resource.Issue) {
	missing := func(code, message string, ids []string, has func(string) bool) {
		if lost := slices.DeleteFunc(slices.Clone(ids), has); len(lost) > 0 {
			out = append(out, resource.Issue{Code: code, Message: message, ResourceIDs: lost})
		}
	}
	one := func(id string) []string {
		return slices.DeleteFunc([]string{id}, func(s string) bool { return s == "" })
	}
	missing("VpcNotFound", "We couldn't find the VPC associated with your cluster. You must delete and recreate your cluster.", one(cl.Spec.VPC), tx.VPCs.Has)
	missing("Ec2SubnetNotFound", "We couldn't find one or more subnets associated with your cluster. Call the update-cluster-config operation to update subnets.", cl.Spec.Subnets, tx.Subnets.Has)
	missing("Ec2SecurityGroupNotFound", "We couldn't find one or more security groups associated with your cluster. Call the update-cluster-config operation to update security groups.",
		append(one(cl.Spec.ClusterSecurityGroup), cl.Spec.SecurityGroups...), tx.SecurityGroups.Has)
	missing("IamRoleNotFound", "We couldn't find the IAM role associated with your cluster. You must recreate the role.", one(cl.Spec.RoleARN), tx.Roles.Has)
	return out
}

// watchHealth writes the issues that there are.
func (c *Controller) watchHealth(ctx context.Context, arn string) error {
	cl, _, ok, err := c.get(arn)
	if err != nil || !ok || cl.Deleting {
		return err
	}
	var issues []resource.Issue
	err = c.store.View(func(tx *store.Tx) error { issues = faultsOf(tx, cl); return nil })
	if err != nil {
		return err
	}
	if _, stuck := c.successor(cl); stuck {
		issues = append(issues, resource.Issue{Code: "UnsupportedVersion", ResourceIDs: []string{cl.Name},
			Message: "Kubernetes version " + cl.Version() + " is past the support that the cluster's upgrade policy allows, and there is no version to upgrade it to."})
	}
	if reflect.DeepEqual(issues, cl.Status.Issues) {
		return nil
	}
	return c.setStatus(ctx, arn, func(s *resource.ClusterStatus) error { s.Issues = issues; return nil })
}

// retryUpgrade is how long after an upgrade of its own that has failed EKS tries again.
const retryUpgrade = 24 * time.Hour

// supportEnd is when the support ends that a cluster's upgradePolicy allows its version.
func supportEnd(cl resource.Cluster) (time.Time, bool) {
	v, ok := eksversion.Lookup(cl.Version())
	if cl.Spec.SupportType == "STANDARD" {
		return v.StandardEnd, ok
	}
	return v.ExtendedEnd, ok
}

// successor is the version that a cluster past its support is to be upgraded to; stuck says
// that there is none to be had.
func (c *Controller) successor(cl resource.Cluster) (next eksversion.Version, stuck bool) {
	end, ok := supportEnd(cl)
	if !ok || c.cfg.Now().Before(end) {
		return next, false
	}
	for _, v := range eksversion.All() {
		if _, here := c.cfg.Kube(v.Minor); here && eksversion.Older(v.Minor, 1) == cl.Version() {
			return v, false
		}
	}
	return next, true
}

// expire upgrades a cluster whose version has come to the end of its support by one minor
// version, as EKS does by itself, and says when to look again.
func (c *Controller) expire(ctx context.Context, arn string) (time.Duration, error) {
	cl, _, ok, err := c.get(arn)
	end, known := supportEnd(cl)
	if err != nil || !ok || !known || cl.Current() != resource.ClusterActive {
		return reconcile.Never, err
	}
	now := c.cfg.Now()
	if left := end.Sub(now); left > 0 {
		return left, nil
	}
	next, stuck := c.successor(cl)
	if stuck {
		return reconcile.Never, nil // its health says so
	}
	again := reconcile.Never
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(arn)
		if !ok || cl.Current() != resource.ClusterActive {
			return nil
		}
		for _, u := range tx.Updates.All() {
			if u.Cluster == arn && u.Nodegroup == "" && u.Type == "VersionUpdate" && u.State == resource.UpdateFailed {
				if left := retryUpgrade - now.Sub(u.Ended); left > 0 {
					again = left
					return nil
				}
			}
		}
		c.log.Info("upgrading a cluster whose version has come to the end of its support", "cluster", cl.Name, "from", cl.Version(), "to", next.Minor)
		cl.Spec.Version, cl.Spec.ScalingTier = next.Minor, cl.Tier() // and no tier that has failed before
		cl.Spec.Revision++
		tx.Clusters.Put(arn, cl)
		u := resource.Update{
			ID: awsid.UUID(), Cluster: arn, Type: "VersionUpdate", Created: now, Revision: cl.Spec.Revision, State: resource.UpdateInProgress,
			Params: []resource.UpdateParam{{Type: "Version", Value: next.Minor}, {Type: "PlatformVersion", Value: next.Platform}},
		}
		tx.Updates.Put(u.ID, u)
		return nil
	})
	return again, err
}
