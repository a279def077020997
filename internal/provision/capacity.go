package provision

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"path"
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Lifecycles of an instance, as capacity faults and fleets spell them.
const (
	Spot     = "spot"
	OnDemand = "on-demand"
)

// HasCapacity says whether there is room for one more instance of a type in a zone. There
// is, unless a drill has taken it, or the zone.
func HasCapacity(tx *store.Tx, kind, zone, lifecycle string) bool {
	if tx.ZoneFaults.Has(zone) {
		return false
	}
	for _, f := range tx.CapacityFaults.All() {
		if (f.Lifecycle == "" || f.Lifecycle == lifecycle) && glob(f.Type, kind) && glob(f.Zone, zone) {
			return false
		}
	}
	return true
}

// glob says whether s matches a capacity fault's pattern. A pattern that is none matches nothing.
func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// checkCapacity is EC2's answer to a launch in a zone that has no room. Other than what the
// caller can mend, this is a server's error.
func checkCapacity(tx *store.Tx, home resource.Home, t instancetype.Type, zone, lifecycle string) error {
	if HasCapacity(tx, t.Name, zone, lifecycle) {
		return nil
	}
	if lifecycle == Spot {
		return insufficient("There is no Spot capacity available that matches your request.")
	}
	r, _ := region.Lookup(home.Region)
	var others []string
	for _, z := range r.Zones {
		if HasCapacity(tx, t.Name, z.Name, lifecycle) {
			others = append(others, z.Name)
		}
	}
	message := fmt.Sprintf("We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", t.Name, zone)
	if len(others) > 0 {
		message += fmt.Sprintf(" You can currently get %s capacity by not specifying an Availability Zone in your request or choosing %s.", t.Name, strings.Join(others, ", "))
	}
	return insufficient(message)
}

func insufficient(message string) error {
	return awsapi.Errorf("InsufficientInstanceCapacity", http.StatusInternalServerError, "%s", message)
}

// SpotPrice is what a Spot instance of a type costs an hour in a zone, in USD; false where
// the on-demand price is not known. There is no market: it is the same part of the
// on-demand price every time, between three and four tenths, which differs by type and
// zone so that strategies that go by price have something to choose by.
func SpotPrice(t instancetype.Type, zone string) (float64, bool) {
	h := fnv.New32a()
	h.Write([]byte(t.Name + "/" + zone))
	return t.PriceUSD * (0.3 + float64(h.Sum32()%1000)/10_000), t.PriceUSD > 0
}

// PriceText is a price as EC2 writes one.
func PriceText(usd float64) string { return strconv.FormatFloat(usd, 'f', 6, 64) }

// checkPrice is EC2's answer to a Spot launch that offers too little.
func checkPrice(t instancetype.Type, zone, max string) error {
	if max == "" {
		return nil
	}
	offer, err := strconv.ParseFloat(max, 64)
	if err != nil || offer <= 0 {
		return fault("InvalidParameterValue", "Invalid value '%s' for Spot price.", max)
	}
	if price, ok := SpotPrice(t, zone); ok && offer < price {
		return fault("SpotMaxPriceTooLow", "Your Spot request price of %s is lower than the minimum required Spot request fulfillment price of %s.", max, PriceText(price))
	}
	return nil
}
