package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/podidentity"
	"ekster.dev/ekster/internal/resource"
)

// onSockets is what a cluster's socket answers besides the questions of package clusterauth.
func (d *Daemon) onSockets(cluster string, mux *http.ServeMux) {
	accounts := &serviceAccounts{api: d.api, clients: map[string]*http.Client{}}
	webhook := podidentity.New(podidentity.Config{Store: d.store, Annotations: accounts.annotations, Log: d.log})
	mux.Handle("POST /mutate", webhook.Handler(cluster))
	mux.Handle("GET /oidc/{id}/", &issuerProxy{store: d.store, cluster: cluster, log: d.log})
}

// serviceAccounts reads service accounts, each anew: an annotation made before a pod
// counts for the pod, which a watch would not promise.
type serviceAccounts struct {
	api func(resource.Cluster) (*rest.Config, error)

	mu      sync.Mutex
	clients map[string]*http.Client // by the address of the API server
}

func (s *serviceAccounts) annotations(ctx context.Context, c resource.Cluster, namespace, account string) (map[string]string, error) {
	client, host, err := s.client(c)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/api/v1/namespaces/"+url.PathEscape(namespace)+"/serviceaccounts/"+url.PathEscape(account), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("%s answers %s", req.URL, res.Status)
	}
	var object struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.NewDecoder(res.Body).Decode(&object); err != nil {
		return nil, fmt.Errorf("reading %s: %w", req.URL, err)
	}
	return object.Metadata.Annotations, nil
}

func (s *serviceAccounts) client(c resource.Cluster) (*http.Client, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.api(c)
	if err != nil {
		return nil, "", err
	}
	if have := s.clients[cfg.Host]; have != nil {
		return have, cfg.Host, nil
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, "", err
	}
	s.clients[cfg.Host] = client
	return client, cfg.Host, nil
}
