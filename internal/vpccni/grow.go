package vpccni

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	reapEvery   = 10 * time.Second // look for pods that went without a DEL
	shrinkEvery = time.Minute      // give addresses back to the subnet
	young       = 30 * time.Second // an allocation whose veth may not exist yet
)

// growth remembers how the last attempts to get addresses went, for those who
// wait for them.
type growth struct {
	mu      sync.Mutex
	n       int
	err     error
	retryAt time.Time
	wait    time.Duration
}

func (g *growth) attempts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// failedSince: an attempt after the n-th failed, or the last one did and the
// next is not due yet.
func (g *growth) failedSince(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err != nil && (g.n > n || time.Now().Before(g.retryAt))
}

func (g *growth) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	g.err = err
	if err == nil {
		g.wait = 0
		return
	}
	g.wait = min(max(2*g.wait, 500*time.Millisecond), 30*time.Second)
	g.retryAt = time.Now().Add(g.wait)
}

// due is how long the next attempt must wait.
func (g *growth) due() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return 0
	}
	return max(0, time.Until(g.retryAt))
}

// keep keeps the pool at its target until ctx ends, and declares the node ready
// as soon as a pod could get an address.
func (a *Agent) keep(ctx context.Context) error {
	reap, shrink := time.NewTicker(reapEvery), time.NewTicker(shrinkEvery)
	defer reap.Stop()
	defer shrink.Stop()
	for {
		change := a.pool.watch()
		if err := a.declareReady(); err != nil {
			return err
		}
		var again <-chan time.Time
		if n := a.short(); n > 0 && a.room() > 0 {
			if due := a.grow.due(); due > 0 {
				again = time.After(due)
			} else {
				a.attempt(ctx, n)
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-change:
		case <-again:
		case <-reap.C:
			if err := a.reap(); err != nil {
				a.cfg.Log.Warn("looking for pods that are gone", "err", err)
			}
		case <-shrink.C:
			if err := a.shrink(ctx); err != nil {
				a.cfg.Log.Warn("returning addresses to EC2", "err", err)
			}
		}
	}
}

func (a *Agent) attempt(ctx context.Context, n int) {
	err := a.enlarge(ctx, n)
	a.grow.note(err)
	a.pool.wake()
	if err != nil && ctx.Err() == nil {
		a.cfg.Log.Warn("getting addresses from EC2", "wanted", n, "err", err)
	}
}

// declareReady also covers an instance that is full already: its pods are served.
func (a *Agent) declareReady() error {
	if a.ready.Load() {
		return nil
	}
	if c := a.pool.count(); c.Total == 0 {
		return nil
	}
	if a.cfg.Conflist != "" {
		if err := replaceFile(a.cfg.Conflist, bytes.NewReader(conflist(a.cfg.Socket)), 0o644); err != nil {
			return fmt.Errorf("writing the network configuration: %w", err)
		}
	}
	a.ready.Store(true)
	a.cfg.Log.Info("ready")
	return nil
}

// short is how many addresses are wanting.
func (a *Agent) short() int {
	c := a.pool.count()
	return max(a.warm()-c.Free-c.Resting, int(a.waiting.Load())-c.Free, a.cfg.MinimumIPs-c.Total)
}

// warm is how many addresses are kept ready.
func (a *Agent) warm() int {
	if a.cfg.WarmIPs > 0 {
		return a.cfg.WarmIPs
	}
	return max(1, a.cfg.WarmENIs*(a.limits.Addresses-1))
}

// room is how many addresses the instance's limits still allow.
func (a *Agent) room() int {
	enis := a.pool.interfaces()
	n := max(0, a.limits.ENIs-len(enis)) * (a.limits.Addresses - 1)
	for _, e := range enis {
		n += a.roomOn(e)
	}
	return n
}

func (a *Agent) roomOn(e ENI) int { return max(0, a.limits.Addresses-1-len(e.Secondary)) }

// enlarge gets up to n more addresses: on an ENI that has room, else on a new one.
func (a *Agent) enlarge(ctx context.Context, n int) error {
	enis := a.pool.interfaces()
	for _, e := range enis {
		room := a.roomOn(e)
		if room == 0 {
			continue
		}
		got, err := a.ec2.assign(ctx, e.ID, min(n, room))
		if full := (&apiError{}); errors.As(err, &full) && full.Code == "PrivateIpAddressLimitExceeded" {
			return errors.Join(err, a.learn(ctx, e)) // it has addresses that we do not know
		}
		if err != nil {
			return err
		}
		a.pool.addAddresses(e.ID, got)
		return nil
	}
	return a.addENI(ctx, enis, min(n, a.limits.Addresses-1))
}

// learn reads an ENI's addresses again.
func (a *Agent) learn(ctx context.Context, e ENI) error {
	now, err := a.imds.eni(ctx, e.MAC)
	if err != nil {
		return err
	}
	a.pool.setENI(now)
	return nil
}

func (a *Agent) addENI(ctx context.Context, have []ENI, n int) error {
	e, err := a.ec2.create(ctx, a.in, a.cfg.Cluster, n)
	if err != nil {
		return err
	}
	e.Subnet = a.in.ENIs[0].Subnet // the same subnet as the primary ENI
	for _, o := range a.in.ENIs {
		if o.Device == 0 {
			e.Subnet = o.Subnet
		}
	}
	for e.Device = 1; slices.ContainsFunc(have, func(o ENI) bool { return o.Device == e.Device }); e.Device++ {
	}
	if err := a.ec2.attach(ctx, e.ID, a.in.ID, e.Device); err != nil {
		return errors.Join(err, a.removeENI(context.WithoutCancel(ctx), e.ID))
	}
	if err := setupENI(ctx, e, a.mtu); err != nil {
		return errors.Join(fmt.Errorf("preparing %s: %w", e.ID, err), a.removeENI(context.WithoutCancel(ctx), e.ID))
	}
	a.pool.setENI(e)
	a.cfg.Log.Info("network interface added", "eni", e.ID, "device", e.Device, "addresses", len(e.Secondary))
	return nil
}

// removeENI detaches and deletes an ENI of ours.
func (a *Agent) removeENI(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := a.ec2.detach(ctx, id)
		if err != nil {
			return fmt.Errorf("removing %s: %w", id, err)
		}
		if done {
			return a.ec2.delete(ctx, id)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing %s: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}

// shrink returns what is more than twice the target, so that a pod that comes
// and goes does not cost two calls each time.
func (a *Agent) shrink(ctx context.Context) error {
	if e, ok := a.pool.claimENI(2 * a.warm()); ok {
		a.cfg.Log.Info("network interface not needed", "eni", e.ID)
		if err := a.removeENI(ctx, e.ID); err != nil {
			return errors.Join(err, a.learn(ctx, e))
		}
		return nil
	}
	c := a.pool.count()
	if c.Free <= 2*a.warm() {
		return nil
	}
	eni, addrs := a.pool.claimFree(min(c.Free-a.warm(), max(0, c.Total-a.cfg.MinimumIPs)))
	if len(addrs) == 0 {
		return nil
	}
	if err := a.ec2.unassign(ctx, eni, addrs); err != nil {
		a.pool.addAddresses(eni, addrs)
		return err
	}
	return nil
}

// reap takes back the addresses of pods whose veth is gone.
func (a *Agent) reap() error {
	live, err := podVeths()
	if err != nil {
		return err
	}
	gone := 0
	for _, al := range a.pool.allocations() {
		if _, ok := live[al.Veth]; ok || time.Since(al.At) < young {
			continue
		}
		if err := removePodRules(al.Address); err != nil {
			return err
		}
		a.pool.release(al.Veth)
		a.cfg.Log.Info("address of a vanished pod returned", "pod", al.Pod, "address", al.Address)
		gone++
	}
	if gone == 0 {
		return nil
	}
	return a.save()
}
