package autoscalinggroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Tags of instances that groups launch.
const (
	tagGroup           = "aws:autoscaling:groupName"
	tagTemplate        = "aws:ec2launchtemplate:id"
	tagTemplateVersion = "aws:ec2launchtemplate:version"
)

// launchOne launches one instance, in the zone with the fewest members that takes it, and
// says whether another one is missing. If no zone takes it, it records a Failed activity and
// returns when to try again.
func (c *Controller) launchOne(ctx context.Context, arn string) (more bool, again time.Duration, err error) {
	var places []place
	refusal := errors.New("the group has no subnet")
	err = c.store.View(func(tx *store.Tx) error {
		if g, ok := tx.AutoScalingGroups.Get(arn); ok {
			places = c.round(tx, g).places()
			if zone := g.Spec.AwayFrom; zone != "" {
				refusal = fmt.Errorf("the group has no subnet outside %s, which a zonal shift leads away from", zone)
			}
		}
		return nil
	})
	if err != nil {
		return false, 0, err
	}
	for _, p := range places {
		err := c.store.Update(ctx, func(tx *store.Tx) error {
			g, ok := tx.AutoScalingGroups.Get(arn)
			if !ok {
				return nil
			}
			r := c.round(tx, g)
			if !r.missing() {
				return nil
			}
			err := r.launch(p)
			more = r.missing()
			return err
		})
		if err == nil {
			return more, 0, nil
		}
		if _, _, ok := provision.Refusal(err); !ok {
			return false, 0, err
		}
		refusal = err
	}
	return c.refused(ctx, arn, refusal)
}

// A place is where, and as what, an instance may be launched.
type place struct {
	subnet, zone, instanceType string
}

// places lists the group's choices, best first: in the zone with the fewest members, in the
// subnet with the most free addresses, the type that the allocation strategy prefers. A group
// that is balanced only goes nowhere else than to the zones with the fewest.
func (r *round) places() []place {
	perZone := map[string]int{}
	for _, m := range r.live() {
		in, _ := r.tx.Instances.Get(m.Instance)
		perZone[in.Spec.Zone]++
	}
	free := provision.FreeAddressesBySubnet(r.tx)
	subnets := slices.DeleteFunc(r.subnets(), func(s resource.Subnet) bool { return s.Zone == r.group.Spec.AwayFrom })
	slices.SortStableFunc(subnets, func(a, b resource.Subnet) int {
		return cmp.Or(perZone[a.Zone]-perZone[b.Zone], free[b.ID]-free[a.ID])
	})
	var out []place
	for _, s := range subnets {
		if zone := r.group.Status.Balancing; zone != "" && zone != s.Zone {
			continue
		}
		if r.group.Spec.ZoneDistribution == balancedOnly && perZone[s.Zone] > perZone[subnets[0].Zone] {
			break
		}
		for _, t := range r.typesIn(s.Zone) {
			out = append(out, place{subnet: s.ID, zone: s.Zone, instanceType: t})
		}
	}
	return out
}

// balancedOnly is the distribution of a group that rather waits than has its zones uneven.
const balancedOnly = "balanced-only"

// typesIn are the types that the next instance in a zone may be of, in the order of the
// strategy for its purchase option; "" stands for the launch template's.
func (r *round) typesIn(zone string) []string {
	l := r.settings()
	if len(l.InstanceTypes) == 0 {
		return []string{""}
	}
	lifecycle := r.option(l)
	how := provision.Allocation{Lifecycle: provision.OnDemand, Strategy: l.Distribution.OnDemandStrategy}
	if lifecycle == spot {
		how = provision.Allocation{Lifecycle: spot, Strategy: l.Distribution.SpotStrategy, Cheapest: int(l.Distribution.SpotPools)}
	}
	pools := make([]provision.Pool, len(l.InstanceTypes))
	for i, name := range l.InstanceTypes {
		t, _ := instancetype.Lookup(name) // the launch says what is wrong with it
		pools[i] = provision.Pool{Type: t, Zone: zone, Weight: float64(weight(l.Weights, name)), Priority: float64(i)}
	}
	order, width := how.Order(pools)
	// The first ones take turns: the one goes first of which there are the fewest.
	have := map[string]int{}
	for _, m := range r.live() {
		if in, _ := r.tx.Instances.Get(m.Instance); in.Spec.Zone == zone && in.Spec.Lifecycle == lifecycle {
			have[in.Spec.Type]++
		}
	}
	slices.SortStableFunc(order[:min(width, len(order))], func(a, b int) int { return have[l.InstanceTypes[a]] - have[l.InstanceTypes[b]] })
	out := make([]string, len(order))
	for i, at := range order {
		out[i] = l.InstanceTypes[at]
	}
	return out
}

// launch records one instance of the group at p.
func (r *round) launch(p place) error {
	g, l := &r.group, r.settings()
	from := l.For(p.instanceType)
	lt, err := provision.LookupLaunchTemplate(r.tx, g.Home, from.LaunchTemplateID, from.LaunchTemplateName)
	if err != nil {
		return err
	}
	req := provision.InstanceRequest{
		Home: g.Home, Subnet: p.subnet, Type: p.instanceType, Image: from.Image, AutoScalingGroup: g.ARN, Now: r.now, Lifecycle: r.option(l),
		PlacementGroup: g.Spec.PlacementGroup,
	}
	if req.Lifecycle == spot {
		req.SpotMaxPrice = l.Distribution.SpotMaxPrice
	}
	if req, err = provision.MergeTemplate(lt, from.LaunchTemplateVersion, req); err != nil {
		return err
	}
	req.Tags = req.Tags.With(tagsFor(*g, req))
	in, err := r.launches(r.tx, req)
	if err != nil {
		return err
	}
	cause, before := r.missed(), r.capacity()
	m := resource.GroupInstance{
		Instance: in.ID, Group: g.ARN, Lifecycle: resource.MemberPending, Health: resource.MemberHealthy,
		Protected: g.Spec.NewInstancesProtected, Joined: r.now,
	}
	r.members = append(r.members, m)
	r.put(m)
	if cause == "" {
		cause = sentences(g.Reason, fmt.Sprintf("At %s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.",
			stamp(r.now), before, before+r.size(m)))
	}
	r.begin(in.ID, launchingEC2+in.ID, cause, "PreInService", 30)
	st := &g.Status
	st.Waiting, st.WaitingCode, st.NextTry = "", "", time.Time{}
	st.Unhealthy = max(st.Unhealthy-1, 0)
	r.tx.AutoScalingGroups.Put(g.ARN, *g)
	return nil
}

// missed is the cause of a launch that follows from something else than the desired capacity.
func (r *round) missed() string {
	switch {
	case r.group.Status.Unhealthy > 0:
		return fmt.Sprintf("At %s an instance was launched in response to an unhealthy instance needing to be replaced.", stamp(r.now))
	case r.group.Status.Balancing != "":
		return fmt.Sprintf("At %s an instance was launched to aid in balancing the group's zones.", stamp(r.now))
	case len(r.recalled()) > 0:
		return fmt.Sprintf("At %s an instance was launched in response to an EC2 instance rebalance recommendation.", stamp(r.now))
	case r.rolling != nil && r.group.Reason == "":
		return fmt.Sprintf("At %s an instance was launched in response to an instance refresh.", stamp(r.now))
	}
	return ""
}

// spot is the lifecycle of instances that are not on demand.
const spot = "spot"

// option is what the next instance of a group is bought as; "" is on demand, or as the
// launch template of a group that is not mixed says.
func (r *round) option(l resource.LaunchSettings) string {
	if !l.Mixed {
		return ""
	}
	onDemand := 0
	for _, m := range r.live() {
		if in, _ := r.tx.Instances.Get(m.Instance); in.Spec.Lifecycle != spot {
			onDemand += r.size(m)
		}
	}
	if onDemand < onDemandOf(l, r.want()) {
		return ""
	}
	return spot
}

// onDemandOf is how much of a capacity is on demand: the base, and a part of what is above it,
// rounded up.
func onDemandOf(l resource.LaunchSettings, capacity int) int {
	base := min(int(l.Distribution.OnDemandBase), capacity)
	return base + ((capacity-base)*(100-int(l.SpotPercentage))+99)/100
}

func tagsFor(g resource.AutoScalingGroup, req provision.InstanceRequest) map[string]string {
	tags := map[string]string{tagGroup: g.Name, tagTemplate: req.LaunchTemplate, tagTemplateVersion: req.LaunchTemplateVersion}
	for _, t := range g.Spec.Tags {
		if t.Propagate {
			tags[t.Key] = t.Value
		}
	}
	return tags
}

// refused records that no place takes an instance. It waits longer each time.
func (c *Controller) refused(ctx context.Context, arn string, why error) (more bool, again time.Duration, err error) {
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		g, ok := tx.AutoScalingGroups.Get(arn)
		if !ok {
			return nil
		}
		r := c.round(tx, g)
		st := &r.group.Status
		again = r.backOff()
		code, text, ok := provision.Refusal(why)
		if !ok {
			code, text = "Unknown", why.Error()
		}
		st.Waiting, st.WaitingCode = text, code
		cause, n := r.missed(), r.capacity()
		if cause == "" {
			cause = sentences(g.Reason, fmt.Sprintf("At %s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.", stamp(r.now), n, n+1))
		}
		r.begin("", "Launching a new EC2 instance.  Status Reason: "+text, cause, "InProgress", 30)
		r.endActivity("", "Launching", "Failed", text+" Launching EC2 instance failed.")
		if st.Balancing != "" { // not at the moment, then
			st.Balancing, st.Uneven = "", r.now
		}
		tx.AutoScalingGroups.Put(arn, r.group)
		return nil
	})
	return false, again, err
}
