package network

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Relay leads who connects to an address of the host's, in the daemon's own namespace,
// to a public address: the host is on the internet. What comes of it is for the routes
// and rules to say; the instance sees OutsideAddress.
type Relay struct {
	Host   netip.AddrPort // a loopback address of the host's
	Public netip.AddrPort // of PublicPrefix
}

// dialTimeout is how long a relay waits for the public address.
const dialTimeout = 10 * time.Second

// EnsureRelays makes the relays of a VPC those given. A port of the host's that somebody
// else has is left to him, and tried again the next time. RemoveVPC ends them.
func (h *Host) EnsureRelays(vpc string, want []Relay) {
	h.relaysMu.Lock()
	defer h.relaysMu.Unlock()
	have := h.relays[vpc]
	wanted := map[Relay]bool{}
	for _, r := range want {
		wanted[r] = true
	}
	for r, l := range have {
		if !wanted[r] {
			if l != nil {
				l.Close()
			}
			delete(have, r)
		}
	}
	if have == nil {
		have = map[Relay]net.Listener{}
	}
	for r := range wanted {
		open, tried := have[r]
		if open != nil {
			continue
		}
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(r.Host))
		if err != nil {
			if !tried { // said once
				h.log.Warn("a port of a public address cannot be had on the host", "address", r.Host, "err", err)
			}
			have[r] = nil
			continue
		}
		have[r] = l
		go h.relay(l, r.Public)
	}
	if h.relays == nil {
		h.relays = map[string]map[Relay]net.Listener{}
	}
	h.relays[vpc] = have
	if len(have) == 0 {
		delete(h.relays, vpc)
	}
}

// endRelays ends those of every VPC.
func (h *Host) endRelays() {
	h.relaysMu.Lock()
	vpcs := slices.Collect(maps.Keys(h.relays))
	h.relaysMu.Unlock()
	for _, vpc := range vpcs {
		h.EnsureRelays(vpc, nil)
	}
}

func (h *Host) relay(l *net.TCPListener, to netip.AddrPort) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			h.log.Warn("accepting for a public address", "address", l.Addr(), "err", err)
			return
		}
		go func() {
			defer c.Close()
			ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
			defer cancel()
			far, err := h.Dial(ctx, h.InternetPath(), "tcp4", to.String())
			if err != nil {
				h.log.Debug("a public address does not answer", "address", to, "err", err)
				_ = c.SetLinger(0) // refused, as well as that can still be said
				return
			}
			defer far.Close()
			Join(c, far.(*net.TCPConn))
		}()
	}
}

// Join copies both ways until both are done.
func Join(a, b *net.TCPConn) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(a, b); _ = a.CloseWrite() })
	both.Go(func() { _, _ = io.Copy(b, a); _ = b.CloseWrite() })
	both.Wait()
}
