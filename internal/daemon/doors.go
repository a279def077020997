package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"

	"ekster.dev/ekster/internal/imds"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/resolver"
)

// doors are what answers inside the VPCs, on addresses of their routers:
//
//	169.254.169.254:80    the instance metadata service, also at fd00:ec2::254
//	169.254.169.253:53    the VPC's DNS server, also at the VPC's base address + 2 and fd00:ec2::253
//	198.18.0.1:80, :443   the AWS APIs; :443 also at the interface endpoints
//	198.18.128.0/17:443   the public endpoints of clusters
//	198.18.0.1:5000       the image registry
type doors struct {
	host     *network.Host
	metadata func(vpc string) *imds.Handler
	zone     func(vpc string) resolver.Config
	endpoint func(at netip.Addr) ([]netip.AddrPort, error) // of a cluster: see clusterDoor
	apis     *http.Server
	wrap     func(net.Listener) net.Listener // TLS beside HTTP on one port
	registry *http.Server
	log      *slog.Logger

	mu   sync.Mutex
	open map[string]func() // VPC → close
}

// Open opens the VPC's listeners if they are not open.
func (d *doors) Open(ctx context.Context, vpc string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[vpc] != nil {
		return nil
	}
	var closers []io.Closer
	closeAll := func() {
		for _, c := range closers {
			_ = c.Close() // a listener that is closed already
		}
	}
	listen := func(addr netip.Addr, port uint16, serve func(net.Listener)) error {
		l, err := d.host.Listen(ctx, vpc, family("tcp", addr), netip.AddrPortFrom(addr, port).String())
		if err != nil {
			return err
		}
		closers = append(closers, l)
		go serve(l)
		return nil
	}
	meta := d.metadata(vpc).Server()
	meta.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)
	closers = append(closers, meta)
	err := errors.Join(
		listen(network.MetadataAddress, 80, d.serve(meta)),
		// The VPC may get IPv6 later, and the router its address.
		withIPv6(listen(netip.IPv6Unspecified(), 80, d.serve(meta))),
		listen(network.InternetAddress, 80, d.serve(d.apis)),
		// Who may reach it at which address is for the router's rules to say.
		listen(netip.IPv4Unspecified(), 443, func(l net.Listener) { d.serve(d.apis)(d.wrap(clusterDoor{l, d.endpoint, d.log})) }),
		listen(network.InternetAddress, 5000, d.serve(d.registry)),
		d.openDNS(ctx, vpc, netip.IPv4Unspecified(), &closers),
		withIPv6(d.openDNS(ctx, vpc, netip.IPv6Unspecified(), &closers)),
	)
	if err != nil {
		closeAll()
		return err
	}
	d.open[vpc] = closeAll
	return nil
}

// family is the network of the address's family alone.
func family(network string, addr netip.Addr) string {
	if addr.Is6() {
		return network + "6"
	}
	return network + "4"
}

// withIPv6 is err, unless the kernel knows no IPv6.
func withIPv6(err error) error {
	if errors.Is(err, syscall.EAFNOSUPPORT) {
		return nil
	}
	return err
}

func (d *doors) openDNS(ctx context.Context, vpc string, on netip.Addr, closers *[]io.Closer) error {
	at := netip.AddrPortFrom(on, 53).String()
	pc, err := d.host.ListenPacket(ctx, vpc, family("udp", on), at)
	if err != nil {
		return err
	}
	l, err := d.host.Listen(ctx, vpc, family("tcp", on), at)
	if err != nil {
		return errors.Join(err, pc.Close())
	}
	dns, cancel := context.WithCancel(context.WithoutCancel(ctx))
	*closers = append(*closers, closer(cancel))
	go func() {
		if err := resolver.Serve(dns, pc, l, d.zone(vpc)); err != nil {
			d.log.Error("the DNS server of a VPC has ended", "vpc", vpc, "err", err)
		}
	}()
	return nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (d *doors) serve(s *http.Server) func(net.Listener) {
	return func(l net.Listener) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			d.log.Error(fmt.Sprintf("listener %s has ended", l.Addr()), "err", err)
		}
	}
}

// Close closes the VPC's listeners.
func (d *doors) Close(vpc string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.open[vpc]; f != nil {
		f()
		delete(d.open, vpc)
	}
}
