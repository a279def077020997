package autoscalinggroup

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/internal/resource"
)

// victim chooses who goes first: in the zone with the most members, of the purchase option of
// which a mixed group has too many, by the group's termination policies in their order. Among
// equals it is the oldest, where Auto Scaling takes any. Protected members stay.
func (r *round) victim() (resource.GroupInstance, bool) {
	perZone := map[string]int{}
	var pool []candidate
	for _, m := range r.live() {
		in, _ := r.tx.Instances.Get(m.Instance)
		perZone[in.Spec.Zone]++
		if !m.Protected {
			pool = append(pool, candidate{m, in})
		}
	}
	if len(pool) == 0 {
		return resource.GroupInstance{}, false
	}
	pool = least(pool, func(c candidate) int { return -perZone[c.in.Spec.Zone] })
	if r.group.Spec.Mixed {
		pool = r.surplusOption(pool)
	}
	for _, p := range r.group.Spec.TerminationPolicies {
		pool = r.narrow(pool, p)
	}
	return slices.MinFunc(pool, func(a, b candidate) int {
		return cmp.Or(a.Joined.Compare(b.Joined), strings.Compare(a.Instance, b.Instance))
	}).GroupInstance, true
}

// A candidate is a member that may be terminated.
type candidate struct {
	resource.GroupInstance
	in resource.Instance
}

// narrow keeps those of the pool that a termination policy would have go.
func (r *round) narrow(pool []candidate, policy string) []candidate {
	switch policy {
	case "Default":
		for _, p := range []string{"AllocationStrategy", "OldestLaunchTemplate", "ClosestToNextInstanceHour"} {
			pool = r.narrow(pool, p)
		}
	case "OldestInstance":
		return least(pool, func(c candidate) int { return int(c.in.Launched.UnixNano()) })
	case "NewestInstance":
		return least(pool, func(c candidate) int { return -int(c.in.Launched.UnixNano()) })
	case "OldestLaunchTemplate": // one that is not the group's is older than all of its versions
		return least(pool, func(c candidate) int {
			if c.in.Spec.LaunchTemplate != r.group.Spec.LaunchSettings().For(c.in.Spec.Type).LaunchTemplateID {
				return -1
			}
			n, _ := strconv.Atoi(c.in.Spec.LaunchTemplateVersion) // recorded from a number
			return n
		})
	case "ClosestToNextInstanceHour":
		return least(pool, func(c candidate) int { return int(time.Hour - r.now.Sub(c.in.Launched)%time.Hour) })
	case "AllocationStrategy": // what is prioritized goes last
		return least(pool, func(c candidate) int {
			d := r.group.Spec.Distribution
			if c.in.Spec.Lifecycle == spot && d.SpotStrategy != "capacity-optimized-prioritized" || c.in.Spec.Lifecycle != spot && d.OnDemandStrategy != "prioritized" {
				return 0
			}
			i := slices.Index(r.group.Spec.InstanceTypes, c.in.Spec.Type)
			if i < 0 { // the group launches no such any more
				return math.MinInt
			}
			return -i
		})
	}
	return pool // OldestLaunchConfiguration: there are none
}

// surplusOption keeps those of the purchase option of which there are too many.
func (r *round) surplusOption(pool []candidate) []candidate {
	onDemand := 0
	for _, m := range r.live() {
		if in, _ := r.tx.Instances.Get(m.Instance); in.Spec.Lifecycle != spot {
			onDemand += r.size(m)
		}
	}
	goes := spot
	if onDemand > onDemandOf(r.group.Spec.LaunchSettings(), r.want()) {
		goes = ""
	}
	if some := slices.DeleteFunc(slices.Clone(pool), func(c candidate) bool { return c.in.Spec.Lifecycle != goes }); len(some) > 0 {
		return some
	}
	return pool
}

// least keeps those of the pool for which key is the least.
func least(pool []candidate, key func(candidate) int) []candidate {
	first := key(slices.MinFunc(pool, func(a, b candidate) int { return key(a) - key(b) }))
	return slices.DeleteFunc(slices.Clone(pool), func(c candidate) bool { return key(c) != first })
}
