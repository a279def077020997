package network

import (
	"fmt"
	"runtime"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// VethSupport says why this host cannot make the links that VPCs are made of.
func VethSupport() error {
	return apart(func() error {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ekster0"}, PeerName: "ekster1"}
		if err := netlink.LinkAdd(link); err != nil {
			return fmt.Errorf("making a veth pair: %w", err)
		}
		return nil
	})
}

// NFTablesSupport says why this host cannot keep the rules that VPCs are made of.
func NFTablesSupport() error {
	return apart(func() error {
		conn, err := nftables.New()
		if err == nil {
			conn.AddTable(&nftables.Table{Name: "ekster", Family: nftables.TableFamilyINet})
			err = conn.Flush()
		}
		if err != nil {
			return fmt.Errorf("making an nftables table: %w", err)
		}
		return nil
	})
}

// apart runs f in a network namespace that is gone afterwards, with all that f has made.
func apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and with it the namespace.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("making a network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
