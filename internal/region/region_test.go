package region

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryRegionHasThreeZones(t *testing.T) {
	id := regexp.MustCompile(`^[a-z]{3,5}[1-9]-az[1-6]$`)
	var names []string
	seen := map[string]bool{}
	for _, r := range All() {
		names = append(names, r.Name)
		if len(r.Zones) < 3 {
			t.Errorf("%s has %d zones", r.Name, len(r.Zones))
		}
		for _, z := range r.Zones {
			if !strings.HasPrefix(z.Name, r.Name) || len(z.Name) != len(r.Name)+1 || !id.MatchString(z.ID) || seen[z.ID] {
				t.Errorf("zone %+v of %s", z, r.Name)
			}
			seen[z.ID] = true
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
}

func TestLookup(t *testing.T) {
	r, ok := Lookup("us-west-2")
	if !ok || r.Zones[0] != (Zone{"us-west-2a", "usw2-az1"}) {
		t.Fatalf("got %+v, %v", r, ok)
	}
	if z, ok := r.Zone("usw2-az4"); !ok || z.Name != "us-west-2d" {
		t.Fatalf("got %+v, %v", z, ok)
	}
	if _, ok := r.Zone("us-west-2z"); ok {
		t.Fatal("us-west-2z is there")
	}
	if _, ok := Lookup("us-gov-west-1"); ok {
		t.Fatal("us-gov-west-1 is there")
	}
}
