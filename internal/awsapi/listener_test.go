package awsapi_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"ekster.dev/ekster/internal/awsapi"
)

// serving serves, on one port, a handler that says how it was reached.
func serving(t *testing.T) (addr string, client *http.Client, ln net.Listener) {
	t.Helper()
	issuer := httptest.NewUnstartedServer(nil) // for its certificate
	issuer.StartTLS()
	t.Cleanup(issuer.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = awsapi.Listen(l, &tls.Config{Certificates: issuer.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s tls=%t", r.Proto, r.TLS != nil)
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), issuer.Client(), ln
}

func TestListen(t *testing.T) {
	addr, client, _ := serving(t)
	// Silent clients hold up nobody.
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, c := range []struct{ scheme, want string }{{"http", "HTTP/1.1 tls=false"}, {"https", "HTTP/1.1 tls=true"}, {"http", "HTTP/1.1 tls=false"}} {
		rsp, err := client.Get(c.scheme + "://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rsp.Body)
		rsp.Body.Close()
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.scheme, got, err, c.want)
		}
	}
	h2 := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: client.Transport.(*http.Transport).TLSClientConfig.Clone()}}
	rsp, err := h2.Get("https://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	rsp.Body.Close()
	if rsp.ProtoMajor != 2 {
		t.Errorf("spoke %s", rsp.Proto)
	}
}

// Closing lets go of clients that never said anything.
func TestListenClose(t *testing.T) {
	addr, _, ln := serving(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A served request on another connection means that the first is accepted.
	rsp, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	rsp.Body.Close()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(c).ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
