package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/singleflight"
)

// unreachableFor is how long a host that could not be reached is left alone.
const unreachableFor = time.Minute

// An upstream asks real registries.
type upstream struct {
	transport http.RoundTripper
	allowed   func(host string) bool

	flights singleflight.Group // one download a blob, however many nodes ask

	mu   sync.Mutex
	down map[string]time.Time // host → when it was last out of reach
}

// PublicHost says whether host is a DNS name with a dot that can lead beyond this machine's own
// networks. Whoever may name images must not make the daemon ask its neighbours.
func PublicHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	_, ipErr := netip.ParseAddr(strings.Trim(name, "[]"))
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return ipErr != nil && strings.Contains(name, ".") && !strings.HasSuffix(name, ".internal") &&
		!strings.HasSuffix(name, ".local") && !strings.HasSuffix(name, ".localhost")
}

func newUpstream(rt http.RoundTripper, allowed func(string) bool) *upstream {
	if allowed == nil {
		allowed = PublicHost
	}
	if rt == nil {
		t := remote.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
		t.TLSHandshakeTimeout = 5 * time.Second
		t.ResponseHeaderTimeout = 15 * time.Second
		rt = t
	}
	return &upstream{transport: rt, allowed: allowed, down: map[string]time.Time{}}
}

func (u *upstream) skip(host string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Since(u.down[host]) < unreachableFor
}

// note remembers whether the host answered at all: a refusal is an answer, a
// client that went away says nothing.
func (u *upstream) note(host string, err error) {
	var refused *transport.Error
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil || errors.As(err, &refused):
		delete(u.down, host)
	case errors.Is(err, context.Canceled):
	default:
		u.down[host] = time.Now()
	}
}

func (u *upstream) do(ctx context.Context, repository string, ask func(name.Repository, ...remote.Option) error) error {
	host, _, _ := strings.Cut(repository, "/")
	if !u.allowed(host) {
		return fmt.Errorf("registry %s is not one to ask", host)
	}
	if u.skip(host) {
		return fmt.Errorf("registry %s was out of reach a moment ago", host)
	}
	repo, err := name.NewRepository(repository)
	if err != nil {
		return fmt.Errorf("asking %s: %w", host, err)
	}
	err = ask(repo, remote.WithContext(ctx), remote.WithTransport(u.transport),
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Steps: 1}))
	u.note(host, err)
	if err != nil {
		return fmt.Errorf("asking %s: %w", host, err)
	}
	return nil
}

// fetchManifest brings a manifest here, and the tag if ref is one.
func (r *Registry) fetchManifest(ctx context.Context, repository, ref string) (digest string, err error) {
	err = r.upstream.do(ctx, repository, func(repo name.Repository, opts ...remote.Option) error {
		var at name.Reference = repo.Tag(ref)
		if digestForm.MatchString(ref) {
			at = repo.Digest(ref)
		}
		d, err := remote.Get(at, opts...)
		if err != nil {
			return err
		}
		digest, err = r.putBlob(strings.NewReader(string(d.Manifest)), d.Digest.String())
		return err
	})
	if err != nil || digestForm.MatchString(ref) {
		return digest, err
	}
	return digest, r.putTag(repository, ref, digest)
}

// downloadWithin bounds the download of a blob: its time is nobody's in particular.
const downloadWithin = 30 * time.Minute

// fetchBlob brings a blob here. Those who ask for the same one share a download,
// which goes on if one of them leaves.
func (r *Registry) fetchBlob(ctx context.Context, repository, digest string) error {
	done := r.upstream.flights.DoChan(digest, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downloadWithin)
		defer cancel()
		return nil, r.download(ctx, repository, digest)
	})
	select {
	case res := <-done:
		return res.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Registry) download(ctx context.Context, repository, digest string) error {
	return r.upstream.do(ctx, repository, func(repo name.Repository, opts ...remote.Option) error {
		l, err := remote.Layer(repo.Digest(digest), opts...)
		if err != nil {
			return err
		}
		body, err := l.Compressed()
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = r.putBlob(body, digest)
		return err
	})
}
