package cluster

import (
	"cmp"
	"fmt"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
)

// tiers are the scaling tiers of provisioned control planes, as EKS publishes them for
// Kubernetes 1.30 and later.
var tiers = map[string]controlplane.Tier{
	resource.TierStandard: {},
	"tier-xl":             {Seats: 1700, PodsPerSecond: 167, Database: 16 << 30},
	"tier-2xl":            {Seats: 3400, PodsPerSecond: 283, Database: 16 << 30},
	"tier-4xl":            {Seats: 6800, PodsPerSecond: 400, Database: 16 << 30},
	"tier-8xl":            {Seats: 13600, PodsPerSecond: 400, Database: 16 << 30},
}

const tooLarge = "The size of the cluster's database exceeds what the tier supports. Delete objects until it fits, let a change to another provisioned tier free their room, and try again."

func database(tier string) int64 { return cmp.Or(tiers[tier].Database, controlplane.StandardDatabase) }

// overflows says whether the scaling tier that is asked for holds less than the control plane
// has. Such a one is not tried: its etcd would take no write any more.
func (c *Controller) overflows(cl resource.Cluster) (bool, error) {
	most := database(cl.TargetTier())
	if !switching(cl) || most >= database(cl.Tier()) {
		return false, nil
	}
	size, err := c.planes.DataSize(Dir(c.cfg.Dir, cl))
	if err != nil {
		return false, fmt.Errorf("changing the scaling tier: %w", err)
	}
	return size > most, nil
}
