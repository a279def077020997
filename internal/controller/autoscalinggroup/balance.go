package autoscalinggroup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/resource"
)

// balanceAfter is how long zones have to be uneven, in a group that rests, before it is
// balanced.
const balanceAfter = 5 * time.Minute

// balance evens the zones of a group that rests: it launches one instance more where the
// fewest are, and once that serves, shrink takes one from where the most are. Away from a zone,
// zones are uneven on purpose.
func (r *round) balance() error {
	st := &r.group.Status
	spec := r.group.Spec
	if r.group.Deleting || r.rolling != nil || spec.AwayFrom != "" || spec.Suspended("AZRebalance") || spec.Suspended("Launch") || spec.Suspended("Terminate") || !r.rests() {
		if st.Balancing == "" {
			st.Uneven = time.Time{}
		}
		return nil
	}
	if st.Balancing != "" {
		r.why = fmt.Sprintf("At %s instances were launched to balance instances in zones %s with other zones resulting in more than desired number of instances in the group.", stamp(r.now), st.Balancing)
		st.Balancing, st.Uneven = "", time.Time{}
		return nil
	}
	zone, uneven := r.emptiest()
	switch {
	case !uneven:
		st.Uneven = time.Time{}
	case st.Uneven.IsZero():
		st.Uneven = r.now
		r.later(balanceAfter)
	case r.now.Sub(st.Uneven) < balanceAfter:
		r.later(balanceAfter - r.now.Sub(st.Uneven))
	default:
		st.Balancing = zone
	}
	return nil
}

// emptiest is the zone with the fewest members, and whether another has so many more that
// it could give one.
func (r *round) emptiest() (zone string, uneven bool) {
	members, movable := map[string]int{}, map[string]bool{}
	for _, m := range r.live() {
		in, _ := r.tx.Instances.Get(m.Instance)
		members[in.Spec.Zone]++
		movable[in.Spec.Zone] = movable[in.Spec.Zone] || !m.Protected
	}
	zones := r.zones()
	if len(zones) < 2 {
		return "", false
	}
	zone = slices.MinFunc(zones, func(a, b string) int { return members[a] - members[b] })
	most := slices.MaxFunc(zones, func(a, b string) int { return members[a] - members[b] })
	return zone, members[most]-members[zone] > 1 && movable[most]
}

// zones are those in which the group has subnets.
func (r *round) zones() (out []string) {
	for _, s := range r.subnets() {
		if !slices.Contains(out, s.Zone) {
			out = append(out, s.Zone)
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// subnets are those that the group launches into: its own, or the default ones of its zones.
func (r *round) subnets() (out []resource.Subnet) {
	if len(r.group.Spec.Subnets) == 0 {
		return slices.Collect(r.tx.Subnets.Values(func(s resource.Subnet) bool {
			return s.Home == r.group.Home && s.Default && slices.Contains(r.group.Spec.Zones, s.Zone)
		}))
	}
	for _, id := range r.group.Spec.Subnets {
		if s, ok := r.tx.Subnets.Get(id); ok {
			out = append(out, s)
		}
	}
	return out
}
