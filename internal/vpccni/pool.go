package vpccni

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// An Allocation is an address that a pod has.
type Allocation struct {
	Veth    string     `json:"veth"` // the node's end, named for container and interface: the key
	Pod     string     `json:"pod"`  // namespace/name, for people
	Address netip.Addr `json:"address"`
	Device  int        `json:"device"`
	At      time.Time  `json:"at"`
}

// A pool knows every secondary address of the instance and who has it. It is
// pure state: the agent tells it what EC2 and the plugin did.
type pool struct {
	cooldown time.Duration // how long a returned address rests: others may still know it
	now      func() time.Time

	mu     sync.Mutex
	enis   []ENI                    // by device
	used   map[string]Allocation    // by veth
	rested map[netip.Addr]time.Time // address → when it came back
	change chan struct{}            // closed and replaced at every change
}

func newPool(cooldown time.Duration) *pool {
	return &pool{
		cooldown: cooldown, now: time.Now, used: map[string]Allocation{},
		rested: map[netip.Addr]time.Time{}, change: make(chan struct{}),
	}
}

func (p *pool) changed() { // with mu held
	close(p.change)
	p.change = make(chan struct{})
}

// watch gives a channel that is closed at the next change.
func (p *pool) watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.change
}

// wake has whoever watches look again, though nothing changed.
func (p *pool) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed()
}

// setENI adds an ENI or replaces what is known of it.
func (p *pool) setENI(e ENI) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enis = slices.DeleteFunc(p.enis, func(o ENI) bool { return o.ID == e.ID })
	p.enis = append(p.enis, e)
	slices.SortFunc(p.enis, func(a, b ENI) int { return a.Device - b.Device })
	p.changed()
}

// addAddresses tells of addresses that an ENI got.
func (p *pool) addAddresses(eni string, addrs []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.enis {
		if p.enis[i].ID == eni {
			p.enis[i].Secondary = append(slices.Clone(p.enis[i].Secondary), addrs...)
		}
	}
	p.changed()
}

// restore puts back an allocation of an earlier agent. Its address must be one
// of an ENI; otherwise it is forgotten, since the VPC no longer delivers to it.
func (p *pool) restore(a Allocation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.enis {
		if slices.Contains(e.Secondary, a.Address) {
			a.Device = e.Device
			p.used[a.Veth] = a
			p.changed()
			return true
		}
	}
	return false
}

// assign gives the address that was longest unused, of the lowest device. The
// same veth gets the same address again.
func (p *pool) assign(veth, pod string) (Allocation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.used[veth]; ok {
		return a, true
	}
	taken := p.takenLocked()
	for _, e := range p.enis {
		var best netip.Addr
		for _, addr := range e.Secondary {
			if !p.readyLocked(addr, taken) {
				continue
			}
			if !best.IsValid() || p.rested[addr].Before(p.rested[best]) {
				best = addr
			}
		}
		if best.IsValid() {
			a := Allocation{Veth: veth, Pod: pod, Address: best, Device: e.Device, At: p.now()}
			p.used[veth] = a
			p.changed()
			return a, true
		}
	}
	return Allocation{}, false
}

func (p *pool) takenLocked() map[netip.Addr]bool {
	taken := make(map[netip.Addr]bool, len(p.used))
	for _, a := range p.used {
		taken[a.Address] = true
	}
	return taken
}

// readyLocked: nobody has the address, and it has rested.
func (p *pool) readyLocked(a netip.Addr, taken map[netip.Addr]bool) bool {
	return !taken[a] && p.now().Sub(p.rested[a]) >= p.cooldown
}

// release takes an address back; absent is fine.
func (p *pool) release(veth string) (Allocation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.used[veth]
	if ok {
		delete(p.used, veth)
		p.rested[a.Address] = p.now()
		p.changed()
	}
	return a, ok
}

func (p *pool) find(veth string) (Allocation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.used[veth]
	return a, ok
}

// allocations lists them by address.
func (p *pool) allocations() []Allocation {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Allocation, 0, len(p.used))
	for _, a := range p.used {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Allocation) int { return a.Address.Compare(b.Address) })
	return out
}

func (p *pool) interfaces() []ENI {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.enis)
}

// A count is how full the pool is. Free counts what could be given out at once,
// Resting what was returned moments ago.
type count struct{ Total, Used, Free, Resting int }

func (p *pool) count() count {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := count{Used: len(p.used)}
	taken := p.takenLocked()
	for _, e := range p.enis {
		c.Total += len(e.Secondary)
		for _, a := range e.Secondary {
			switch {
			case p.readyLocked(a, taken):
				c.Free++
			case !taken[a]:
				c.Resting++
			}
		}
	}
	return c
}

// claimFree takes up to n free addresses of one ENI out of the pool, to be given
// back to EC2. Nobody can be assigned them any more.
func (p *pool) claimFree(n int) (eni string, addrs []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.takenLocked()
	for i := len(p.enis) - 1; i >= 0; i-- {
		e := &p.enis[i]
		for _, a := range e.Secondary {
			if len(addrs) < n && p.readyLocked(a, taken) {
				addrs = append(addrs, a)
			}
		}
		if len(addrs) > 0 {
			e.Secondary = slices.DeleteFunc(slices.Clone(e.Secondary), func(a netip.Addr) bool { return slices.Contains(addrs, a) })
			p.changed()
			return e.ID, addrs
		}
	}
	return "", nil
}

// claimENI takes an unused ENI other than the primary out of the pool, if the
// others alone keep at least keep addresses free.
func (p *pool) claimENI(keep int) (ENI, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.takenLocked()
	free := make([]int, len(p.enis))
	total := 0
	idle := make([]bool, len(p.enis))
	for i, e := range p.enis {
		idle[i] = true
		for _, a := range e.Secondary {
			if p.readyLocked(a, taken) {
				free[i]++
				total++
			} else {
				idle[i] = false
			}
		}
	}
	for i := len(p.enis) - 1; i > 0; i-- {
		if idle[i] && total-free[i] >= keep {
			e := p.enis[i]
			p.enis = slices.Delete(slices.Clone(p.enis), i, i+1)
			p.changed()
			return e, true
		}
	}
	return ENI{}, false
}
