package image

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func testImage(t *testing.T, content string) v1.Image {
	t.Helper()
	img, err := Build(Spec{
		Name: "registry.test/app:v1", Entrypoint: []string{"/bin/app"}, Env: []string{"A=b"}, User: "65532", WorkingDir: "/w",
		Files: []File{
			{Path: "/etc/app.conf", Content: []byte(content)},
			{Path: "/bin/app", Content: []byte("#!/bin/true"), Mode: 0o755},
			{Path: "/bin/link", Link: "app"},
			{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func openRegistry(t *testing.T, cfg Config) (*Registry, *httptest.Server) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s
}

func TestBuildIsReproducibleAndValid(t *testing.T) {
	a, b := testImage(t, "x"), testImage(t, "x")
	da, _ := a.Digest()
	db, _ := b.Digest()
	if da != db {
		t.Errorf("the same files gave %s and %s", da, db)
	}
	if dc, _ := testImage(t, "y").Digest(); dc == da {
		t.Error("other content gave the same digest")
	}
	if err := validate.Image(a, validate.Fast); err != nil {
		t.Error(err)
	}
	cf, err := a.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cf.OS != "linux" || cf.Config.User != "65532" || cf.Config.WorkingDir != "/w" || cf.Config.Entrypoint[0] != "/bin/app" {
		t.Errorf("config %+v", cf)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, f := range [][]File{
		{{Path: "relative", Content: []byte("x")}},
		{{Path: "/a", Source: "/does/not/exist"}},
		{{Path: "/a", Content: []byte("x")}, {Path: "/a/b", Content: []byte("y")}},
	} {
		if _, err := Build(Spec{Name: "registry.test/bad:v1", Files: f}); err == nil {
			t.Errorf("Build(%v) succeeded", f)
		}
	}
}

func TestProgramRunsAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	path, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("no nft on this host")
	}
	files, err := Program(path)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range files {
		b, err := os.ReadFile(f.Source)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, f.Mode); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("chroot", root, path, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nftables") {
		t.Errorf("nft in a root with %d files: %v: %s", len(files), err, out)
	}
}

func TestPushAndPullWithAClient(t *testing.T) {
	dir := t.TempDir()
	_, s := openRegistry(t, Config{Dir: dir})
	img, err := random.Image(3000, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/team/app:v2")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	want, _ := img.Digest()
	if d, _ := got.Digest(); d != want {
		t.Errorf("pulled %s, pushed %s", d, want)
	}
	tags, err := remote.List(ref.Context())
	if err != nil || len(tags) != 1 || tags[0] != "v2" {
		t.Errorf("tags %v, %v", tags, err)
	}
	again, err := Open(Config{Dir: dir}) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Digest != want.String() {
		t.Errorf("after a restart: %v, %v", list, err)
	}
	if err := remote.Delete(ref); err != nil {
		t.Error(err)
	}
	if _, err := remote.Image(ref); err == nil {
		t.Error("a deleted tag still answers")
	}
}

// get asks as containerd asks its mirror.
func get(t *testing.T, s *httptest.Server, ns, path string, h http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path+"?ns="+url.QueryEscape(ns), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestSeedIsServedAsMirror(t *testing.T) {
	seed := t.TempDir()
	r, s := openRegistry(t, Config{})
	if err := r.Seed(seed); err != nil { // may come to exist later
		t.Fatal(err)
	}
	if resp, b := get(t, s, "registry.test", "/v2/app/manifests/v1", nil); resp.StatusCode != 404 || !strings.Contains(string(b), "MANIFEST_UNKNOWN") {
		t.Errorf("absent image: %s %s", resp.Status, b)
	}
	img := testImage(t, "x")
	if err := WriteLayout(seed, []Named{{"registry.test/app:v1", img}}); err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	resp, _ := get(t, s, "registry.test", "/v2/app/manifests/v1", nil)
	if resp.StatusCode != 200 || resp.Header.Get("Docker-Content-Digest") != want.String() {
		t.Fatalf("manifest: %s, digest %s", resp.Status, resp.Header.Get("Docker-Content-Digest"))
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("Content-Type %s", ct)
	}
	if resp, _ := get(t, s, "other.test", "/v2/app/manifests/v1", nil); resp.StatusCode != 404 {
		t.Errorf("the same path of another host: %s", resp.Status)
	}
	layers, _ := img.Layers()
	d, _ := layers[0].Digest()
	_, whole := get(t, s, "registry.test", "/v2/app/blobs/"+d.String(), nil)
	resp, part := get(t, s, "registry.test", "/v2/app/blobs/"+d.String(), http.Header{"Range": {"bytes=10-29"}})
	if resp.StatusCode != 206 || !bytes.Equal(part, whole[10:30]) {
		t.Errorf("range: %s, %d bytes", resp.Status, len(part))
	}
	// The next payload replaces the image, and takes the old blobs away.
	next := testImage(t, "newer")
	if err := WriteLayout(seed, []Named{{"registry.test/app:v1", next}}); err != nil {
		t.Fatal(err)
	}
	want, _ = next.Digest()
	if resp, _ := get(t, s, "registry.test", "/v2/app/manifests/v1", nil); resp.Header.Get("Docker-Content-Digest") != want.String() {
		t.Errorf("after the layout changed: %s", resp.Header.Get("Docker-Content-Digest"))
	}
	if resp, _ := get(t, s, "registry.test", "/v2/app/blobs/"+d.String(), nil); resp.StatusCode != 404 {
		t.Errorf("a blob that left the layout: %s", resp.Status)
	}
}

func TestRefusals(t *testing.T) {
	_, s := openRegistry(t, Config{})
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"PUT", "/v2/app/manifests/v1", `{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `"}}`, 404, "MANIFEST_BLOB_UNKNOWN"},
		{"PUT", "/v2/app/manifests/v1", `nonsense`, 400, "MANIFEST_INVALID"},
		{"POST", "/v2/app/blobs/uploads/?digest=sha256:" + strings.Repeat("0", 64), "x", 400, "DIGEST_INVALID"},
		{"PATCH", "/v2/app/blobs/uploads/unknown", "x", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"GET", "/v2/app/blobs/sha256:abc", "", 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/../../etc/manifests/passwd", "", 400, "NAME_INVALID"},
		{"GET", "/v2/UPPER/manifests/v1", "", 400, "NAME_INVALID"},
		{"POST", "/v2/app/manifests/v1", "", 405, "UNSUPPORTED"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(b), c.code) {
			t.Errorf("%s %s: %s %s, want %d %s", c.method, c.path, resp.Status, b, c.status, c.code)
		}
	}
}

func TestWriteLayoutIsReadByOthers(t *testing.T) {
	dir := t.TempDir()
	if err := WriteLayout(dir, []Named{{"registry.test/app:v1", testImage(t, "x")}}); err != nil {
		t.Fatal(err)
	}
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx, validate.Fast); err != nil {
		t.Error(err)
	}
}

func TestPublicHost(t *testing.T) {
	for host, want := range map[string]bool{
		"docker.io": true, "quay.io:443": true, "public.ecr.aws": true, "localhost": false, "localhost:5000": false, "127.0.0.1:80": false,
		"169.254.169.254": false, "[::1]:5000": false, "registry.ekster.internal": false, "host": false, "a.localhost.": false,
	} {
		if got := PublicHost(host); got != want {
			t.Errorf("PublicHost(%s) = %v", host, got)
		}
	}
}

func TestReadOnly(t *testing.T) {
	r, _ := openRegistry(t, Config{})
	img := testImage(t, "x")
	if err := r.Put(t.Context(), "registry.test/app:v1", img); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r.ReadOnly())
	defer s.Close()
	if resp, _ := get(t, s, "registry.test", "/v2/app/manifests/v1", nil); resp.StatusCode != 200 {
		t.Errorf("GET: %s", resp.Status)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err == nil {
		t.Error("a push succeeded")
	}
}
