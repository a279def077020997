package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// issuerProxy reads the OIDC issuers that a cluster is associated with, for its API
// server, whose namespace reaches its VPC only:
//
//	GET /oidc/<id>/.well-known/openid-configuration   the issuer's, with jwks_uri replaced by the next line
//	GET /oidc/<id>/keys                               what the issuer's own jwks_uri answers
//
// The issuer has to be https, with a certificate that this host trusts, and where issuerHosts
// says. Nothing is kept: the API server asks seldom.
type issuerProxy struct {
	http    *http.Client
	store   *store.Store
	cluster string
	log     *slog.Logger
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	issuerTimeout = 10 * time.Second
	maxDocument   = 1 << 20
)

// peopleIssuers is how the issuers of clusters are asked.
func (d *Daemon) peopleIssuers() *http.Client {
	if len(d.cfg.AllowIssuers) == 0 {
		return &http.Client{Timeout: issuerTimeout}
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	return issuerHosts(d.cfg.AllowIssuers).client(t, issuerTimeout)
}

func (p *issuerProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	provider, ok := p.provider(id)
	rest := strings.TrimPrefix(r.URL.Path, "/oidc/"+id)
	if !ok || rest != discoveryPath && rest != "/keys" {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), issuerTimeout)
	defer cancel()
	doc, keys, err := p.discover(ctx, provider.IssuerURL)
	var body []byte
	switch {
	case err != nil:
	case rest == discoveryPath:
		doc["jwks_uri"] = controlplane.AdmissionURL + "/oidc/" + id + "/keys"
		body, err = json.Marshal(doc)
	default:
		body, err = p.fetch(ctx, keys)
	}
	if err != nil {
		p.log.Warn("an OIDC issuer cannot be read", "cluster", p.cluster, "issuer", provider.IssuerURL, "err", err)
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // an API server that has hung up needs no answer
}

func (p *issuerProxy) provider(id string) (out resource.IdentityProvider, ok bool) {
	_ = p.store.View(func(tx *store.Tx) error {
		for i := range tx.IdentityProviders.Values(func(i resource.IdentityProvider) bool { return i.Cluster == p.cluster && i.ID == id }) {
			out, ok = i, true
		}
		return nil
	})
	return out, ok
}

// discover reads the issuer's document and finds where its keys are.
func (p *issuerProxy) discover(ctx context.Context, issuer string) (doc map[string]any, keys string, err error) {
	body, err := p.fetch(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath)
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, "", fmt.Errorf("the discovery document of %s: %w", issuer, err)
	}
	keys, _ = doc["jwks_uri"].(string)
	if u, err := url.Parse(keys); err != nil || u.Scheme != "https" {
		return nil, "", fmt.Errorf("the discovery document of %s has the jwks_uri %q, which is not https", issuer, keys)
	}
	return doc, keys, nil
}

func (p *issuerProxy) fetch(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", at, res.Status)
	}
	return body, err
}
