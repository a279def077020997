package provision

import (
	"context"
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

// SetVCPULimit sets the quota of a lifecycle; 0 takes it away.
func SetVCPULimit(ctx context.Context, st *store.Store, lifecycle string, most int) error {
	return st.Update(ctx, func(tx *store.Tx) error {
		if most == 0 {
			tx.VCPULimits.Delete(lifecycle)
			return nil
		}
		tx.VCPULimits.Put(lifecycle, resource.VCPULimit{Lifecycle: lifecycle, Most: most})
		return nil
	})
}

// standard are the families whose instances share one quota. EC2 has quotas of their own for
// the others, which are not limited here.
const standard = "acdhimrtz"

func isStandard(kind string) bool {
	family, _, _ := strings.Cut(kind, ".")
	return strings.ContainsRune(standard, rune(kind[0])) && !strings.HasPrefix(family, "dl") && !strings.HasPrefix(family, "inf") &&
		!strings.HasPrefix(family, "trn") && !strings.HasPrefix(family, "hpc")
}

// checkVCPU is EC2's answer to a launch or a start beyond the account's quota.
func checkVCPU(tx *store.Tx, home resource.Home, t instancetype.Type, lifecycle string) error {
	limit, ok := tx.VCPULimits.Get(lifecycle)
	if !ok || !isStandard(t.Name) {
		return nil
	}
	used := t.VCPU
	for i := range tx.Instances.Values(func(i resource.Instance) bool { return i.Home == home && or(i.Spec.Lifecycle, OnDemand) == lifecycle }) {
		if s := i.Current(); isStandard(i.Spec.Type) && (s == resource.InstancePending || s == resource.InstanceRunning) {
			have, _ := instancetype.Lookup(i.Spec.Type)
			used += have.VCPU
		}
	}
	switch {
	case used <= limit.Most:
		return nil
	case lifecycle == Spot:
		return fault("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	}
	return fault("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", limit.Most)
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
