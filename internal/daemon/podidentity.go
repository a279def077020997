package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	authentication "k8s.io/api/authentication/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/podidentity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/zonalshift"
)

// onSockets is what a cluster's socket answers besides the questions of package clusterauth.
func (d *Daemon) onSockets(cluster string, mux *http.ServeMux) {
	webhook := podidentity.New(podidentity.Config{Store: d.store, Annotations: d.clusters.annotations, Log: d.log})
	mux.Handle("POST /mutate", webhook.Handler(cluster))
	mux.Handle("POST /shift", zonalshift.Handler(zonalshift.Config{Store: d.store, Now: time.Now, Log: d.log}, cluster))
	mux.Handle("GET /oidc/{id}/", &issuerProxy{http: d.people, store: d.store, cluster: cluster, log: d.log})
}

// apiServers asks clusters' API servers about service accounts and tokens, each time anew:
// an annotation made before a pod counts for the pod, and a pod's token ends with the pod,
// which a watch would not promise.
type apiServers struct {
	api func(resource.Cluster) (*rest.Config, error)

	mu      sync.Mutex
	clients map[string]apiClient // by the address of the API server
}

// An apiClient is good for the cluster whose credentials it was made of. Addresses are used
// again: the next cluster at a deleted one's has an authority of its own.
type apiClient struct {
	*http.Client
	credentials string
}

func (s *apiServers) annotations(ctx context.Context, c resource.Cluster, namespace, account string) (map[string]string, error) {
	var object struct {
		Metadata struct{ Annotations map[string]string }
	}
	status, err := s.ask(ctx, c, http.MethodGet, "/api/v1/namespaces/"+url.PathEscape(namespace)+"/serviceaccounts/"+url.PathEscape(account), nil, &object)
	if status == http.StatusNotFound {
		return nil, nil
	}
	return object.Metadata.Annotations, err
}

// review asks a cluster whether a token is good for an audience: whether its service account
// and the pod that it is bound to are still there.
func (s *apiServers) review(ctx context.Context, c resource.Cluster, token, audience string) (bool, error) {
	asked := authentication.TokenReview{
		TypeMeta: meta.TypeMeta{APIVersion: authentication.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Spec:     authentication.TokenReviewSpec{Token: token, Audiences: []string{audience}},
	}
	var told authentication.TokenReview
	_, err := s.ask(ctx, c, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", asked, &told)
	return told.Status.Authenticated, err
}

// ask sends a request with an object and reads the answered one. An answer that is no
// success is an error.
func (s *apiServers) ask(ctx context.Context, c resource.Cluster, method, path string, in, out any) (status int, err error) {
	client, host, err := s.client(c)
	if err != nil {
		return 0, err
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, host+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return res.StatusCode, fmt.Errorf("%s answers %s", req.URL, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return res.StatusCode, fmt.Errorf("reading %s: %w", req.URL, err)
	}
	return res.StatusCode, nil
}

func (s *apiServers) client(c resource.Cluster) (*http.Client, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.api(c)
	if err != nil {
		return nil, "", err
	}
	credentials := string(slices.Concat(cfg.CAData, cfg.CertData, cfg.KeyData))
	have, ok := s.clients[cfg.Host]
	if ok && have.credentials == credentials {
		return have.Client, cfg.Host, nil
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, "", err
	}
	if ok {
		have.CloseIdleConnections()
	}
	s.clients[cfg.Host] = apiClient{client, credentials}
	return client, cfg.Host, nil
}
