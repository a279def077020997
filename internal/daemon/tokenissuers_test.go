package daemon

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTokenIssuers(t *testing.T) {
	mux := http.NewServeMux()
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	says := srv.URL
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(map[string]string{"issuer": says, "jwks_uri": srv.URL + "/keys"}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
	i := tokenIssuers{timeout: 5 * time.Second, log: slog.New(slog.DiscardHandler)}
	keys, err := i.Keys(t.Context(), srv.URL)
	if err != nil || string(keys.JWKS) != `{"keys":[]}` || len(keys.Thumbprints) != 1 || keys.Trusted {
		t.Fatalf("got %+v, %v", keys, err)
	}
	authority := x509.NewCertPool()
	authority.AddCert(srv.Certificate())
	trusting := tokenIssuers{timeout: i.timeout, log: i.log, roots: authority}
	if keys, err := trusting.Keys(t.Context(), srv.URL); err != nil || !keys.Trusted {
		t.Errorf("with the server's authority: %+v, %v", keys, err)
	}
	if trusting.trusted("somebody.else", []*x509.Certificate{srv.Certificate()}) {
		t.Error("a certificate is trusted for another name")
	}
	print, err := i.Thumbprint(t.Context(), srv.URL+"/")
	if err != nil || print != keys.Thumbprints[0] || print != thumbprintOf(srv.Certificate()) {
		t.Errorf("got %s, %v", print, err)
	}
	says = "https://somebody.else"
	if _, err := i.Keys(t.Context(), srv.URL); err == nil {
		t.Error("an issuer that is another is believed")
	}
	for _, url := range []string{"http://127.0.0.1/", "https://127.0.0.1:1/"} {
		if _, err := i.Thumbprint(t.Context(), url); err == nil {
			t.Errorf("%s has a thumbprint", url)
		}
	}
	if _, err := i.Thumbprint(t.Context(), "https://192.0.2.1/"); !errors.Is(err, errNotLoopback) {
		t.Errorf("an address beyond this machine: %v", err)
	}
}
