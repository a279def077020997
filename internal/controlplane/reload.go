package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/process"
)

// reloadMetric is the only place where an API server says that it has read its issuers' file again.
const reloadMetric = "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds"

// reloading says whether the API server has yet to take up a change of the issuers' file. It watches the file, but
// a new issuer counts only once it has been reached, which it looks for every ten seconds. The metrics are some
// megabytes, so they are read only until a change has been taken up.
func (p *Planes) reloading(ctx context.Context, cfg Config, proc process.Process) (bool, error) {
	info, err := os.Stat(filepath.Join(cfg.Dir, authenticationFile))
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
	last, err := lastReload(ctx, cfg)
	if err != nil {
		return false, fmt.Errorf("asking whether the issuers are known: %w", err)
	}
	if last.Before(changed) {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded[cfg.Dir] = changed
	return false, nil
}

// lastReload is when the API server last took up a changed file; zero if never.
func lastReload(ctx context.Context, cfg Config) (time.Time, error) {
	api, err := RESTConfig(cfg)
	if err != nil {
		return time.Time{}, err
	}
	client, err := rest.HTTPClientFor(api)
	if err != nil {
		return time.Time{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.Host+"/metrics", nil)
	if err != nil {
		return time.Time{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("/metrics answers %s", res.Status)
	}
	return readReload(res.Body)
}

func readReload(metrics io.Reader) (time.Time, error) {
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, reloadMetric+"{") || !strings.Contains(line, `status="success"`) {
			continue
		}
		seconds, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("metric %q: %w", line, err)
		}
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	return time.Time{}, lines.Err()
}
