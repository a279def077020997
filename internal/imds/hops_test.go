package imds

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"syscall"
	"testing"
)

// conns is a listener that keeps the connections it has accepted.
type conns struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func (l *conns) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, c)
	}
	return c, err
}

// ttl is that which the newest connection sends with.
func (l *conns) ttl(t *testing.T) (n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, err := l.all[len(l.all)-1].(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if l.Addr().(*net.TCPAddr).IP.To4() == nil {
			n, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS)
		} else {
			n, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHopLimit(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) { testHopLimit(t, at) })
	}
}

func testHopLimit(t *testing.T, at string) {
	in := instance()
	in.TokensRequired, in.IPv6Enabled = false, true
	plain, err := net.Listen("tcp", at)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("this machine has no IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &conns{Listener: plain}
	h := New(Config{Instance: func(context.Context, netip.Addr) (Instance, bool) { return in, true }})
	srv := h.Server()
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	defer func() { _ = srv.Close(); <-served }()
	url := "http://" + l.Addr().String()

	get := func(want int, what string) {
		t.Helper()
		if code, _, _ := do(t, "GET", url+"/latest/meta-data/ami-id"); code != 200 {
			t.Fatalf("%s: %d", what, code)
		}
		if got := l.ttl(t); got != want {
			t.Errorf("%s: TTL %d, want %d", what, got, want)
		}
	}
	put := func(limit int) {
		t.Helper()
		in.HopLimit = limit
		if code, _, _ := do(t, "PUT", url+"/latest/api/token", ttlHeader, "60"); code != 200 {
			t.Fatalf("PUT: %d", code)
		}
		if got := l.ttl(t); got != limit {
			t.Errorf("the answer to PUT left with TTL %d, want %d", got, limit)
		}
	}
	if code, _, _ := do(t, "GET", url+"/latest/meta-data/ami-id"); code != 200 {
		t.Fatal(code)
	}
	usual := l.ttl(t)
	put(1)
	get(1, "after PUT on the same connection")
	put(2)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	in.HopLimit = 1
	get(usual, "on another connection")
	if n := len(l.all); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// By IPv6 only those are answered whose options say so.
func TestByIPv6(t *testing.T) {
	in := instance()
	in.TokensRequired = false
	h := New(Config{Instance: func(context.Context, netip.Addr) (Instance, bool) { return in, true }})
	for _, enabled := range []bool{false, true} {
		in.IPv6Enabled = enabled
		for remote, want := range map[string]int{"10.0.0.2:1": 200, "[::ffff:10.0.0.2]:1": 200, "[2001:db8::2]:1": map[bool]int{false: 403, true: 200}[enabled]} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/latest/meta-data/ami-id", nil)
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("enabled: %t, from %s: %d, want %d", enabled, remote, w.Code, want)
			}
		}
	}
}

// A server that does not say which its connections are must not give out tokens to everybody.
func TestHopLimitOfUnknownConnection(t *testing.T) {
	in, url, _ := fixture(t)
	in.HopLimit = 1
	if code, _, _ := do(t, "PUT", url+"/latest/api/token", ttlHeader, "60"); code != 500 {
		t.Errorf("PUT: %d", code)
	}
}
