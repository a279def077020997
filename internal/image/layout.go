package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// refName is the annotation under which a layout's index names an image.
const refName = "org.opencontainers.image.ref.name"

// A Named is an image with its full name.
type Named struct {
	Name  string
	Image v1.Image
}

// WriteLayout makes dir an OCI layout that holds exactly these images. Blobs
// come first and index.json last, by rename: a reader sees the old images or
// the new ones. Blobs that no image names any more are removed at the end.
func WriteLayout(dir string, images []Named) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return fmt.Errorf("writing layout %s: %w", dir, err)
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	keep := map[string]bool{}
	for _, n := range images {
		d, err := writeImage(layout.Path(dir), n, keep)
		if err != nil {
			return fmt.Errorf("writing %s to layout %s: %w", n.Name, dir, err)
		}
		index.Manifests = append(index.Manifests, d)
	}
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[refName], b.Annotations[refName])
	})
	body, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return fmt.Errorf("writing layout %s: %w", dir, err)
	}
	if err := writeFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return fmt.Errorf("writing layout %s: %w", dir, err)
	}
	if err := writeFile(filepath.Join(dir, "index.json"), append(body, '\n')); err != nil {
		return fmt.Errorf("writing layout %s: %w", dir, err)
	}
	return sweep(filepath.Join(dir, "blobs", "sha256"), keep)
}

func writeImage(l layout.Path, n Named, keep map[string]bool) (v1.Descriptor, error) {
	if err := l.WriteImage(n.Image); err != nil {
		return v1.Descriptor{}, err
	}
	m, err := n.Image.Manifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := n.Image.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := n.Image.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	cf, err := n.Image.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	keep[digest.Hex], keep[m.Config.Digest.Hex] = true, true
	for _, layer := range m.Layers {
		keep[layer.Digest.Hex] = true
	}
	return v1.Descriptor{
		MediaType: m.MediaType, Digest: digest, Size: size,
		Platform:    &v1.Platform{OS: cf.OS, Architecture: cf.Architecture},
		Annotations: map[string]string{refName: n.Name},
	}, nil
}

func sweep(blobs string, keep map[string]bool) error {
	have, err := os.ReadDir(blobs)
	if err != nil {
		return fmt.Errorf("sweeping %s: %w", blobs, err)
	}
	for _, b := range have {
		if keep[b.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(blobs, b.Name())); err != nil {
			return fmt.Errorf("sweeping %s: %w", blobs, err)
		}
	}
	return nil
}

// readIndex gives the images that a layout's index.json lists. A layout that
// does not exist lists none.
func readIndex(dir string) ([]v1.Descriptor, error) {
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading layout %s: %w", dir, err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("reading layout %s: index.json: %w", dir, err)
	}
	return index.Manifests, nil
}

// writeFile replaces a file at once and for good: whoever opens it sees the old
// or the new content, also after a crash.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already once it is renamed
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	return settle(f, path)
}

// settle gives a finished temporary file its name: sync, close, rename, sync of
// the directory.
func settle(f *os.File, path string) error {
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
