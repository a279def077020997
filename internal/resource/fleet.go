package resource

import "time"

// A Fleet is an EC2 Fleet of type instant: one launch over many types and subnets, and
// what came of it. Its key is its id. service/ec2 writes all of it; the instances go
// their own way from then on.
type Fleet struct {
	Home
	ID          string // fleet-…
	Created     time.Time
	Token       string
	Fingerprint string // of the request that Token stands for
	Request     []byte // CreateFleet's input, as JSON
	Result      []byte // and its answer
	State       string
	Tags        Tags
}

// States of a fleet, as the API spells them.
const (
	FleetActive      = "active"
	FleetTerminating = "deleted_terminating"
)

// A PlacementGroup says how its instances are to lie to each other. Its key is its id.
// service/ec2 writes it.
type PlacementGroup struct {
	Home
	ID          string // pg-…
	Name        string
	Strategy    string // cluster, partition, spread
	Partitions  int32  // of strategy partition
	SpreadLevel string // of strategy spread: rack
	Tags        Tags
}

// A CapacityFault is capacity that EC2 does not have, in drills. Its key is
// CapacityFault.Key. The daemon writes it when it is told to (ekster fault capacity).
type CapacityFault struct {
	Type      string // instance type, in which * stands for any text
	Zone      string // as Type
	Lifecycle string // spot, on-demand; "": both
}

// Key is what a capacity fault is kept under.
func (f CapacityFault) Key() string { return f.Type + "/" + f.Zone + "/" + f.Lifecycle }

// A VCPULimit is a quota of EC2's: the vCPUs that an account may have in a region at a time
// in instances of the standard families. Its key is its lifecycle. The daemon writes it when
// it starts.
type VCPULimit struct {
	Lifecycle string // spot, on-demand
	Most      int
}
