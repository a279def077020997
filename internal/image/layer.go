package image

import (
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A rawLayer is a layer whose wire form is its uncompressed tar, so that its
// digest and its diff id are one.
type rawLayer struct {
	open      func() (io.ReadCloser, error)
	mediaType types.MediaType
	digest    v1.Hash
	size      int64
}

// newRawLayer reads the tar once to learn its digest. open must give the same
// bytes every time.
func newRawLayer(mt types.MediaType, open func() (io.ReadCloser, error)) (*rawLayer, error) {
	r, err := open()
	if err != nil {
		return nil, fmt.Errorf("opening layer: %w", err)
	}
	defer r.Close()
	digest, size, err := v1.SHA256(r)
	if err != nil {
		return nil, fmt.Errorf("reading layer: %w", err)
	}
	return &rawLayer{open: open, mediaType: mt, digest: digest, size: size}, nil
}

func (l *rawLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *rawLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *rawLayer) Compressed() (io.ReadCloser, error)   { return l.open() }
func (l *rawLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }
func (l *rawLayer) Size() (int64, error)                 { return l.size, nil }
func (l *rawLayer) MediaType() (types.MediaType, error)  { return l.mediaType, nil }
