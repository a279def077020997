package provision

import (
	"slices"

	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Strategies of placement groups, as the API spells them.
const (
	PlaceCluster   = "cluster"
	PlacePartition = "partition"
	PlaceSpread    = "spread"
)

// maxSpread is how many running instances of a spread group one zone takes, each on a rack.
const maxSpread = 7

// LookupPlacementGroup returns the group that a caller means by its name or its id.
func LookupPlacementGroup(tx *store.Tx, home resource.Home, name string) (resource.PlacementGroup, error) {
	for id, g := range tx.PlacementGroups.All() {
		if g.Home == home && (g.Name == name || id == name) {
			return g, nil
		}
	}
	return resource.PlacementGroup{}, fault("InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.", name)
}

// InPlacementGroup says whether an instance takes a place in a group.
func InPlacementGroup(i resource.Instance, group string) bool {
	return i.Spec.PlacementGroup == group && i.Status.State != resource.InstanceTerminated
}

// checkPlacement returns the id of the placement group that a launch goes to, "" without one.
// Where instances lie is not made real, there being one machine for all of them; what a
// group admits is as on EC2.
func checkPlacement(tx *store.Tx, r InstanceRequest, t instancetype.Type, zone string) (string, error) {
	if r.PlacementGroup == "" {
		return "", nil
	}
	g, err := LookupPlacementGroup(tx, r.Home, r.PlacementGroup)
	if err != nil {
		return "", err
	}
	if g.Strategy == PlaceCluster && t.Burstable() {
		return "", fault("InvalidParameterCombination", "Placement groups may not be used with instances of type '%s'.", t.Name)
	}
	var zones []string
	here := 0
	for i := range tx.Instances.Values(func(i resource.Instance) bool { return InPlacementGroup(i, g.ID) }) {
		if zones = append(zones, i.Spec.Zone); i.Spec.Zone == zone && i.Current() != resource.InstanceStopped {
			here++
		}
	}
	switch {
	case g.Strategy == PlaceCluster && len(zones) > 0 && !slices.Contains(zones, zone):
		return "", fault("InvalidPlacementGroup.InvalidZone", "Your placement group is spread across Availability Zones.")
	case g.Strategy == PlaceSpread && here >= maxSpread:
		// That it does not launch is documented, how EC2 words it is not.
		return "", insufficient("The spread placement group '" + g.Name + "' has its maximum of 7 running instances in the Availability Zone " + zone + ".")
	}
	return g.ID, nil
}
