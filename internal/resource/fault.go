package resource

import "time"

// A ZoneFault says that an Availability Zone is gone, for every account. Its key is the
// zone's name. Whoever plays the outage (`ekster fault zone`) writes it and deletes it;
// controller/instance ends the machines that are there, and nothing is launched there.
type ZoneFault struct {
	Zone  string
	Since time.Time
}
