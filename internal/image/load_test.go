package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestLoad(t *testing.T) {
	img := testImage(t, "x")
	dir := t.TempDir()

	oci := filepath.Join(dir, "oci")
	if err := WriteLayout(oci, []Named{{"quay.test/team/app:v1", img}}); err != nil {
		t.Fatal(err)
	}
	ociTar := filepath.Join(dir, "oci.tar.gz")
	if out, err := exec.Command("tar", "-C", oci, "-czf", ociTar, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	docker := filepath.Join(dir, "docker.tar")
	tag, err := name.NewTag("nginx:1.27")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(docker, tag, img); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{oci: "quay.test/team/app:v1", ociTar: "quay.test/team/app:v1", docker: "docker.io/library/nginx:1.27"} {
		r, s := openRegistry(t, Config{})
		names, err := r.Load(t.Context(), path)
		if err != nil || len(names) != 1 || names[0] != want {
			t.Errorf("Load(%s) = %v, %v", path, names, err)
			continue
		}
		host, rest, _ := strings.Cut(want, "/")
		repo, ver, _ := strings.Cut(rest, ":")
		resp, b := get(t, s, host, "/v2/"+repo+"/manifests/"+ver, nil)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s", want, resp.Status)
			continue
		}
		m, err := parseManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range append(m.Layers, m.Config) {
			resp, body := get(t, s, host, fmt.Sprintf("/v2/%s/blobs/%s", repo, d.Digest), nil)
			if resp.StatusCode != 200 || int64(len(body)) != d.Size {
				t.Errorf("%s: blob %s: %s, %d bytes of %d", want, d.Digest, resp.Status, len(body), d.Size)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(r.dir, "uploads")); len(left) != 0 {
			t.Errorf("loading left %v", left)
		}
	}
	r, _ := openRegistry(t, Config{})
	if _, err := r.Load(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty directory was loaded")
	}
}

func TestLoadRefusesEscape(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	evil := filepath.Join(dir, "evil.tar")
	if out, err := exec.Command("tar", "-C", dir, "--transform", "s,^f,../../evil,", "-P", "-cf", evil, "f").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	r, _ := openRegistry(t, Config{})
	if _, err := r.Load(t.Context(), evil); err == nil || !strings.Contains(err.Error(), "leaves the archive") {
		t.Errorf("err = %v", err)
	}
}

func TestPullThrough(t *testing.T) {
	_, origin := openRegistry(t, Config{})
	host := strings.TrimPrefix(origin.URL, "http://")
	ref, err := name.ParseReference(host + "/team/app:v2")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(3000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	_, mirror := openRegistry(t, Config{PullThrough: true, PullFrom: func(h string) bool { return h == host }})
	layers, _ := img.Layers()
	d, _ := layers[0].Digest()
	for range 2 { // the second time, the origin is gone
		if resp, b := get(t, mirror, host, "/v2/team/app/manifests/v2", nil); resp.StatusCode != 200 {
			t.Errorf("manifest: %s %s", resp.Status, b)
		}
		if resp, _ := get(t, mirror, host, "/v2/team/app/blobs/"+d.String(), nil); resp.StatusCode != 200 {
			t.Errorf("blob: %s", resp.Status)
		}
		origin.Close()
	}
	for range 2 {
		if resp, b := get(t, mirror, host, "/v2/team/app/manifests/v3", nil); resp.StatusCode != 404 || !strings.Contains(string(b), "MANIFEST_UNKNOWN") {
			t.Errorf("absent, origin gone: %s %s", resp.Status, b)
		}
	}
}
