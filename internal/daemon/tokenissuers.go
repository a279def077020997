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
// It talks to servers whatever certificate they show, and says whether it was a trusted one: as
// on AWS, who shows another is believed for the thumbprint that was registered, which STS compares.
type tokenIssuers struct {
	timeout time.Duration
	hosts   issuerHosts
	log     *slog.Logger
	roots   *x509.CertPool // whom to trust; nil: whom this host trusts
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

// trusted says whether certificates lead from the host of a URL to an authority.
func (i tokenIssuers) trusted(host string, chain []*x509.Certificate) bool {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: i.roots, Intermediates: between})
	return err == nil
}

// get asks for a JSON document and returns the certificates that came with it, and whether
// they are trusted.
func (i tokenIssuers) get(ctx context.Context, url string, into any) (chain []*x509.Certificate, trusted bool, err error) {
	if !strings.HasPrefix(url, "https://") {
		return nil, false, fmt.Errorf("%s is not an https URL", url)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, false, err
	}
	res, err := i.client().Do(req)
	if err != nil {
		return nil, false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, false, fmt.Errorf("%s answers %s", url, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxIssuerAnswer)).Decode(into); err != nil {
		return nil, false, fmt.Errorf("what %s answers: %w", url, err)
	}
	chain = res.TLS.PeerCertificates
	return chain, i.trusted(req.URL.Hostname(), chain), nil
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
	_, issuerTrusted, err := i.get(ctx, issuer+"/.well-known/openid-configuration", &discovery)
	if err != nil {
		return stsservice.IssuerKeys{}, fmt.Errorf("discovering %s: %w", issuer, err)
	}
	if strings.TrimSuffix(discovery.Issuer, "/") != issuer {
		return stsservice.IssuerKeys{}, fmt.Errorf("discovering %s: it says it is %s", issuer, discovery.Issuer)
	}
	var set json.RawMessage
	chain, keysTrusted, err := i.get(ctx, discovery.Keys, &set)
	if err != nil {
		return stsservice.IssuerKeys{}, fmt.Errorf("the keys of %s: %w", issuer, err)
	}
	// Where the keys are is as good as who has said so.
	out := stsservice.IssuerKeys{JWKS: set, Trusted: issuerTrusted && keysTrusted}
	for _, c := range chain {
		out.Thumbprints = append(out.Thumbprints, thumbprintOf(c))
	}
	return out, nil
}

// Thumbprint is that of the top certificate which an issuer shows, as users compute it
// with openssl and IAM does where they do not.
func (i tokenIssuers) Thumbprint(ctx context.Context, issuer string) (string, error) {
	var discovery json.RawMessage
	chain, _, err := i.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &discovery)
	if err != nil {
		return "", err
	}
	return thumbprintOf(chain[len(chain)-1]), nil
}

func thumbprintOf(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // what IAM's thumbprints are
	return hex.EncodeToString(sum[:])
}
