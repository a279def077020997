package provision

import (
	"cmp"
	"slices"

	"ekster.dev/ekster/internal/instancetype"
)

// Strategies by which fleets and Auto Scaling groups choose among pools, as both APIs spell them.
const (
	LowestPrice        = "lowest-price"
	Prioritized        = "prioritized"
	Diversified        = "diversified"
	CapacityByPriority = "capacity-optimized-prioritized"
	CapacityByPrice    = "price-capacity-optimized"
)

// A Pool is one choice of a fleet or a group: a type in a zone.
type Pool struct {
	Type     instancetype.Type
	Zone     string
	Weight   float64 // what one instance counts for
	Priority float64 // the lowest number goes first
}

// Price is what a unit of the pool's capacity costs an hour. What has no known price comes last.
func (p Pool) Price(lifecycle string) float64 {
	const unknown = 1e9
	price, ok := p.Type.PriceUSD, p.Type.PriceUSD > 0
	if lifecycle == Spot {
		price, ok = SpotPrice(p.Type, p.Zone)
	}
	if !ok {
		return unknown
	}
	return price / p.Weight
}

// An Allocation is how a fleet or a group chooses what it launches of one lifecycle.
type Allocation struct {
	Lifecycle string // Spot, OnDemand
	Strategy  string // "" takes the pools as they come
	Cheapest  int    // pools to spread over, of LowestPrice
}

// Order is the order in which pools are tried, as their indices, and over how many of them at a
// time the capacity is spread. Every pool that has room at all has the same, so the strategies
// that go by capacity go by what they look at next: the price, the priority, or the order.
func (a Allocation) Order(pools []Pool) (order []int, width int) {
	for i := range pools {
		order = append(order, i)
	}
	by := func(key func(Pool) float64) {
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(key(pools[i]), key(pools[j])) })
	}
	price := func(p Pool) float64 { return p.Price(a.Lifecycle) }
	switch a.Strategy {
	case LowestPrice:
		by(price)
		return order, max(a.Cheapest, 1)
	case Prioritized, CapacityByPriority:
		by(func(p Pool) float64 { return p.Priority })
	case CapacityByPrice:
		by(price)
	case Diversified:
		return order, len(order)
	}
	return order, 1
}
