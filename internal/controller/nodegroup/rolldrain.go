package nodegroup

import (
	"context"
	"errors"

	"ekster.dev/ekster/internal/resource"
)

// empty drains a node in the background, unless that is done already.
func (c *Controller) empty(s state, m member, d resource.Drain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.emptying[m.Instance] != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.emptying[m.Instance] = cancel
	go func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			cancel()
			delete(c.emptying, m.Instance)
		}()
		if err := c.emptyOne(ctx, s, m, d); err != nil && ctx.Err() == nil {
			c.log.Error("emptying a node", "node", m.node.Name, "instance", m.Instance, "err", err)
		}
	}()
}

// emptyOne drains a node until it is empty or has had its time; then it goes all the same
// with force, and else the roll is given up.
func (c *Controller) emptyOne(ctx context.Context, s state, m member, d resource.Drain) error {
	if m.joined {
		timed, cancel := context.WithTimeout(ctx, c.cfg.DrainTimeout-c.cfg.Now().Sub(d.Since))
		defer cancel()
		err := c.nodes.Drain(timed, s.ng.Cluster, m.node.Name)
		switch {
		case err == nil:
		case ctx.Err() != nil || timed.Err() == nil:
			return err
		case !s.ng.Spec.Roll.Force:
			return c.fail(ctx, s, evictionFailure(s.ng, m, err))
		default:
			c.log.Warn("a node goes with pods on it", "node", m.node.Name, "err", err)
		}
	}
	return c.change(ctx, s, func(r *resource.RollStatus, _ *resource.AutoScalingGroupSpec) {
		if d, ok := r.Drains[m.Instance]; ok && d.Done.IsZero() {
			r.Drains[m.Instance] = resource.Drain{Since: d.Since, Done: c.cfg.Now()}
		}
	})
}

// evictionFailure is EKS's error, with the node and the pods that are left on it.
func evictionFailure(ng resource.Nodegroup, m member, err error) resource.UpdateError {
	e := resource.UpdateError{
		Code: podEvictionFailure, Message: "Reached max retries while trying to evict pods from nodes in node group " + ng.Name, ResourceIDs: []string{m.node.Name},
	}
	var left interface{ Pods() []string }
	if errors.As(err, &left) {
		e.ResourceIDs = append(e.ResourceIDs, left.Pods()...)
	}
	return e
}
