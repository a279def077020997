package ec2

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateFleet launches instances over many types and subnets at once and says what it got
// and what it did not. Only fleets of type instant are there: one that is kept up is an
// Auto Scaling group's business.
//
//	fleet.go        the operations
//	fleetpool.go    what a fleet may launch: a pool is a template with one override
//	fleetlaunch.go  how many of which pool, and what to do when one has no room
func (s *Service) CreateFleet(ctx context.Context, call awsapi.Call, in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
	f, err := newFleet(call, in)
	if err != nil {
		return nil, err
	}
	targets, err := fleetTargets(in)
	if err != nil {
		return nil, err
	}
	var out *ec2.CreateFleetOutput
	// Each pool that turns out to have no room is left out in another try: what a refused
	// launch left in its transaction must not be kept.
	for launch := newFleetLaunch(f.ID); ; {
		err := s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
			if prior, ok := priorFleet(tx, f); ok {
				if prior.Fingerprint != f.Fingerprint {
					return idempotentMismatch()
				}
				out = &ec2.CreateFleetOutput{}
				return recast(json.RawMessage(prior.Result), out)
			}
			pools, err := fleetPools(tx, call, in)
			if err != nil {
				return err
			}
			if out, err = launch.run(tx, pools, targets); err != nil {
				return err
			}
			if f.Result, err = json.Marshal(out); err != nil {
				return fmt.Errorf("encoding fleet %s: %w", f.ID, err)
			}
			tx.Fleets.Put(f.ID, f)
			return nil
		})
		if launch.exhausted(err) {
			continue
		}
		return out, err
	}
}

func newFleet(call awsapi.Call, in *ec2.CreateFleetInput) (resource.Fleet, error) {
	f := resource.Fleet{
		Home: homeOf(call), ID: "fleet-" + awsid.UUID(), Created: call.Time, Token: deref(in.ClientToken), State: resource.FleetActive,
		Fingerprint: fingerprint(*in, func(c *ec2.CreateFleetInput) { c.ClientToken, c.DryRun = nil, nil }),
	}
	tags, err := specTags(in.TagSpecifications, "fleet", "instance", "volume", "network-interface", "spot-instances-request")
	if err != nil {
		return f, err
	}
	f.Tags = tags["fleet"]
	onDemand, spot := in.OnDemandOptions, in.SpotOptions
	if onDemand == nil {
		onDemand = &ec2.OnDemandOptionsRequest{}
	}
	if spot == nil {
		spot = &ec2.SpotOptionsRequest{}
	}
	if err := reject(
		ask{"A fleet of the type " + or(deref(in.Type), ec2.FleetTypeMaintain), deref(in.Type) != ec2.FleetTypeInstant},
		ask{"Reserved capacity", in.ReservedCapacityOptions != nil || onDemand.CapacityReservationOptions != nil},
		ask{"A fleet's maximal price", onDemand.MaxTotalPrice != nil || spot.MaxTotalPrice != nil},
		ask{"A target capacity other than of units", or(deref(in.TargetCapacitySpecification.TargetCapacityUnitType), "units") != "units"},
	); err != nil {
		return f, err
	}
	if err := provision.OneTimeSpot("", deref(spot.InstanceInterruptionBehavior)); err != nil {
		return f, err
	}
	f.Request, err = json.Marshal(in)
	return f, err
}

func priorFleet(tx *store.Tx, f resource.Fleet) (resource.Fleet, bool) {
	if f.Token != "" {
		for prior := range tx.Fleets.Values(func(o resource.Fleet) bool { return o.Home == f.Home && o.Token == f.Token }) {
			return prior, true
		}
	}
	return resource.Fleet{}, false
}

// recast reads one shape as another that has the same members.
func recast(from, into any) error {
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("reading a %T as a %T: %w", from, into, err)
	}
	return nil
}

// DescribeFleets lists fleets. EC2 shows instant ones to who asks for them by their ids.
func (s *Service) DescribeFleets(ctx context.Context, call awsapi.Call, in *ec2.DescribeFleetsInput) (*ec2.DescribeFleetsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.FleetData]{
		"activity-status":                    func(f ec2.FleetData) []string { return text(f.ActivityStatus) },
		"excess-capacity-termination-policy": func(f ec2.FleetData) []string { return text(f.ExcessCapacityTerminationPolicy) },
		"fleet-state":                        func(f ec2.FleetData) []string { return text(f.FleetState) },
		"replace-unhealthy-instances":        func(f ec2.FleetData) []string { return flag(f.ReplaceUnhealthyInstances) },
		"type":                               func(f ec2.FleetData) []string { return text(f.Type) },
	}, func(f ec2.FleetData) []ec2.Tag { return f.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeFleetsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, id := range in.FleetIds {
			f, err := oneFleet(tx, call, id)
			if err != nil {
				return err
			}
			d, err := describeFleet(f)
			if err != nil {
				return err
			}
			if match(d) {
				out.Fleets = append(out.Fleets, d)
			}
		}
		return nil
	})
}

func oneFleet(tx *store.Tx, call awsapi.Call, id string) (resource.Fleet, error) {
	f, ok := tx.Fleets.Get(id)
	if !ok || f.Home != homeOf(call) {
		return f, fault("InvalidFleetId.NotFound", "The fleet ID '%s' does not exist", id)
	}
	return f, nil
}

func describeFleet(f resource.Fleet) (ec2.FleetData, error) {
	var out ec2.FleetData
	var result ec2.CreateFleetOutput
	// The answer's members have the request's names, but for tags and the dry run.
	if err := recast(json.RawMessage(f.Request), &out); err != nil {
		return out, err
	}
	if err := recast(json.RawMessage(f.Result), &result); err != nil {
		return out, err
	}
	if err := recast(result.Instances, &out.Instances); err != nil {
		return out, err
	}
	if err := recast(result.Errors, &out.Errors); err != nil {
		return out, err
	}
	var total, onDemand float64
	for _, i := range result.Instances {
		weight := 1.0
		if o := i.LaunchTemplateAndOverrides.Overrides; o != nil && o.WeightedCapacity != nil {
			weight = *o.WeightedCapacity
		}
		total += weight * float64(len(i.InstanceIds))
		if deref(i.Lifecycle) == provision.OnDemand {
			onDemand += weight * float64(len(i.InstanceIds))
		}
	}
	out.FleetId, out.CreateTime, out.FleetState, out.Tags, out.ClientToken = &f.ID, &f.Created, &f.State, tagSet(f.Tags), some(f.Token)
	out.ActivityStatus, out.FulfilledCapacity, out.FulfilledOnDemandCapacity = new("fulfilled"), &total, &onDemand
	return out, nil
}

// DeleteFleets deletes fleets with their instances: an instant fleet does not go without.
func (s *Service) DeleteFleets(ctx context.Context, call awsapi.Call, in *ec2.DeleteFleetsInput) (*ec2.DeleteFleetsOutput, error) {
	out := &ec2.DeleteFleetsOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, id := range in.FleetIds {
			f, ok := tx.Fleets.Get(id)
			var e *ec2.DeleteFleetError
			switch {
			case !ok || f.Home != homeOf(call):
				e = &ec2.DeleteFleetError{Code: new("fleetIdDoesNotExist"), Message: new("The fleet ID '" + id + "' does not exist")}
			case !is(in.TerminateInstances):
				return fault("NoTerminateInstancesNotSupported", "NoTerminateInstances option is not supported for instant fleet")
			}
			if e != nil {
				out.UnsuccessfulFleetDeletions = append(out.UnsuccessfulFleetDeletions, ec2.DeleteFleetErrorItem{FleetId: &id, Error: e})
				continue
			}
			members := slices.Collect(tx.Instances.Values(func(i resource.Instance) bool { return i.Spec.Fleet == id && i.Home == f.Home }))
			for _, i := range members {
				if _, err := provision.Terminate(tx, f.Home, i.ID, call.Time); err != nil {
					return err
				}
			}
			previous := f.State
			f.State = resource.FleetTerminating
			tx.Fleets.Put(id, f)
			out.SuccessfulFleetDeletions = append(out.SuccessfulFleetDeletions, ec2.DeleteFleetSuccessItem{
				FleetId: &id, PreviousFleetState: &previous, CurrentFleetState: &f.State,
			})
		}
		return nil
	})
}
