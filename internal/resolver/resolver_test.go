package resolver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func zone(name string) ([]netip.Addr, bool) {
	switch name {
	case "ip-10-0-1-5.us-west-2.compute.internal", "sts.us-west-2.amazonaws.com":
		return []netip.Addr{netip.MustParseAddr("10.0.1.5")}, true
	case "i-1.us-west-2.compute.internal":
		return []netip.Addr{netip.MustParseAddr("2001:db8::15")}, true
	case "registry.ekster.internal":
		var many []netip.Addr
		for i := range 100 {
			many = append(many, netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}))
		}
		return many, true
	}
	return nil, false
}

func reverse(addr netip.Addr) (string, bool) {
	if addr == netip.MustParseAddr("2001:db8::15") {
		return "i-1.us-west-2.compute.internal", true
	}
	return "ip-10-0-1-5.us-west-2.compute.internal", addr == netip.MustParseAddr("10.0.1.5")
}

// sockets are one UDP and one TCP socket on the same port of loopback.
func sockets(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close() // another process has that port for TCP
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// start returns the address of a running resolver, which ends with the test.
func start(t *testing.T, c Config) string {
	t.Helper()
	pc, l := sockets(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	c.Log = slog.New(slog.DiscardHandler)
	go func() { ended <- Serve(ctx, pc, l, c) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return pc.LocalAddr().String()
}

// upstream is a resolver of the host that answers as given.
func upstream(t *testing.T, answer dns.HandlerFunc) string {
	t.Helper()
	pc, l := sockets(t)
	udp, tcp := &dns.Server{PacketConn: pc, Handler: answer}, &dns.Server{Listener: l, Handler: answer}
	go udp.ActivateAndServe()
	go tcp.ActivateAndServe()
	t.Cleanup(func() { pc.Close(); l.Close() })
	return pc.LocalAddr().String()
}

func ask(t *testing.T, network, server, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	reply, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, server)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// records are the values of the answer, short.
func records(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(all, " ")
}

func TestAnswers(t *testing.T) {
	public := func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 5 IN A 192.0.2.1")
		reply.Answer = []dns.RR{rr}
		if q.Question[0].Name == "none.example.com." {
			reply.Answer, reply.Rcode = nil, dns.RcodeNameError
		}
		w.WriteMsg(reply)
	}
	host := upstream(t, public)
	server := start(t, Config{Zone: zone, Reverse: reverse, Upstreams: func() ([]string, error) { return []string{host}, nil }})
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"ip-10-0-1-5.us-west-2.compute.internal.", dns.TypeA, dns.RcodeSuccess, "10.0.1.5"},
		{"IP-10-0-1-5.us-West-2.compute.INTERNAL.", dns.TypeA, dns.RcodeSuccess, "10.0.1.5"},
		{"ip-10-0-1-5.us-west-2.compute.internal.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"ip-10-0-1-6.us-west-2.compute.internal.", dns.TypeA, dns.RcodeNameError, ""},
		{"ip-10-0-1-6.ec2.internal.", dns.TypeA, dns.RcodeNameError, ""},
		{"other.ekster.internal.", dns.TypeA, dns.RcodeNameError, ""},
		{"ekster.internal.", dns.TypeA, dns.RcodeSuccess, ""},
		{"sts.us-west-2.amazonaws.com.", dns.TypeA, dns.RcodeSuccess, "10.0.1.5"},
		{"5.1.0.10.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, "ip-10-0-1-5.us-west-2.compute.internal."},
		{"6.1.0.10.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"x.10.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"i-1.us-west-2.compute.internal.", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::15"},
		{"i-1.us-west-2.compute.internal.", dns.TypeA, dns.RcodeSuccess, ""},
		{"5.1." + strings.Repeat("0.", 22) + "8.b.d.0.1.0.0.2.ip6.arpa.", dns.TypePTR, dns.RcodeSuccess, "i-1.us-west-2.compute.internal."},
		{"6.1." + strings.Repeat("0.", 22) + "8.b.d.0.1.0.0.2.ip6.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"1.8.b.d.0.1.0.0.2.ip6.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"www.example.com.", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
		{"notcompute.internal.", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
		{"none.example.com.", dns.TypeA, dns.RcodeNameError, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, network, server, c.name, c.qtype)
			if m.Rcode != c.rcode || records(m) != c.want {
				t.Errorf("%s %s by %s: %s %q, want %s %q", c.name, dns.TypeToString[c.qtype], network,
					dns.RcodeToString[m.Rcode], records(m), dns.RcodeToString[c.rcode], c.want)
			}
			if len(m.Answer) > 0 && m.Answer[0].Header().Name != c.name {
				t.Errorf("%s: answered for %s", c.name, m.Answer[0].Header().Name)
			}
			if m.Authoritative && len(m.Answer) == 0 && len(m.Ns) != 1 {
				t.Errorf("%s: an empty answer that may be kept for any time", c.name)
			}
		}
	}
}

func TestLongAnswerIsTruncatedForUDPOnly(t *testing.T) {
	server := start(t, Config{Zone: zone})
	if m := ask(t, "udp", server, "registry.ekster.internal.", dns.TypeA); !m.Truncated {
		t.Errorf("%d records in one datagram", len(m.Answer))
	}
	if m := ask(t, "tcp", server, "registry.ekster.internal.", dns.TypeA); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("%d records by TCP", len(m.Answer))
	}
}

// A VPC without DNS support has nobody at that address, as far as anybody can tell.
func TestOff(t *testing.T) {
	var off atomic.Bool
	server := start(t, Config{Zone: zone, Off: off.Load})
	ask(t, "udp", server, "www.example.com.", dns.TypeA)
	off.Store(true)
	for _, network := range []string{"udp", "tcp"} {
		q := new(dns.Msg)
		q.SetQuestion("www.example.com.", dns.TypeA)
		var silence net.Error
		if m, _, err := (&dns.Client{Net: network, Timeout: 200 * time.Millisecond}).Exchange(q, server); !errors.As(err, &silence) || !silence.Timeout() {
			t.Errorf("%s: %v, %v; want silence", network, m, err)
		}
	}
}

func TestWithoutAnUpstreamFailsAtOnce(t *testing.T) {
	refusing, _ := net.ListenPacket("udp4", "127.0.0.1:0")
	closed := refusing.LocalAddr().String()
	refusing.Close()
	for name, upstreams := range map[string]func() ([]string, error){
		"none":                 nil,
		"empty":                func() ([]string, error) { return nil, nil },
		"nobody listens there": func() ([]string, error) { return []string{closed}, nil },
	} {
		server := start(t, Config{Zone: zone, Upstreams: upstreams, Timeout: time.Minute})
		if m := ask(t, "udp", server, "www.example.com.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %s", name, dns.RcodeToString[m.Rcode])
		}
	}
}

func TestNextUpstreamIsAskedWhenOneFails(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	failing := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)) })
	good := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError)) })
	server := start(t, Config{Zone: zone, Timeout: 50 * time.Millisecond, Upstreams: func() ([]string, error) {
		return []string{silent.LocalAddr().String(), failing, good}, nil
	}})
	if m := ask(t, "udp", server, "www.example.com.", dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("%s", dns.RcodeToString[m.Rcode])
	}
}

func TestOddQuestions(t *testing.T) {
	server := start(t, Config{Zone: zone})
	two := new(dns.Msg)
	two.SetQuestion("a.ekster.internal.", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	chaos := new(dns.Msg)
	chaos.SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for want, q := range map[int]*dns.Msg{dns.RcodeFormatError: two, dns.RcodeRefused: chaos} {
		m, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(q, server)
		if err != nil || m.Rcode != want {
			t.Errorf("%v: %v, %v", q.Question, m, err)
		}
	}
}

func TestFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	upstreams := FromFile(file)
	if got, err := upstreams(); err != nil || len(got) != 0 {
		t.Errorf("no file: %v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("# x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"192.0.2.1:53", "[2001:db8::1]:53"}
	if got, err := upstreams(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestServeEnds(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if err := Serve(t.Context(), nil, nil, Config{Zone: zone, Log: log}); err == nil {
		t.Error("served on no socket")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pc, l := sockets(t)
	if err := Serve(ctx, pc, l, Config{Zone: zone, Log: log}); err != nil {
		t.Errorf("cancelled before: %v", err)
	}
	pc, l = sockets(t)
	l.Close()
	if err := Serve(t.Context(), pc, l, Config{Zone: zone, Log: log}); err == nil {
		t.Error("a closed socket is no error")
	}
	if _, err := pc.WriteTo([]byte("x"), pc.LocalAddr()); err == nil {
		t.Error("the other socket is still open")
	}
}
