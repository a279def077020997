package addon

import (
	"context"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// change writes the status that f makes of the present one, if it differs.
func (c *Controller) change(ctx context.Context, arn string, f func(tx *store.Tx, a *resource.Addon) error) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Addons.Edit(arn, func(a *resource.Addon) error { return f(tx, a) })
	})
}

func (c *Controller) waiting(ctx context.Context, arn, what string) error {
	return c.change(ctx, arn, func(_ *store.Tx, a *resource.Addon) error { a.Status.Waiting = what; return nil })
}

// begin is at the start of what was asks for: a revision, or the end.
func (c *Controller) begin(ctx context.Context, was resource.Addon) error {
	return c.change(ctx, was.ARN, func(_ *store.Tx, a *resource.Addon) error {
		s := &a.Status
		to := resource.AddonUpdating
		switch {
		case was.Deleting:
			to = resource.AddonDeleting
		case s.State == resource.AddonCreating:
			to = resource.AddonCreating
		}
		if s.Begun.IsZero() || was.Deleting && s.State != to {
			s.Begun = c.now()
		}
		if s.State != to {
			s.Issues = nil
		}
		return s.Move(to)
	})
}

// applying says that the cluster may have objects of a create from now on. It is no revision
// that the cluster has.
func (c *Controller) applying(ctx context.Context, was resource.Addon) error {
	return c.change(ctx, was.ARN, func(_ *store.Tx, a *resource.Addon) error {
		a.Status.Applied = was.Spec
		a.Status.Applied.Revision = 0
		return nil
	})
}

// applied says that the cluster has the objects of a revision, whose workloads are awaited.
func (c *Controller) applied(ctx context.Context, was resource.Addon) error {
	return c.change(ctx, was.ARN, func(_ *store.Tx, a *resource.Addon) error {
		a.Status.Applied, a.Status.Changed = was.Spec, c.now()
		return nil
	})
}

// fail ends a create, an update or a delete that cannot be carried out.
func (c *Controller) fail(ctx context.Context, was resource.Addon, issue resource.Issue) error {
	return c.change(ctx, was.ARN, func(tx *store.Tx, a *resource.Addon) error {
		a.Status.Issues, a.Status.Waiting, a.Status.AppliedRevision = []resource.Issue{issue}, "", was.Spec.Revision
		a.Status.Begun = time.Time{}
		c.end(tx, *a, resource.UpdateFailed)
		switch a.Status.State {
		case resource.AddonCreating:
			return a.Status.Move(resource.AddonCreateFailed)
		case resource.AddonDeleting:
			return a.Status.Move(resource.AddonDeleteFailed)
		}
		return a.Status.Move(resource.AddonUpdateFailed)
	})
}

// health says what the workloads' state means for the add-on. Workloads that are not whole
// are given time: shorter to a new add-on, which DEGRADED becomes ACTIVE again from, than to
// an update, which fails for good.
func (c *Controller) health(ctx context.Context, arn string, issues []resource.Issue, waiting string) error {
	return c.change(ctx, arn, func(tx *store.Tx, a *resource.Addon) error {
		s := &a.Status
		if a.Deleting || s.Applied.Revision != a.Spec.Revision {
			return nil // there is something else to do by now
		}
		s.Waiting = waiting
		to, ended := resource.AddonActive, resource.UpdateSuccessful
		if len(issues) > 0 {
			if s.Changed.IsZero() {
				s.Changed = c.now()
			}
			grace := c.cfg.Settle
			if s.State == resource.AddonUpdating {
				grace = c.cfg.UpdateTimeout
			}
			if s.State != resource.AddonDegraded && c.cfg.Now().Sub(s.Changed) < grace {
				return nil
			}
			to, ended = resource.AddonDegraded, resource.UpdateFailed
		} else {
			s.Changed = time.Time{}
		}
		s.Issues, s.AppliedRevision, s.Begun = issues, a.Spec.Revision, time.Time{}
		c.end(tx, *a, ended)
		if s.State == to {
			return nil
		}
		return s.Move(to)
	})
}

// end ends the add-on's updates, a failed one with the add-on's issues.
func (c *Controller) end(tx *store.Tx, a resource.Addon, state string) {
	for id, u := range tx.Updates.All() {
		if u.Cluster != a.Cluster || u.Addon != a.Name || u.State != resource.UpdateInProgress || u.Revision > a.Status.AppliedRevision {
			continue
		}
		u.State, u.Ended, u.Errors = state, c.now(), nil
		if state == resource.UpdateFailed {
			for _, i := range a.Status.Issues {
				u.Errors = append(u.Errors, resource.UpdateError(i))
			}
		}
		tx.Updates.Put(id, u)
	}
}

func (c *Controller) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Millisecond) }
