// Package region knows the commercial AWS regions and their availability zones.
//
// The regions are those that botocore 1.43 lists for EKS and that eksctl accepts:
// both refuse an invented name before they send anything. Zone names and ids are
// AWS's own; where AWS gives each account its own mapping of letters to ids (the
// oldest regions), the letters are in the order of the ids here. us-west-1 shows
// new accounts two zones and has three, which is what is here, so that whatever
// needs three zones works in every region.
//
// The package knows no local zones, wavelength zones, or other partitions.
package region

import "slices"

// Default is the region that the CLI uses unless told otherwise.
const Default = "us-west-2"

// A Region is one AWS region.
type Region struct {
	Name      string // us-west-2
	Geography string // US West (Oregon), as the price list spells it
	OptIn     bool   // accounts have to ask for it first
	Zones     []Zone // in order of their letters; three or more
}

// A Zone is an availability zone.
type Zone struct {
	Name string // us-west-2a
	ID   string // usw2-az1
}

// Lookup returns the region called name, and whether there is one.
func Lookup(name string) (Region, bool) {
	for _, r := range rows {
		if r.name == name {
			return r.region(), true
		}
	}
	return Region{}, false
}

// Known says whether there is a region called name.
func Known(name string) bool {
	return slices.ContainsFunc(rows[:], func(r row) bool { return r.name == name })
}

// All returns every region, in the order of names.
func All() []Region {
	out := make([]Region, len(rows))
	for i, r := range rows {
		out[i] = r.region()
	}
	return out
}

// Zone returns the zone of r with that name or id, and whether there is one.
func (r Region) Zone(nameOrID string) (Zone, bool) {
	i := slices.IndexFunc(r.Zones, func(z Zone) bool { return z.Name == nameOrID || z.ID == nameOrID })
	if i < 0 {
		return Zone{}, false
	}
	return r.Zones[i], true
}

// row is a region as the table has it. zones is a letter and the digit of its id,
// zone by zone.
type row struct {
	name, prefix, zones, geography string
	optIn                          bool
}

func (r row) region() Region {
	out := Region{Name: r.name, Geography: r.geography, OptIn: r.optIn}
	for i := 0; i+1 < len(r.zones); i += 2 {
		out.Zones = append(out.Zones, Zone{
			Name: r.name + r.zones[i:i+1],
			ID:   r.prefix + "-az" + r.zones[i+1:i+2],
		})
	}
	return out
}

var rows = [...]row{
	{"af-south-1", "afs1", "a1b2c3", "Africa (Cape Town)", true},
	{"ap-east-1", "ape1", "a1b2c3", "Asia Pacific (Hong Kong)", true},
	{"ap-east-2", "ape2", "a1b2c3", "Asia Pacific (Taipei)", true},
	{"ap-northeast-1", "apne1", "a4c1d2", "Asia Pacific (Tokyo)", false},
	{"ap-northeast-2", "apne2", "a1b2c3d4", "Asia Pacific (Seoul)", false},
	{"ap-northeast-3", "apne3", "a3b1c2", "Asia Pacific (Osaka)", false},
	{"ap-south-1", "aps1", "a1b3c2", "Asia Pacific (Mumbai)", false},
	{"ap-south-2", "aps2", "a1b2c3", "Asia Pacific (Hyderabad)", true},
	{"ap-southeast-1", "apse1", "a1b2c3", "Asia Pacific (Singapore)", false},
	{"ap-southeast-2", "apse2", "a1b3c2", "Asia Pacific (Sydney)", false},
	{"ap-southeast-3", "apse3", "a1b2c3", "Asia Pacific (Jakarta)", true},
	{"ap-southeast-4", "apse4", "a1b2c3", "Asia Pacific (Melbourne)", true},
	{"ap-southeast-5", "apse5", "a1b2c3", "Asia Pacific (Malaysia)", true},
	{"ap-southeast-6", "apse6", "a1b2c3", "Asia Pacific (New Zealand)", true},
	{"ap-southeast-7", "apse7", "a1b2c3", "Asia Pacific (Thailand)", true},
	{"ca-central-1", "cac1", "a1b2d4", "Canada (Central)", false},
	{"ca-west-1", "caw1", "a1b2c3", "Canada West (Calgary)", true},
	{"eu-central-1", "euc1", "a2b3c1", "Europe (Frankfurt)", false},
	{"eu-central-2", "euc2", "a1b2c3", "Europe (Zurich)", true},
	{"eu-north-1", "eun1", "a1b2c3", "Europe (Stockholm)", false},
	{"eu-south-1", "eus1", "a1b2c3", "Europe (Milan)", true},
	{"eu-south-2", "eus2", "a1b2c3", "Europe (Spain)", true},
	{"eu-west-1", "euw1", "a1b2c3", "Europe (Ireland)", false},
	{"eu-west-2", "euw2", "a2b3c1", "Europe (London)", false},
	{"eu-west-3", "euw3", "a1b2c3", "Europe (Paris)", false},
	{"il-central-1", "ilc1", "a1b2c3", "Israel (Tel Aviv)", true},
	{"me-central-1", "mec1", "a1b2c3", "Middle East (UAE)", true},
	{"me-south-1", "mes1", "a1b2c3", "Middle East (Bahrain)", true},
	{"mx-central-1", "mxc1", "a1b2c3", "Mexico (Central)", true},
	{"sa-east-1", "sae1", "a1b2c3", "South America (Sao Paulo)", false},
	{"us-east-1", "use1", "a1b2c3d4e5f6", "US East (N. Virginia)", false},
	{"us-east-2", "use2", "a1b2c3", "US East (Ohio)", false},
	{"us-west-1", "usw1", "a1b2c3", "US West (N. California)", false},
	{"us-west-2", "usw2", "a1b2c3d4", "US West (Oregon)", false},
}
