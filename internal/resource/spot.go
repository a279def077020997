package resource

import "time"

// A SpotRequest asks for one Spot instance. Its key is its id. Every Spot instance has
// one, whoever launched it. Package provision moves it on, for service/ec2 and
// controller/spotrequest, which waits for what takes time.
type SpotRequest struct {
	Home
	ID         string // sir-…
	Created    time.Time
	Token      string
	Launch     []byte // provision.InstanceRequest as JSON, of one that has no instance yet
	MaxPrice   string // USD an hour; "": the on-demand price
	ValidUntil time.Time
	Instance   string // that it has been fulfilled with
	State      string
	StatusCode string
	Updated    time.Time // when StatusCode changed
	Tags       Tags

	// Interruption is when EC2 takes the instance back, after a notice; zero: not yet.
	Interruption time.Time
	// Rebalance is when the instance was said to be at a higher risk of that; zero: never.
	Rebalance time.Time
}

// States of a Spot request, as the API spells them.
const (
	SpotOpen      = "open"
	SpotActive    = "active"
	SpotClosed    = "closed"
	SpotCancelled = "cancelled"
	SpotFailed    = "failed"
)
