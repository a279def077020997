package cluster

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DefaultUpgradeTimeout is how long the control plane of another version or tier may take to become
// ready. A fresh one takes seconds; a cluster of many objects some more.
const DefaultUpgradeTimeout = 3 * time.Minute

// maxDeaths is how often the process of another version may end before it is ready.
const maxDeaths = 5

// deathPause spaces the starts of a process that ends at once.
const deathPause = time.Second

// upgrading says whether the control plane is to become one of a version that has not been
// up yet.
func upgrading(cl resource.Cluster) bool {
	return cl.Status.RunningVersion != "" && cl.TargetVersion() != cl.Status.RunningVersion
}

// switching says whether the control plane is to become one that has not been up yet: of
// another version or another scaling tier.
func switching(cl resource.Cluster) bool {
	return upgrading(cl) || cl.Status.RunningVersion != "" && cl.TargetTier() != cl.Tier()
}

// failure is why the update that cl asked for has failed.
func failure(cl resource.Cluster) resource.UpdateError {
	what, before := "of Kubernetes version "+cl.Spec.Version, "version "+cl.Status.RunningVersion
	if cl.Spec.Version == cl.Status.RunningVersion {
		what, before = "of the scaling tier "+cl.Spec.ScalingTier, "tier "+cl.Tier()
	}
	return resource.UpdateError{Code: cmp.Or(cl.Status.FailedCode, "Unknown"), ResourceIDs: []string{cl.Name}, Message: fmt.Sprintf(
		"The control plane %s did not become ready and the cluster stays at %s. %s", what, before, cl.Status.FailedReason)}
}

// begin shows that an update is carried out, and gives up what has had its time: first a version or
// tier, and then, as any other update, the update itself. It returns the cluster as it is then.
func (c *Controller) begin(ctx context.Context, cl resource.Cluster) (resource.Cluster, error) {
	if !cl.Updating() || cl.Status.State == resource.ClusterCreating {
		return cl, nil
	}
	now := c.cfg.Now()
	if cl.Status.UpdateStarted.IsZero() {
		if ended, err := c.prepare(ctx, cl.ARN); ended || err != nil {
			return c.again(cl.ARN, err)
		}
	}
	full, err := c.overflows(cl)
	if err != nil {
		return cl, err
	}
	late := false
	err = c.setStatus(ctx, cl.ARN, func(s *resource.ClusterStatus) error {
		if s.UpdateStarted.IsZero() {
			s.UpdateStarted, s.UpdateDeaths = now, 0
		}
		late = now.Sub(s.UpdateStarted) > c.upgradeTimeout()
		if switching(cl) && (late || s.UpdateDeaths >= maxDeaths) {
			s.FailedRevision, s.FailedCode, s.FailedReason, s.UpdateStarted, late = cl.Spec.Revision, "", s.Waiting, now, false
		}
		if full && s.FailedRevision != cl.Spec.Revision {
			s.FailedRevision, s.FailedCode, s.FailedReason = cl.Spec.Revision, "OperationNotPermitted", tooLarge
		}
		return s.Move(resource.ClusterUpdating)
	})
	if err == nil && late {
		err = c.giveUp(ctx, cl.ARN)
	}
	return c.again(cl.ARN, err)
}

// again is the cluster as it is now, unless there is an error.
func (c *Controller) again(arn string, err error) (resource.Cluster, error) {
	if err != nil {
		return resource.Cluster{}, err
	}
	cl, _, _, err := c.get(arn)
	return cl, err
}

// giveUp ends the update of a cluster whose control plane does not become ready, which it
// does not wait for any longer. What was asked for takes effect when it does.
func (c *Controller) giveUp(ctx context.Context, arn string) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Clusters.Edit(arn, func(now *resource.Cluster) error {
			if !now.Updating() {
				return nil
			}
			c.end(tx, *now, &now.Status, unreachable(*now, now.Status.Waiting))
			return now.Status.Move(resource.ClusterActive)
		})
	})
}

// unreachable is the error of an update that the control plane has not come to, since it waits
// for something.
func unreachable(cl resource.Cluster, waiting string) resource.UpdateError {
	return resource.UpdateError{Code: "ClusterUnreachable", ResourceIDs: []string{cl.Name},
		Message: "The control plane of the cluster did not become ready. " + waiting}
}

// unplugged waits for a network interface, for no longer than what is asked of the cluster may take.
func (c *Controller) unplugged(ctx context.Context, cl resource.Cluster, eni string) (time.Duration, error) {
	if err := c.waiting(ctx, cl.ARN, "network interface "+eni); err != nil {
		return reconcile.Never, err
	}
	left, err := c.giveUpProviders(ctx, cl, "It waits for the network interface "+eni+".")
	if cl.Updating() && !cl.Status.UpdateStarted.IsZero() {
		own := max(time.Millisecond, c.upgradeTimeout()-c.cfg.Now().Sub(cl.Status.UpdateStarted)+time.Millisecond)
		if left == reconcile.Never || own < left {
			left = own
		}
	}
	return left, err
}

func (c *Controller) upgradeTimeout() time.Duration {
	if c.cfg.UpgradeTimeout == 0 {
		return DefaultUpgradeTimeout
	}
	return c.cfg.UpgradeTimeout
}

// died counts a start of another version's process that failed.
func (c *Controller) died(ctx context.Context, cl resource.Cluster, why error) (time.Duration, error) {
	c.log.Warn("a control plane of another version has not come up", "cluster", cl.Name, "version", cl.TargetVersion(), "err", why)
	return deathPause, c.setStatus(ctx, cl.ARN, func(s *resource.ClusterStatus) error {
		s.Waiting = why.Error()
		s.UpdateDeaths++
		return nil
	})
}

// ready records that the control plane of cl, which is what the caller has seen and
// ensured, is up: the cluster is ACTIVE and the update that cl asked for has ended.
func (c *Controller) ready(ctx context.Context, cl resource.Cluster, f func(*resource.ClusterStatus)) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Clusters.Edit(cl.ARN, func(now *resource.Cluster) error {
			s := &now.Status
			f(s)
			if s.State == resource.ClusterCreating {
				s.Ready = c.cfg.Now()
			}
			if cl.Updating() {
				c.end(tx, cl, s)
			}
			s.RunningVersion, s.RunningTier = cl.TargetVersion(), cl.TargetTier()
			return s.Move(resource.ClusterActive)
		})
	})
}

// end ends the update that cl asked for; it has failed if there are errors, or if its version or
// tier has.
func (c *Controller) end(tx *store.Tx, cl resource.Cluster, s *resource.ClusterStatus, errs ...resource.UpdateError) {
	if cl.Status.FailedRevision == cl.Spec.Revision {
		errs = append([]resource.UpdateError{failure(cl)}, errs...)
	}
	for id, u := range tx.Updates.All() {
		if u.Cluster != cl.ARN || u.Nodegroup != "" || u.Addon != "" || u.State != resource.UpdateInProgress || u.Revision > cl.Spec.Revision || ofProvider(u) {
			continue
		}
		u, _ := tx.Updates.Get(id) // one that may be changed
		u.State, u.Ended = resource.UpdateSuccessful, c.cfg.Now()
		if len(errs) > 0 {
			u.State, u.Errors = resource.UpdateFailed, errs
		}
		tx.Updates.Put(id, u)
		if upgrading(cl) && len(errs) == 0 {
			s.UpgradedFrom, s.Upgraded = "", time.Time{}
			if u.Type == "VersionUpdate" { // a rollback is a step back that leads nowhere else
				s.UpgradedFrom, s.Upgraded = cl.Status.RunningVersion, c.cfg.Now()
			}
		}
	}
	s.AppliedRevision = cl.Spec.Revision
	s.UpdateStarted, s.UpdateDeaths, s.FailedCode, s.FailedReason = time.Time{}, 0, "", ""
}
