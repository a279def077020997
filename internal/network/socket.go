package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Listen opens a listener in the VPC's router, on an address that the router owns,
// as "169.254.169.254:80". It stays there however the caller's threads move; it
// is the caller's to close. The error wraps fs.ErrNotExist if there is no such VPC.
func (h *Host) Listen(ctx context.Context, vpc, network, address string) (net.Listener, error) {
	var l net.Listener
	err := h.socket(h.RouterPath(vpc), address, func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in %s: %w", vpc, err)
	}
	return l, nil
}

// ListenPacket is Listen for datagrams.
func (h *Host) ListenPacket(ctx context.Context, vpc, network, address string) (net.PacketConn, error) {
	var pc net.PacketConn
	err := h.socket(h.RouterPath(vpc), address, func() (err error) {
		pc, err = new(net.ListenConfig).ListenPacket(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in %s: %w", vpc, err)
	}
	return pc, nil
}

// Dial connects from inside the namespace at path (see GuestPath and RouterPath).
// A thread is busy until the connection stands: give ctx a deadline.
func (h *Host) Dial(ctx context.Context, path, network, address string) (net.Conn, error) {
	var c net.Conn
	err := h.socket(path, address, func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", path, err)
	}
	return c, nil
}

// socket runs open in the namespace. Only literal addresses: to resolve a name,
// package net would ask on another thread, outside.
func (h *Host) socket(path, address string, open func() error) error {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	return within(path, open)
}
