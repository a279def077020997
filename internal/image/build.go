package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Spec says what an image holds and how it starts.
type Spec struct {
	Name       string // in full, e.g. registry.ekster.internal/pause:3.10
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkingDir string
	Labels     map[string]string
	Files      []File
}

// A File is one file, symbolic link or directory of an image. Directories on
// the way to it need no entry of their own; they are made with mode 0755.
type File struct {
	Path    string // absolute, in the image
	Source  string // a file of the host, or
	Content []byte // the bytes themselves, or
	Link    string // the target of a symbolic link
	// Mode is the permission bits; 0 means 0644, or those of Source. With
	// fs.ModeDir the entry is a directory.
	Mode fs.FileMode
}

// epoch is the time of every file and image: the same input, the same digest.
var epoch = time.Unix(0, 0).UTC()

// Build makes an image of one uncompressed layer. Nodes pull over the loopback
// device, where unpacking costs more than bytes do.
func Build(spec Spec) (v1.Image, error) {
	entries, err := plan(spec.Files)
	if err != nil {
		return nil, fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	layer, err := newRawLayer(types.OCIUncompressedLayer, func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, entries)) }()
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, MediaType: types.OCIUncompressedLayer})
	if err != nil {
		return nil, fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	cf.History = nil
	cf.Config = v1.Config{
		Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, Env: spec.Env,
		User: spec.User, WorkingDir: spec.WorkingDir, Labels: spec.Labels,
	}
	img, err = mutate.ConfigFile(img, cf)
	if err != nil {
		return nil, fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	return img, nil
}

// plan sorts the files by path, adds the directories that lead to them and
// checks that every one can be written.
func plan(files []File) ([]File, error) {
	byPath := map[string]File{}
	for _, f := range files {
		p := path.Clean("/" + f.Path)[1:]
		if p == "" || !path.IsAbs(f.Path) {
			return nil, fmt.Errorf("file %q: not an absolute path of a file", f.Path)
		}
		if f.Source != "" {
			st, err := os.Stat(f.Source)
			if err != nil {
				return nil, fmt.Errorf("file %s: %w", f.Path, err)
			}
			if !st.Mode().IsRegular() {
				return nil, fmt.Errorf("file %s: source %s is not a regular file", f.Path, f.Source)
			}
			if f.Mode == 0 {
				f.Mode = st.Mode().Perm()
			}
		}
		if f.Mode.Perm() == 0 {
			f.Mode |= 0o644
		}
		f.Path = p
		byPath[p] = f
	}
	for p := range byPath {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			if have, ok := byPath[d]; ok {
				if !have.Mode.IsDir() {
					return nil, fmt.Errorf("file /%s lies below /%s, which is not a directory", p, d)
				}
				continue
			}
			byPath[d] = File{Path: d, Mode: fs.ModeDir | 0o755}
		}
	}
	out := make([]File, 0, len(byPath))
	for _, f := range byPath {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

func writeTar(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := writeEntry(tw, f); err != nil {
			return fmt.Errorf("writing /%s: %w", f.Path, err)
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, f File) error {
	h := &tar.Header{Name: f.Path, Mode: tarMode(f.Mode), ModTime: epoch, Format: tar.FormatPAX}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(f.Path, "/")+"/"
		return tw.WriteHeader(h)
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		return tw.WriteHeader(h)
	}
	h.Typeflag = tar.TypeReg
	var body io.Reader = bytes.NewReader(f.Content)
	h.Size = int64(len(f.Content))
	if f.Source != "" {
		src, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer src.Close()
		st, err := src.Stat()
		if err != nil {
			return err
		}
		body, h.Size = src, st.Size()
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(tw, body)
	return err
}

// tarMode is the mode as tar spells it: permissions with the setuid, setgid
// and sticky bits in their Unix places.
func tarMode(m fs.FileMode) int64 {
	out := int64(m.Perm())
	for bit, unix := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= unix
		}
	}
	return out
}
