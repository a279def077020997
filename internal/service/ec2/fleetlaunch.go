package ec2

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/store"
)

// A fleetTarget is how much of one lifecycle a fleet is to launch, and from where first.
type fleetTarget struct {
	lifecycle  string
	capacity   float64
	least      float64 // MinTargetCapacity: nothing is launched if it cannot be this much
	strategy   string
	cheapest   int // pools to spread over, of lowest-price for Spot
	singleType bool
	singleZone bool
}

// fleetTargets reads what a request wants of each lifecycle.
func fleetTargets(in *ec2.CreateFleetInput) ([]fleetTarget, error) {
	spec := in.TargetCapacitySpecification
	total, onDemand, spot := deref(spec.TotalTargetCapacity), deref(spec.OnDemandTargetCapacity), deref(spec.SpotTargetCapacity)
	switch rest := total - onDemand - spot; {
	case total < 1 || onDemand < 0 || spot < 0:
		return nil, fault("InvalidParameterValue", "The target capacity must be greater than 0.")
	case total > maxLaunch:
		return nil, fault("InvalidParameterValue", "The target capacity of an instant fleet must not be greater than %d.", maxLaunch)
	case rest < 0:
		return nil, fault("InvalidTargetCapacitySpecification", "TotalTargetCapacity must be equal to the sum of OnDemandTargetCapacity and SpotTargetCapacity.")
	case deref(spec.DefaultTargetCapacityType) == provision.Spot:
		spot += rest
	default:
		onDemand += rest
	}
	a, b := fleetTarget{lifecycle: provision.OnDemand, capacity: float64(onDemand), strategy: "lowest-price"}, fleetTarget{lifecycle: provision.Spot, capacity: float64(spot), strategy: "lowest-price", cheapest: 1}
	if o := in.OnDemandOptions; o != nil {
		a.strategy, a.least = or(deref(o.AllocationStrategy), a.strategy), float64(deref(o.MinTargetCapacity))
		a.singleType, a.singleZone = is(o.SingleInstanceType), is(o.SingleAvailabilityZone)
	}
	if o := in.SpotOptions; o != nil {
		b.strategy, b.least = or(deref(o.AllocationStrategy), b.strategy), float64(deref(o.MinTargetCapacity))
		b.singleType, b.singleZone, b.cheapest = is(o.SingleInstanceType), is(o.SingleAvailabilityZone), int(or(deref(o.InstancePoolsToUseCount), 1))
	}
	return []fleetTarget{a, b}, nil
}

// order is the order in which a target's pools are tried, and over how many at a time the
// capacity is spread.
func (t fleetTarget) order(pools []fleetPool) (order []int, width int) {
	list := make([]provision.Pool, len(pools))
	for i, p := range pools {
		list[i] = provision.Pool{Type: p.kind, Zone: p.zone, Weight: p.weight, Priority: math.Inf(1)} // EC2 gives the lowest where none is given
		if p.override.Priority != nil {
			list[i].Priority = *p.override.Priority
		}
	}
	return provision.Allocation{Lifecycle: t.lifecycle, Strategy: t.strategy, Cheapest: t.cheapest}.Order(list)
}

// A fleetLaunch is the tries of one CreateFleet to launch.
type fleetLaunch struct {
	fleet  string
	limits map[poolKey]poolLimit // of pools that turned out to have no room for more
	// dropped are lifecycles whose least capacity is not to be had.
	dropped map[string]bool
}

type poolKey struct {
	lifecycle string
	pool      int
}

type poolLimit struct {
	most    int // that it had room for
	at      int // when that was found: EC2 lists errors in their order
	refusal *awsapi.Error
}

// errExhausted ends a try in which a pool had less room than was thought.
var errExhausted = errors.New("a pool is exhausted")

func newFleetLaunch(fleet string) *fleetLaunch {
	return &fleetLaunch{fleet: fleet, limits: map[poolKey]poolLimit{}, dropped: map[string]bool{}}
}

func (l *fleetLaunch) exhausted(err error) bool { return errors.Is(err, errExhausted) }

// run launches all that there is room for and describes it. On errExhausted it has learnt
// something, and is to be run again in another transaction.
func (l *fleetLaunch) run(tx *store.Tx, pools []fleetPool, targets []fleetTarget) (*ec2.CreateFleetOutput, error) {
	got := map[poolKey][]string{}
	out := &ec2.CreateFleetOutput{FleetId: &l.fleet}
	for _, t := range targets {
		if err := l.fill(tx, t, pools, got); err != nil {
			return nil, err
		}
	}
	r, _ := region.Lookup(pools[0].launch.Home.Region)
	for _, key := range slices.SortedFunc(maps.Keys(got), func(a, b poolKey) int { return cmp.Or(cmp.Compare(a.lifecycle, b.lifecycle), a.pool-b.pool) }) {
		p := pools[key.pool]
		d, err := p.describe(r)
		if err != nil {
			return nil, err
		}
		first, _ := tx.Instances.Get(got[key][0])
		out.Instances = append(out.Instances, ec2.CreateFleetInstance{
			LaunchTemplateAndOverrides: d, Lifecycle: new(key.lifecycle), InstanceType: &p.kind.Name, InstanceIds: got[key],
			AvailabilityZone: &first.Spec.Zone, AvailabilityZoneId: newInstanceView(tx).zoneID(first), SubnetId: &first.Spec.Subnet,
		})
	}
	refused := slices.SortedFunc(maps.Keys(l.limits), func(a, b poolKey) int { return l.limits[a].at - l.limits[b].at })
	for _, key := range refused {
		d, err := pools[key.pool].describe(r)
		if err != nil {
			return nil, err
		}
		e := l.limits[key].refusal
		out.Errors = append(out.Errors, ec2.CreateFleetError{LaunchTemplateAndOverrides: d, Lifecycle: new(key.lifecycle), ErrorCode: &e.Code, ErrorMessage: &e.Message})
	}
	for _, t := range targets {
		if !l.dropped[t.lifecycle] {
			continue
		}
		d, err := pools[0].describe(r)
		if err != nil {
			return nil, err
		}
		out.Errors = append(out.Errors, ec2.CreateFleetError{
			LaunchTemplateAndOverrides: d, Lifecycle: &t.lifecycle, ErrorCode: new("UnfulfillableCapacity"),
			ErrorMessage: new("Unable to fulfill capacity due to your request configuration. Please adjust your request and try again."),
		})
	}
	return out, nil
}

// fill launches a target's instances, and notes them in got by their pools.
func (l *fleetLaunch) fill(tx *store.Tx, t fleetTarget, pools []fleetPool, got map[poolKey][]string) error {
	if l.dropped[t.lifecycle] {
		return nil
	}
	order, width := t.order(pools)
	left, turn, chosen := t.capacity, 0, -1
	for left > 0 {
		var open []int
		for _, i := range order {
			key := poolKey{t.lifecycle, i}
			limit, limited := l.limits[key]
			if limited && len(got[key]) >= limit.most || chosen >= 0 && !t.together(pools[chosen], pools[i]) {
				continue
			}
			open = append(open, i)
		}
		if len(open) == 0 {
			break
		}
		chosen = open[turn%min(width, len(open))]
		turn++
		key := poolKey{t.lifecycle, chosen}
		id, err := l.launch(tx, key, pools[chosen], len(got[key]))
		if err != nil {
			return err
		}
		got[key] = append(got[key], id)
		left -= pools[chosen].weight
	}
	if t.capacity-left < t.least {
		l.dropped[t.lifecycle] = true
		return errExhausted
	}
	return nil
}

// launch launches one instance of a pool that has launched so many before.
func (l *fleetLaunch) launch(tx *store.Tx, key poolKey, p fleetPool, before int) (id string, err error) {
	r := p.launch
	r.Fleet, r.Lifecycle = l.fleet, ""
	if key.lifecycle == provision.Spot {
		r.Lifecycle = provision.Spot
	}
	instance, err := provision.Instance(tx, r)
	var refusal *awsapi.Error
	if errors.As(err, &refusal) {
		l.limits[key] = poolLimit{most: before, at: len(l.limits), refusal: refusal}
		return "", errExhausted
	}
	return instance.ID, err
}

// together says whether a fleet that is to have one type, or one zone, may have both pools.
func (t fleetTarget) together(a, b fleetPool) bool {
	return (!t.singleType || a.kind.Name == b.kind.Name) && (!t.singleZone || a.zone == b.zone)
}
