package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"ekster.dev/ekster/internal/pki"
)

// probeTimeout bounds Ensure's one question.
const probeTimeout = 250 * time.Millisecond

// RESTConfig returns how the daemon itself talks to the control plane: over the host's loopback, as a user in the
// group system:masters. The control plane must have been ensured once; it need not be ready.
func RESTConfig(cfg Config) (*rest.Config, error) {
	dir := pkiDir(cfg.Dir)
	c := &rest.Config{Host: "https://" + cfg.Listen.String()}
	for _, f := range []struct {
		file string
		data *[]byte
	}{
		{pki.CertFile(dir, caPair), &c.CAData},
		{pki.CertFile(dir, adminPair), &c.CertData},
		{pki.KeyFile(dir, adminPair), &c.KeyData},
	} {
		data, err := os.ReadFile(f.file)
		if err != nil {
			return nil, fmt.Errorf("credentials for control plane %s: %w", cfg.ID, err)
		}
		*f.data = data
	}
	return c, nil
}

// Kubeconfig returns RESTConfig as a file for kubectl.
func Kubeconfig(cfg Config) ([]byte, error) {
	c, err := RESTConfig(cfg)
	if err != nil {
		return nil, err
	}
	name := cfg.ClusterName
	return yaml.Marshal(object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []object{{"name": name, "cluster": object{
			"server": c.Host, "certificate-authority-data": c.CAData,
		}}},
		"users": []object{{"name": name, "user": object{
			"client-certificate-data": c.CertData, "client-key-data": c.KeyData,
		}}},
		"contexts":        []object{{"name": name, "context": object{"cluster": name, "user": name}}},
		"current-context": name,
	})
}

// A probe asks one control plane whether it is ready, over a connection that it keeps.
type probe struct {
	url    string
	ca     string
	client *http.Client
}

// probe returns the probe for cfg, made anew when the address or the authority is another one.
func (p *Planes) probe(cfg Config, k keys) (*probe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	url := "https://" + cfg.Listen.String() + "/readyz?verbose"
	if have := p.probes[cfg.Dir]; have != nil && have.url == url && have.ca == string(k.ca) {
		return have, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(k.ca) {
		return nil, errors.New("its authority's certificate cannot be read")
	}
	made := &probe{url: url, ca: string(k.ca), client: &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			MaxIdleConns:    1,
			IdleConnTimeout: 30 * time.Second,
		},
	}}
	p.probes[cfg.Dir] = made
	return made, nil
}

// ask returns what the control plane waits for, "" if it is ready.
func (p *probe) ask(ctx context.Context) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err.Error()
	}
	res, err := p.client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "its process"
	case isTimeout(err):
		return "etcd, kube-apiserver" // the process listens from its first moment; who serves comes later
	case err != nil:
		return "kube-apiserver: " + err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "kube-apiserver: " + err.Error()
	}
	if res.StatusCode == http.StatusOK {
		return ""
	}
	return "kube-apiserver" + failing(string(body))
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// failing picks the checks that failed out of /readyz?verbose, whose lines are "[-]name failed: reason withheld".
func failing(body string) string {
	var names []string
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}
