// Package resolver is the DNS server of a VPC, what instances find at
// 169.254.169.253 and fd00:ec2::253 (AmazonProvidedDNS on AWS).
//
//	the name                                   the answer
//	known to the zone function                 its addresses (A, AAAA)
//	other, below compute.internal,             NXDOMAIN: these are ours alone
//	  ec2.internal or ekster.internal
//	a reverse name of a private address        its name if known, NXDOMAIN otherwise
//	any other                                  what the host's own resolvers say;
//	                                           SERVFAIL if there are none, or none answers
//
// It keeps no zone and no cache, opens no listening socket (package network does, in
// the VPC's router), and validates no DNSSEC.
package resolver

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// ttl of our own answers, in seconds: AWS's for private DNS names.
	ttl = 60
	// defaultTimeout is how long each of the host's resolvers may take.
	defaultTimeout = time.Second
	// maxForwards bounds the questions that wait for the host's resolvers.
	maxForwards = 256
)

// ours are the domains that are never forwarded.
var ours = []string{"compute.internal.", "ec2.internal.", "ekster.internal."}

// privateReverse are the reverse zones of addresses that mean something else to the
// host's resolvers, if anything (RFC 6303).
var privateReverse = func() []string {
	zones := []string{"10.in-addr.arpa.", "168.192.in-addr.arpa.", "64.100.in-addr.arpa.", "254.169.in-addr.arpa.", "18.198.in-addr.arpa."}
	// Of IPv6: unique local addresses, link-local ones, and those of VPCs (2001:db8::/32).
	zones = append(zones, "d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.")
	for _, n := range []string{"16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31"} {
		zones = append(zones, n+".172.in-addr.arpa.")
	}
	return zones
}()

// Config says what a resolver knows. The functions are called for each question, at
// the same time from several goroutines.
type Config struct {
	// Zone returns the addresses of a name, and whether it knows the name at all. Names come in
	// lower case without the last dot. It is asked for every name first, so a zone may
	// take over public names such as sts.us-west-2.amazonaws.com.
	Zone func(name string) ([]netip.Addr, bool)

	// Reverse, if not nil, returns the name of a private address.
	Reverse func(addr netip.Addr) (string, bool)

	// Upstreams returns the host's resolvers as host:port; see FromFile. Nil: forward nothing.
	Upstreams func() ([]string, error)

	// Off, if not nil, says whether nobody is answered: enableDnsSupport of the VPC is false.
	Off func() bool

	// Timeout for each of the upstreams; 0 means a second.
	Timeout time.Duration

	Log *slog.Logger
}

// FromFile returns an Upstreams function that reads a resolv.conf each time it is
// called: the host's resolvers change when it changes networks. A file without
// name servers, or none, is no error.
func FromFile(path string) func() ([]string, error) {
	return func() ([]string, error) {
		conf, err := dns.ClientConfigFromFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		upstreams := make([]string, len(conf.Servers))
		for i, s := range conf.Servers {
			upstreams[i] = net.JoinHostPort(s, conf.Port)
		}
		return upstreams, nil
	}
}

// Serve answers questions on both sockets (either may be nil) until ctx is done,
// when it returns nil, or one of them fails. It closes them.
func Serve(ctx context.Context, pc net.PacketConn, l net.Listener, c Config) error {
	s := &server{Config: c, forwards: make(chan struct{}, maxForwards)}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	var servers []*dns.Server
	if pc != nil {
		servers = append(servers, &dns.Server{PacketConn: pc, Handler: s.handler(ctx, "udp")})
	}
	if l != nil {
		servers = append(servers, &dns.Server{Listener: l, Handler: s.handler(ctx, "tcp")})
	}
	if len(servers) == 0 {
		return errors.New("DNS: no socket to serve on")
	}
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		go func() { ended <- srv.ActivateAndServe() }()
	}
	var err error
	running := len(servers)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	// Closing the sockets ends a server at any moment, also one that has not begun.
	if pc != nil {
		_ = pc.Close()
	}
	if l != nil {
		l.Close()
	}
	for range running {
		<-ended //nolint:errcheck // they end because their sockets are closed
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was to end
	}
	return err
}

type server struct {
	Config
	forwards chan struct{}
}

// handler answers in ctx; questions that came by TCP are forwarded by TCP.
func (s *server) handler(ctx context.Context, network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		if s.Off != nil && s.Off() {
			return
		}
		reply := s.answer(ctx, network, q)
		if network == "udp" {
			size := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				size = max(size, int(opt.UDPSize()))
			}
			reply.Truncate(size)
		}
		if err := w.WriteMsg(reply); err != nil && ctx.Err() == nil {
			s.Log.Debug("DNS answer not sent", "to", w.RemoteAddr(), "error", err)
		}
	}
}

func (s *server) answer(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return failure(q, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		return failure(q, dns.RcodeFormatError)
	case q.Question[0].Qclass != dns.ClassINET:
		return failure(q, dns.RcodeRefused)
	}
	question := q.Question[0]
	name := strings.ToLower(dns.Fqdn(question.Name))

	if addrs, ok := s.Zone(strings.TrimSuffix(name, ".")); ok {
		return authoritative(q, dns.RcodeSuccess, addressRecords(question, addrs))
	}
	if zone := enclosing(privateReverse, name); zone != "" {
		return s.reverse(q, name)
	}
	if zone := enclosing(ours, name); zone != "" {
		if name == zone {
			return authoritative(q, dns.RcodeSuccess, nil)
		}
		return authoritative(q, dns.RcodeNameError, nil)
	}
	return s.forward(ctx, network, q)
}

// reverse answers for a name in one of the private reverse zones.
func (s *server) reverse(q *dns.Msg, name string) *dns.Msg {
	addr, ok := reversed(name)
	if !ok || s.Reverse == nil {
		return authoritative(q, dns.RcodeNameError, nil)
	}
	target, ok := s.Reverse(addr)
	if !ok {
		return authoritative(q, dns.RcodeNameError, nil)
	}
	var records []dns.RR
	if question := q.Question[0]; question.Qtype == dns.TypePTR || question.Qtype == dns.TypeANY {
		records = []dns.RR{&dns.PTR{Hdr: header(question, dns.TypePTR), Ptr: dns.Fqdn(target)}}
	}
	return authoritative(q, dns.RcodeSuccess, records)
}

// forward asks the host's resolvers, one after the other.
func (s *server) forward(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	select {
	case s.forwards <- struct{}{}:
		defer func() { <-s.forwards }()
	default:
		return failure(q, dns.RcodeServerFailure)
	}
	var upstreams []string
	if s.Upstreams != nil {
		var err error
		if upstreams, err = s.Upstreams(); err != nil {
			s.Log.Warn("the host's DNS resolvers are not known", "error", err)
		}
	}
	client := &dns.Client{Net: network, Timeout: s.Timeout}
	for _, upstream := range upstreams {
		forwarded := q.Copy()
		forwarded.Id = dns.Id() // the asker's is no secret to others who ask here
		reply, _, err := client.ExchangeContext(ctx, forwarded, upstream)
		if err != nil {
			s.Log.Debug("DNS resolver of the host does not answer", "resolver", upstream, "name", q.Question[0].Name, "error", err)
			continue
		}
		if reply.Rcode == dns.RcodeServerFailure || reply.Rcode == dns.RcodeRefused {
			continue
		}
		reply.Id = q.Id
		return reply
	}
	return failure(q, dns.RcodeServerFailure)
}

// enclosing is the zone that the name is or is below of, or "".
func enclosing(zones []string, name string) string {
	i := slices.IndexFunc(zones, func(zone string) bool { return dns.IsSubDomain(zone, name) })
	if i < 0 {
		return ""
	}
	return zones[i]
}

// reversed is the address that d.c.b.a.in-addr.arpa. stands for, or one of IPv6 of which each
// hexadecimal digit is a label of ip6.arpa.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".ip6.arpa."); ok {
		labels := strings.Split(digits, ".")
		slices.Reverse(labels)
		raw, err := hex.DecodeString(strings.Join(labels, ""))
		addr, ok := netip.AddrFromSlice(raw)
		return addr, err == nil && ok && addr.Is6() && len(labels) == 32
	}
	labels := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa."), ".")
	if len(labels) != 4 {
		return netip.Addr{}, false
	}
	slices.Reverse(labels)
	addr, err := netip.ParseAddr(strings.Join(labels, "."))
	return addr, err == nil
}

func addressRecords(question dns.Question, addrs []netip.Addr) []dns.RR {
	var records []dns.RR
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case a.Is4() && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY):
			records = append(records, &dns.A{Hdr: header(question, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && (question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeANY):
			records = append(records, &dns.AAAA{Hdr: header(question, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return records
}

// header repeats the name as it was asked for: some clients vary its case on purpose.
func header(question dns.Question, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: question.Name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// authoritative is an answer of our own. One without records says for how long.
func authoritative(q *dns.Msg, rcode int, records []dns.RR) *dns.Msg {
	reply := failure(q, rcode)
	reply.Authoritative = true
	reply.Answer = records
	if len(records) == 0 {
		zone := enclosing(ours, strings.ToLower(q.Question[0].Name))
		if zone == "" {
			zone = dns.Fqdn(q.Question[0].Name)
		}
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
			Ns:  "ns." + zone, Mbox: "hostmaster." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
		}}
	}
	return reply
}

// negativeTTL is short: an instance's name exists a moment after it was asked for.
const negativeTTL = 5

func failure(q *dns.Msg, rcode int) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetRcode(q, rcode)
	reply.RecursionAvailable = true
	if opt := q.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
	}
	return reply
}
