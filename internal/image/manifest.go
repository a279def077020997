package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A manifestBody is what a manifest of any kind says of other blobs.
type manifestBody struct {
	MediaType string          `json:"mediaType"`
	Config    v1.Descriptor   `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Manifests []v1.Descriptor `json:"manifests"`
}

const maxManifest = 4 << 20

// manifest reads a manifest by digest.
func (r *Registry) manifest(digest string) (manifestBody, []byte, error) {
	f, err := r.blob(digest)
	if err != nil {
		return manifestBody{}, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return manifestBody{}, nil, fmt.Errorf("reading manifest %s: %w", digest, err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return manifestBody{}, nil, fmt.Errorf("reading manifest %s: %w", digest, err)
	}
	return m, b, nil
}

// parseManifest also settles the media type, which OCI lets a manifest omit.
func parseManifest(b []byte) (manifestBody, error) {
	var m manifestBody
	if err := json.Unmarshal(b, &m); err != nil {
		return m, err
	}
	switch {
	case m.MediaType != "":
	case len(m.Manifests) > 0:
		m.MediaType = "application/vnd.oci.image.index.v1+json"
	case m.Config.Digest.Hex != "":
		m.MediaType = "application/vnd.oci.image.manifest.v1+json"
	default:
		return m, errors.New("neither an image nor an index")
	}
	return m, nil
}
