package imds

import (
	"context"
	"errors"
	"net"
	"net/http"
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
	err = raw.Control(func(fd uintptr) { n, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHopLimit(t *testing.T) {
	in := instance()
	in.TokensRequired = false
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
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

// A server that does not say which its connections are must not give out tokens to everybody.
func TestHopLimitOfUnknownConnection(t *testing.T) {
	in, url, _ := fixture(t)
	in.HopLimit = 1
	if code, _, _ := do(t, "PUT", url+"/latest/api/token", ttlHeader, "60"); code != 500 {
		t.Errorf("PUT: %d", code)
	}
}
