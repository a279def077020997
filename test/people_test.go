package test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ekster.dev/ekster/internal/pki"
)

// An issuer is a small OIDC issuer of somebody else's, on https with a certificate that only
// bundle's readers trust. Its tokens say what the test wants; a provider is a real one.
type issuer struct {
	url, bundle string
	key         *rsa.PrivateKey
	id          string
}

func newIssuer(t *testing.T) *issuer { return newIssuerAt(t, "127.0.0.1") }

// newIssuerAt is one at another address of this host.
func newIssuerAt(t *testing.T, address string) *issuer {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(address, "0"))
	no(t, err)
	dir := t.TempDir()
	key, err := pki.EnsureRSAKey(dir, "issuer")
	no(t, err)
	set, err := pki.JWKS(&key.PublicKey)
	no(t, err)
	i := &issuer{key: key, bundle: filepath.Join(dir, "bundle.pem")}
	i.id, err = pki.KeyID(&key.PublicKey)
	no(t, err)
	mux := http.NewServeMux()
	s := httptest.NewUnstartedServer(mux)
	no(t, s.Listener.Close())
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
	i.url = s.URL
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.url, "jwks_uri": i.url + "/jwks", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	no(t, os.WriteFile(i.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644))
	return i
}

// token is an id token.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		no(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	all := map[string]any{"iss": i.url, "sub": "jane", "aud": "kubernetes", "groups": []string{"devs"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	signed := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": i.id}) + "." + part(all)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	no(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
