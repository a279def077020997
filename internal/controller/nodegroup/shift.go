package nodegroup

import (
	"context"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A zonal shift of the cluster, as far as it is a node group's business: for its time the Auto
// Scaling group launches nothing in the zone and evens no zones, and no node is repaired.
// Package controller/zonalshift does the rest.

// keepAway has the group keep out of the zone that traffic is shifted from, and back in.
func (c *Controller) keepAway(ctx context.Context, s state) error {
	if !s.grouped || s.group.Spec.AwayFrom == s.away {
		return nil
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.AutoScalingGroups.Edit(s.group.ARN, func(g *resource.AutoScalingGroup) error {
			g.Spec.AwayFrom = s.away
			return nil
		})
	})
}
