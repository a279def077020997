package daemon

import (
	"context"
	"crypto/sha1" //nolint:gosec // what IAM's thumbprints are
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	stsservice "ekster.dev/ekster/internal/service/sts"
)

// tokenIssuers talks to issuers of OIDC tokens for IAM and STS.
//
// Certificates are not checked against authorities: who was registered as a provider is
// known by thumbprint, which STS compares.
type tokenIssuers struct {
	timeout time.Duration
	hosts   issuerHosts
	log     *slog.Logger
}

// tokenIssuerTimeout is how long an issuer may take.
const tokenIssuerTimeout = 5 * time.Second

// maxIssuerAnswer bounds what an issuer may answer.
const maxIssuerAnswer = 1 << 20

func (i tokenIssuers) client() *http.Client {
	c := i.hosts.client(&http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, //nolint:gosec // see tokenIssuers
	}, i.timeout)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// get asks for a JSON document and returns it with the certificates that came with it.
func (i tokenIssuers) get(ctx context.Context, url string, into any) ([]*x509.Certificate, error) {
	if !strings.HasPrefix(url, "https://") {
		return nil, fmt.Errorf("%s is not an https URL", url)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := i.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxIssuerAnswer)).Decode(into); err != nil {
		return nil, fmt.Errorf("what %s answers: %w", url, err)
	}
	return res.TLS.PeerCertificates, nil
}

// Keys finds an issuer's key set by discovery, with the thumbprints of the certificates
// that the keys came with. Why it cannot is in the log: STS tells nobody.
func (i tokenIssuers) Keys(ctx context.Context, issuer string) (stsservice.IssuerKeys, error) {
	keys, err := i.keys(ctx, issuer)
	if err != nil {
		i.log.Warn("an OIDC issuer cannot be asked for its keys", "err", err)
	}
	return keys, err
}

func (i tokenIssuers) keys(ctx context.Context, issuer string) (stsservice.IssuerKeys, error) {
	issuer = strings.TrimSuffix(issuer, "/")
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if _, err := i.get(ctx, issuer+"/.well-known/openid-configuration", &discovery); err != nil {
		return stsservice.IssuerKeys{}, fmt.Errorf("discovering %s: %w", issuer, err)
	}
	if strings.TrimSuffix(discovery.Issuer, "/") != issuer {
		return stsservice.IssuerKeys{}, fmt.Errorf("discovering %s: it says it is %s", issuer, discovery.Issuer)
	}
	var set json.RawMessage
	chain, err := i.get(ctx, discovery.Keys, &set)
	if err != nil {
		return stsservice.IssuerKeys{}, fmt.Errorf("the keys of %s: %w", issuer, err)
	}
	out := stsservice.IssuerKeys{JWKS: set}
	for _, c := range chain {
		out.Thumbprints = append(out.Thumbprints, thumbprintOf(c))
	}
	return out, nil
}

// Thumbprint is that of the top certificate which an issuer shows, as users compute it
// with openssl and IAM does where they do not.
func (i tokenIssuers) Thumbprint(ctx context.Context, issuer string) (string, error) {
	var discovery json.RawMessage
	chain, err := i.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &discovery)
	if err != nil {
		return "", err
	}
	return thumbprintOf(chain[len(chain)-1]), nil
}

func thumbprintOf(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // what IAM's thumbprints are
	return hex.EncodeToString(sum[:])
}
