package daemon

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheckIssuerHost(t *testing.T) {
	for _, good := range []string{"issuer.example", "*.example", "192.0.2.1", "2001:db8::1"} {
		if err := CheckIssuerHost(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "*", "*.", "https://issuer.example", "issuer.example:443", "issuer.example/a", "a.*.example", "u@issuer.example"} {
		if err := CheckIssuerHost(bad); err == nil {
			t.Errorf("%q is a host", bad)
		}
	}
}

func TestIssuerHosts(t *testing.T) {
	h := issuerHosts{"Issuer.example", "*.corp.example", "192.0.2.1"}
	for host, want := range map[string]bool{
		"issuer.example": true, "ISSUER.example": true, "a.issuer.example": false, "issuer.example.net": false,
		"id.corp.example": true, "a.b.corp.example": true, "corp.example": false, "evilcorp.example": false,
		"192.0.2.1": true, "192.0.2.10": false, "": false,
	} {
		if got := h.have(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// elsewhere serves an issuer at an address of this host that is not a loopback one.
func elsewhere(t *testing.T, issuer http.Handler) (srv *httptest.Server, host string) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || !p.Addr().Is4() {
			continue
		}
		l, err := net.Listen("tcp4", netip.AddrPortFrom(p.Addr(), 0).String())
		if err != nil {
			continue
		}
		srv := httptest.NewUnstartedServer(issuer)
		_ = srv.Listener.Close()
		srv.Listener = l
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv, p.Addr().String()
	}
	t.Skip("this host has no address but loopback ones")
	return nil, ""
}

func TestIssuersElsewhere(t *testing.T) {
	mux := http.NewServeMux()
	srv, host := elsewhere(t, mux)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "jwks_uri": srv.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })

	var log strings.Builder
	i := tokenIssuers{timeout: 5 * time.Second, log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := i.Keys(t.Context(), srv.URL); !errors.Is(err, errNotLoopback) || !strings.Contains(log.String(), "--allow-issuer") {
		t.Errorf("beyond this machine: %v, log %s", err, &log)
	}
	i.hosts = issuerHosts{host}
	if keys, err := i.Keys(t.Context(), srv.URL); err != nil || len(keys.Thumbprints) != 1 {
		t.Errorf("an allowed host: %+v, %v", keys, err)
	}

	// Clusters' issuers are asked everywhere, unless some are named. Their certificates count.
	ask := func(allow ...string) error {
		p := issuerProxy{http: (&Daemon{cfg: Config{AllowIssuers: allow}}).peopleIssuers()}
		_, _, err := p.discover(t.Context(), srv.URL)
		return err
	}
	for _, allow := range [][]string{nil, {host}} {
		if err := ask(allow...); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("with %q: %v", allow, err)
		}
	}
	if err := ask("issuer.example"); !errors.Is(err, errNotLoopback) {
		t.Errorf("with another host allowed: %v", err)
	}
}
