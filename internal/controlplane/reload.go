package controlplane

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/process"
)

// appliedMetric is where an API server says which content of its issuers' file is in force. That of its last
// reload does not do: content that was never taken up, and is taken back, is no reload.
const appliedMetric = "apiserver_authentication_config_controller_last_config_info"

// reloading says whether the API server has yet to take up a change of the issuers' file. It watches the file, but
// a new issuer counts only once it has been reached, which it looks for every ten seconds. The metrics are some
// megabytes, so they are read only until a change has been taken up.
func (p *Planes) reloading(ctx context.Context, cfg Config, proc process.Process) (bool, error) {
	file := filepath.Join(cfg.Dir, authenticationFile)
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	changed := info.ModTime()
	p.mu.Lock()
	known := p.loaded[cfg.Dir].Equal(changed)
	p.mu.Unlock()
	if known || changed.Before(proc.Started) {
		return false, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	applied, err := applies(ctx, cfg, content)
	if err != nil {
		return false, fmt.Errorf("asking whether the issuers are known: %w", err)
	}
	if !applied {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded[cfg.Dir] = changed
	return false, nil
}

// applies says whether the API server goes by this content of its issuers' file.
func applies(ctx context.Context, cfg Config, content []byte) (bool, error) {
	api, err := RESTConfig(cfg)
	if err != nil {
		return false, err
	}
	client, err := rest.HTTPClientFor(api)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.Host+"/metrics", nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("/metrics answers %s", res.Status)
	}
	return readApplied(res.Body, content)
}

func readApplied(metrics io.Reader, content []byte) (bool, error) {
	want := fmt.Sprintf(`hash="sha256:%x"`, sha256.Sum256(content))
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		labels, ours := strings.CutPrefix(lines.Text(), appliedMetric+"{")
		if ours && strings.Contains(labels, ","+want+"}") {
			return true, nil
		}
	}
	return false, lines.Err()
}
