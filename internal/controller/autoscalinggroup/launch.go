package autoscalinggroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// launchOne launches one instance, in the zone with the fewest members that takes it.
// If none does it records a Failed activity and returns when to try again.
func (c *Controller) launchOne(ctx context.Context, arn string) (again time.Duration, err error) {
	var places []place
	err = c.store.View(func(tx *store.Tx) error {
		if g, ok := tx.AutoScalingGroups.Get(arn); ok {
			places = placesOf(tx, g)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	refusal := errors.New("the group has no subnet")
	for _, p := range places {
		err := c.store.Update(ctx, func(tx *store.Tx) error { return launch(tx, arn, p, c.now()) })
		if err == nil {
			return 0, nil
		}
		if _, _, ok := provision.Refusal(err); !ok {
			return 0, err
		}
		refusal = err
	}
	return c.refused(ctx, arn, refusal)
}

// A place is where, and as what, an instance may be launched.
type place struct {
	subnet, zone, instanceType string
}

// placesOf lists the group's choices, best first: the type with the highest priority,
// in the zone with the fewest members, in the subnet with the most free addresses.
func placesOf(tx *store.Tx, g resource.AutoScalingGroup) []place {
	perZone := map[string]int{}
	for _, m := range tx.GroupInstances.All() {
		if m.Group == g.ARN && m.Lifecycle != terminating && m.Lifecycle != terminatingWait {
			in, _ := tx.Instances.Get(m.Instance)
			perZone[in.Spec.Zone]++
		}
	}
	free := provision.FreeAddressesBySubnet(tx)
	var subnets []resource.Subnet
	for _, id := range g.Spec.Subnets {
		if s, ok := tx.Subnets.Get(id); ok {
			subnets = append(subnets, s)
		}
	}
	slices.SortStableFunc(subnets, func(a, b resource.Subnet) int {
		return cmp.Or(perZone[a.Zone]-perZone[b.Zone], free[b.ID]-free[a.ID])
	})
	types := g.Spec.InstanceTypes
	if len(types) == 0 {
		types = []string{""}
	}
	var out []place
	for _, t := range types {
		for _, s := range subnets {
			out = append(out, place{subnet: s.ID, zone: s.Zone, instanceType: t})
		}
	}
	return out
}

// launch records one instance of the group at p, if the group still wants one.
func launch(tx *store.Tx, arn string, p place, now time.Time) error {
	g, ok := tx.AutoScalingGroups.Get(arn)
	if !ok {
		return nil
	}
	r := round{tx: tx, group: g, now: now}
	for _, m := range tx.GroupInstances.All() {
		if m.Group == arn {
			r.members = append(r.members, m)
		}
	}
	before := len(r.live())
	if before >= r.want() {
		return nil
	}
	lt, err := provision.LookupLaunchTemplate(tx, g.Home, g.Spec.LaunchTemplateID, g.Spec.LaunchTemplateName)
	if err != nil {
		return err
	}
	req := provision.InstanceRequest{Home: g.Home, Subnet: p.subnet, Type: p.instanceType, AutoScalingGroup: arn, Now: now}
	if g.Spec.SpotPercentage == 100 {
		req.Lifecycle = "spot"
	}
	version, err := provision.TemplateVersion(lt, g.Spec.LaunchTemplateVersion)
	if err != nil {
		return err
	}
	if req, err = provision.MergeTemplate(lt, g.Spec.LaunchTemplateVersion, req); err != nil {
		return err
	}
	req.Tags = req.Tags.With(tagsFor(g, lt.ID, version.Number))
	in, err := provision.Instance(tx, req)
	if err != nil {
		return err
	}
	tx.GroupInstances.Put(in.ID, resource.GroupInstance{
		Instance: in.ID, Group: arn, Lifecycle: pending, Health: "Healthy", Protected: g.Spec.NewInstancesProtected, Joined: now,
	})
	r.begin(in.ID, "Launching a new EC2 instance: "+in.ID, fmt.Sprintf(
		"At %s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.",
		stamp(now), before, before+1))
	if g.Status.Failures > 0 || g.Status.Waiting != "" {
		g.Status = resource.AutoScalingGroupStatus{}
		tx.AutoScalingGroups.Put(arn, g)
	}
	return nil
}

func tagsFor(g resource.AutoScalingGroup, template string, version int64) map[string]string {
	tags := map[string]string{
		"aws:autoscaling:groupName":     g.Name,
		"aws:ec2launchtemplate:id":      template,
		"aws:ec2launchtemplate:version": fmt.Sprint(version),
	}
	for _, t := range g.Spec.Tags {
		if t.Propagate {
			tags[t.Key] = t.Value
		}
	}
	return tags
}

// refused records that no place takes an instance, and waits longer each time.
func (c *Controller) refused(ctx context.Context, arn string, why error) (again time.Duration, err error) {
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		g, ok := tx.AutoScalingGroups.Get(arn)
		if !ok {
			return nil
		}
		g.Status.Failures++
		again = min(firstRetry<<min(g.Status.Failures-1, 10), lastRetry)
		g.Status.NextTry = c.now().Add(again)
		code, text, ok := provision.Refusal(why)
		if !ok {
			code, text = "Unknown", why.Error()
		}
		g.Status.Waiting, g.Status.WaitingCode = text, code
		tx.AutoScalingGroups.Put(arn, g)
		r := round{tx: tx, group: g, now: c.now()}
		r.begin("", "Launching a new EC2 instance.  Status Reason: "+text, fmt.Sprintf(
			"At %s an instance was started in response to a difference between desired and actual capacity.", stamp(r.now)))
		r.fail("", "Launching", text+" Launching EC2 instance failed.")
		return nil
	})
	return again, err
}
