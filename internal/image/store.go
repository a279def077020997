package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Config says where a Registry keeps its images.
type Config struct {
	Dir string
	Log *slog.Logger // nil: silent
	// PullThrough asks the registry that a name belongs to for what is not
	// here, and keeps the answer. A host that cannot be reached is not asked
	// again for a minute, so that an isolated machine answers at once.
	PullThrough bool
	// PullFrom tells whether a host may be asked; nil is PublicHost. Names come
	// from whoever asks for an image, pods included.
	PullFrom func(host string) bool
	// Transport carries pull-through requests; nil means one with short
	// connection timeouts.
	Transport http.RoundTripper
}

// A Registry holds images and serves them; see the package comment. Its methods
// may be called at any time from any goroutine, and from several processes on
// one directory.
type Registry struct {
	dir      string
	log      *slog.Logger
	upstream *upstream // nil: none

	mu    sync.Mutex
	seeds []*seed
}

// A seed is a read-only layout that the registry serves without copying it.
type seed struct {
	dir   string
	read  time.Time // mtime of the index.json that is known
	names map[string]v1.Descriptor
}

// An Image is one name that the registry can serve.
type Image struct {
	Name   string // in full, with its tag
	Digest string
	Size   int64 // of the config and the layers, as transferred; 0 for an index of several platforms
}

// ErrNotFound is returned (wrapped) for a name or a digest that is not here.
var ErrNotFound = errors.New("not found")

// Open opens the registry in cfg.Dir, which it creates if need be, and removes
// what pushes of an earlier process left unfinished for a day.
func Open(cfg Config) (*Registry, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{dir: cfg.Dir, log: cfg.Log}
	for _, d := range []string{"blobs/sha256", "repositories", "uploads"} {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("opening registry: %w", err)
		}
	}
	if err := r.sweepUploads(24 * time.Hour); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	if cfg.PullThrough {
		r.upstream = newUpstream(cfg.Transport, cfg.PullFrom)
	}
	return r, nil
}

func (r *Registry) sweepUploads(older time.Duration) error {
	dir := filepath.Join(r.dir, "uploads")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > older {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Seed makes the images of an OCI layout available without copying them. The
// layout may change later, or come to exist later; what is loaded or pushed
// under a name goes before a seed's.
func (r *Registry) Seed(layoutDir string) error {
	s := &seed{dir: layoutDir}
	if err := s.refresh(); err != nil {
		return fmt.Errorf("seeding images: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seeds = append(r.seeds, s)
	return nil
}

func (s *seed) refresh() error {
	st, err := os.Stat(filepath.Join(s.dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		s.names, s.read = nil, time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	if st.ModTime().Equal(s.read) {
		return nil
	}
	list, err := readIndex(s.dir)
	if err != nil {
		return err
	}
	names := make(map[string]v1.Descriptor, len(list))
	for _, d := range list {
		if n := d.Annotations[refName]; n != "" {
			names[n] = d
		}
	}
	s.names, s.read = names, st.ModTime()
	return nil
}

// seeded gives a copy of the seeds' names, later seeds first.
func (r *Registry) seeded() ([]map[string]v1.Descriptor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]map[string]v1.Descriptor, 0, len(r.seeds))
	for _, s := range slices.Backward(r.seeds) {
		if err := s.refresh(); err != nil {
			return nil, fmt.Errorf("reading seeded images: %w", err)
		}
		out = append(out, s.names) // replaced, never changed, by refresh
	}
	return out, nil
}

var (
	repositoryForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$`)
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
)

func (r *Registry) tagPath(repository, tag string) (string, error) {
	if !repositoryForm.MatchString(repository) {
		return "", fmt.Errorf("repository %q: not a valid name", repository)
	}
	if !tagForm.MatchString(tag) {
		return "", fmt.Errorf("tag %q: not a valid tag", tag)
	}
	return filepath.Join(r.dir, "repositories", filepath.FromSlash(repository), "_tags", tag), nil
}

// resolve gives the digest that a tag points to.
func (r *Registry) resolve(repository, tag string) (string, error) {
	p, err := r.tagPath(repository, tag)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(p)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("resolving %s:%s: %w", repository, tag, err)
	}
	seeds, err := r.seeded()
	if err != nil {
		return "", err
	}
	for _, names := range seeds {
		if d, ok := names[repository+":"+tag]; ok {
			return d.Digest.String(), nil
		}
	}
	return "", fmt.Errorf("image %s:%s: %w", repository, tag, ErrNotFound)
}

// blob opens a blob of the registry or of a seed.
func (r *Registry) blob(digest string) (*os.File, error) {
	if !digestForm.MatchString(digest) {
		return nil, fmt.Errorf("digest %q: not a sha256 digest", digest)
	}
	hex := strings.TrimPrefix(digest, "sha256:")
	dirs := []string{r.dir}
	r.mu.Lock()
	for _, s := range r.seeds {
		dirs = append(dirs, s.dir)
	}
	r.mu.Unlock()
	for _, d := range dirs {
		f, err := os.Open(filepath.Join(d, "blobs", "sha256", hex))
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("opening blob %s: %w", digest, err)
		}
	}
	return nil, fmt.Errorf("blob %s: %w", digest, ErrNotFound)
}

func (r *Registry) hasBlob(digest string) bool {
	f, err := r.blob(digest)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// putBlob keeps what body holds. A non-empty want must be its digest.
func (r *Registry) putBlob(body io.Reader, want string) (digest string, err error) {
	f, err := os.CreateTemp(filepath.Join(r.dir, "uploads"), "blob-*")
	if err != nil {
		return "", fmt.Errorf("keeping a blob: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err := io.Copy(f, body); err != nil {
		f.Close()
		return "", fmt.Errorf("keeping a blob: %w", err)
	}
	return r.adopt(f, want)
}

var errDigest = errors.New("digest does not match the content")

// adopt turns a finished upload into a blob, and closes it.
func (r *Registry) adopt(f *os.File, want string) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return "", fmt.Errorf("keeping a blob: %w", err)
	}
	h, _, err := v1.SHA256(f)
	if err != nil {
		f.Close()
		return "", fmt.Errorf("keeping a blob: %w", err)
	}
	if want != "" && want != h.String() {
		f.Close()
		return "", fmt.Errorf("keeping blob %s: %w: it is %s", want, errDigest, h)
	}
	if err := settle(f, filepath.Join(r.dir, "blobs", "sha256", h.Hex)); err != nil {
		return "", fmt.Errorf("keeping blob %s: %w", h, err)
	}
	return h.String(), nil
}

// putTag points a tag to a manifest, for good once it returns.
func (r *Registry) putTag(repository, tag, digest string) error {
	p, err := r.tagPath(repository, tag)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return fmt.Errorf("tagging %s:%s: %w", repository, tag, err)
	}
	if err := writeFile(p, []byte(digest+"\n")); err != nil {
		return fmt.Errorf("tagging %s:%s: %w", repository, tag, err)
	}
	return nil
}

// Untag forgets a name, e.g. registry.ekster.internal/hello:v1. Its blobs stay.
// An image of a seed cannot be forgotten: that is ErrNotFound, as is an absent one.
func (r *Registry) Untag(name string) error {
	repository, tag, err := splitName(name)
	if err != nil {
		return err
	}
	p, err := r.tagPath(repository, tag)
	if err != nil {
		return err
	}
	if err := os.Remove(p); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("image %s: %w", name, ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("untagging %s: %w", name, err)
	}
	return nil
}

// List gives every name that can be served, sorted.
func (r *Registry) List(ctx context.Context) ([]Image, error) {
	found := map[string]string{} // name → digest
	seeds, err := r.seeded()
	if err != nil {
		return nil, err
	}
	for _, names := range slices.Backward(seeds) {
		for n, d := range names {
			found[n] = d.Digest.String()
		}
	}
	root := filepath.Join(r.dir, "repositories")
	err = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(p)) != "_tags" || !tagForm.MatchString(e.Name()) {
			return err
		}
		repository, err := filepath.Rel(root, filepath.Dir(filepath.Dir(p)))
		if err != nil {
			return err
		}
		digest, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(repository)+":"+e.Name()] = strings.TrimSpace(string(digest))
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	out := make([]Image, 0, len(found))
	for name, digest := range found {
		size, err := r.imageSize(digest)
		if err != nil {
			return nil, fmt.Errorf("listing images: %s: %w", name, err)
		}
		out = append(out, Image{Name: name, Digest: digest, Size: size})
	}
	slices.SortFunc(out, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (r *Registry) imageSize(digest string) (int64, error) {
	m, _, err := r.manifest(digest)
	if err != nil {
		return 0, err
	}
	n := m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n, nil
}

// splitName takes a full name apart; the tag is "latest" unless given.
func splitName(name string) (repository, tag string, err error) {
	repository, tag = name, "latest"
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		repository, tag = name[:i], name[i+1:]
	}
	if !repositoryForm.MatchString(repository) || !tagForm.MatchString(tag) {
		return "", "", fmt.Errorf("image name %q: want <host>/<path>[:<tag>]", name)
	}
	return repository, tag, nil
}
