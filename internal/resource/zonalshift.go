package resource

import "time"

// MaxZonalShift is the longest time for which a zonal shift is started, as ARC has it.
const MaxZonalShift = 72 * time.Hour

// A ZonalShift moves a cluster's traffic away from one Availability Zone for a time. Its key is the
// cluster's ARN: as with ARC, a cluster has one at a time. Whoever starts it (`ekster fault shift`)
// writes it, and ends it by Cancelled; controller/zonalshift writes Nodes, and deletes the record
// once everything is as it was.
type ZonalShift struct {
	Cluster   string // ARN
	Zone      string
	Started   time.Time
	Expires   time.Time
	Cancelled bool

	Nodes map[string]string // what the shift has to do with the zone's nodes: NodeCordoning …
	Away  bool              // no Service leads into the zone any more
}

// What a zonal shift has to do with a node.
const (
	NodeCordoning = "cordoning" // the shift cordons it, or has
	NodeCordoned  = "cordoned"  // the shift has cordoned it, and gives it back
	NodeLeft      = "left"      // it was cordoned before, by somebody else
)

// Over says whether the shift of a cluster has ended: by its time, by its starter, or since the
// cluster may not be shifted any more.
func (z ZonalShift) Over(c Cluster, now time.Time) bool {
	return z.Cancelled || c.Deleting || !c.Spec.ZonalShiftOn || !now.Before(z.Expires)
}
