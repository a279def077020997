package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// ensureAddress sets an address on lo: what pods send to it arrives on their own
// interfaces, and the kernel takes it for its own wherever it has the address. EKS's agent
// makes a dummy link for it, which not every kernel can.
func ensureAddress(address netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	a, err := netlink.ParseAddr(netip.PrefixFrom(address, address.BitLen()).String())
	if err != nil {
		return err
	}
	a.Flags = syscall.IFA_F_NODAD // or an IPv6 address could not be listened on yet
	if address.Is4() {
		a.Flags = 0
	}
	if err := netlink.AddrAdd(lo, a); err != nil && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	return nil
}
