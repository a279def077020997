package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Load takes the images of an OCI layout (a directory or a tar of one) or of a
// docker archive, either tar gzipped or not, and gives their full names. A short
// name gets the registry that a container runtime would add (docker.io/library/…).
func (r *Registry) Load(ctx context.Context, path string) ([]string, error) {
	names, err := r.load(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	return names, nil
}

func (r *Registry) load(ctx context.Context, path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	dir := path
	if !st.IsDir() {
		dir, err = os.MkdirTemp(filepath.Join(r.dir, "uploads"), "load-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if err := untar(ctx, path, dir); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		return r.loadLayout(ctx, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil || st.IsDir() {
		return nil, errors.New("neither an OCI layout (index.json) nor a docker archive (manifest.json)")
	}
	return r.loadDocker(ctx, path)
}

func (r *Registry) loadLayout(ctx context.Context, dir string) ([]string, error) {
	list, err := readIndex(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range list {
		n, err := fullName(layoutName(d.Annotations))
		if err != nil {
			return nil, err
		}
		if err := r.copyTree(ctx, dir, d); err != nil {
			return nil, fmt.Errorf("image %s: %w", n, err)
		}
		repository, tag, err := splitName(n)
		if err != nil {
			return nil, err
		}
		if err := r.putTag(repository, tag, d.Digest.String()); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil, errors.New("the layout lists no image")
	}
	return names, nil
}

// layoutName prefers the name that docker and containerd write in full: their
// ref.name is the tag alone.
func layoutName(annotations map[string]string) string {
	if n := annotations["io.containerd.image.name"]; n != "" {
		return n
	}
	return annotations[refName]
}

func fullName(n string) (string, error) {
	if n == "" {
		return "", fmt.Errorf("an image has no name (annotation %s)", refName)
	}
	if _, _, err := splitName(n); err == nil && strings.ContainsAny(strings.SplitN(n, "/", 2)[0], ".:") {
		return n, nil
	}
	t, err := name.NewTag(n)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", n, err)
	}
	full := t.Name()
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		full = "docker.io/" + rest // as container runtimes spell it
	}
	return full, nil
}

// copyTree copies a manifest and all that it names. Of an index, platforms that
// the layout does not hold are left out, as "docker save" leaves them out.
func (r *Registry) copyTree(ctx context.Context, dir string, d v1.Descriptor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	file := filepath.Join(dir, "blobs", d.Digest.Algorithm, d.Digest.Hex)
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	m, err := parseManifest(body)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, sub := range m.Manifests {
		if _, err := os.Stat(filepath.Join(dir, "blobs", sub.Digest.Algorithm, sub.Digest.Hex)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := r.copyTree(ctx, dir, sub); err != nil {
			return err
		}
	}
	for _, b := range append(m.Layers, m.Config) {
		if b.Digest.Hex == "" || len(b.URLs) > 0 || r.hasBlob(b.Digest.String()) {
			continue
		}
		if err := r.copyBlob(filepath.Join(dir, "blobs", b.Digest.Algorithm, b.Digest.Hex), b.Digest.String()); err != nil {
			return err
		}
	}
	return r.copyBlob(file, d.Digest.String())
}

func (r *Registry) copyBlob(file, digest string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = r.putBlob(f, digest)
	return err
}

func (r *Registry) loadDocker(ctx context.Context, path string) ([]string, error) {
	open := func() (io.ReadCloser, error) { return openMaybeGzip(path) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range manifest {
		for _, short := range m.RepoTags {
			tag, err := name.NewTag(short)
			if err != nil {
				return nil, fmt.Errorf("image name %q: %w", short, err)
			}
			img, err := tarball.Image(open, &tag)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", short, err)
			}
			full, err := fullName(short)
			if err != nil {
				return nil, err
			}
			if err := r.Put(ctx, full, img); err != nil {
				return nil, err
			}
			names = append(names, full)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the archive names no image (RepoTags)")
	}
	return names, nil
}

// Put keeps an image under a full name, its layers uncompressed.
func (r *Registry) Put(ctx context.Context, fullName string, img v1.Image) error {
	repository, tag, err := splitName(fullName)
	if err != nil {
		return err
	}
	digest, err := r.putImage(ctx, img)
	if err != nil {
		return fmt.Errorf("keeping image %s: %w", fullName, err)
	}
	return r.putTag(repository, tag, digest)
}

func (r *Registry) putImage(ctx context.Context, img v1.Image) (string, error) {
	plain, err := uncompressed(img)
	if err != nil {
		return "", err
	}
	layers, err := plain.Layers()
	if err != nil {
		return "", err
	}
	for _, l := range layers {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		d, err := l.Digest()
		if err != nil {
			return "", err
		}
		if r.hasBlob(d.String()) {
			continue
		}
		body, err := l.Compressed()
		if err != nil {
			return "", err
		}
		_, err = r.putBlob(body, d.String())
		if err := errors.Join(err, body.Close()); err != nil {
			return "", err
		}
	}
	cfg, err := plain.RawConfigFile()
	if err != nil {
		return "", err
	}
	if _, err := r.putBlob(strings.NewReader(string(cfg)), ""); err != nil {
		return "", err
	}
	m, err := plain.RawManifest()
	if err != nil {
		return "", err
	}
	return r.putBlob(strings.NewReader(string(m)), "")
}

// uncompressed is the same image with every layer as a plain tar.
func uncompressed(img v1.Image) (v1.Image, error) {
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	adds := make([]mutate.Addendum, 0, len(layers))
	for _, l := range layers {
		raw, err := newRawLayer(types.OCIUncompressedLayer, l.Uncompressed)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.Addendum{Layer: raw, MediaType: types.OCIUncompressedLayer})
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if out, err = mutate.Append(out, adds...); err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.History = nil
	return mutate.ConfigFile(out, cf)
}

func openMaybeGzip(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	br := bufio.NewReader(f)
	if magic, err := br.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return struct { //nolint:nilerr // too short to be compressed
			io.Reader
			io.Closer
		}{br, f}, nil
	}
	z, err := gzip.NewReader(br)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// untar unpacks the regular files of an archive below dir; a name that would
// leave dir is an error.
func untar(ctx context.Context, path, dir string) error {
	src, err := openMaybeGzip(path)
	if err != nil {
		return err
	}
	defer src.Close()
	tr := tar.NewReader(src)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("not a tar archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("archive entry %q leaves the archive", h.Name)
		}
		if err := unpackFile(tr, filepath.Join(dir, h.Name)); err != nil {
			return err
		}
	}
}

func unpackFile(body io.Reader, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}
