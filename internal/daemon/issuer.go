package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// issuer is the URL of a cluster's token issuer. On EKS it is
// https://oidc.eks.<region>.amazonaws.com/id/<hex>; here its host is the daemon's own
// loopback address, so that whoever is on this machine can dial it.
func (d *Daemon) issuer(c resource.Cluster) string {
	return "https://" + d.issuerHost + "/id/" + c.Spec.Hex
}

// serveIssuer answers what EKS's issuer does: discovery and keys, without a signature.
// See https://openid.net/specs/openid-connect-discovery-1_0.html.
func (d *Daemon) serveIssuer(mux *http.ServeMux) {
	find := func(w http.ResponseWriter, r *http.Request) (c resource.Cluster, ok bool) {
		_ = d.store.View(func(tx *store.Tx) error {
			for _, cl := range tx.Clusters.All() {
				if cl.Spec.Hex == r.PathValue("hex") && len(cl.Status.JWKS) > 0 {
					c, ok = cl, true
				}
			}
			return nil
		})
		if !ok {
			http.NotFound(w, r)
		}
		return c, ok
	}
	mux.HandleFunc("GET /id/{hex}/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		c, ok := find(w, r)
		if !ok {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(w).Encode(map[string]any{
			"issuer":                                d.issuer(c),
			"jwks_uri":                              d.issuer(c) + "/keys",
			"authorization_endpoint":                "urn:kubernetes:programmatic_authorization",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"claims_supported":                      []string{"sub", "iss"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
		if err != nil {
			d.log.Debug("answering a discovery request", "err", err)
		}
	})
	mux.HandleFunc("GET /id/{hex}/keys", func(w http.ResponseWriter, r *http.Request) {
		if c, ok := find(w, r); ok {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "%s", c.Status.JWKS)
		}
	})
}
