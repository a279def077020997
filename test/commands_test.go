package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ekster.dev/ekster/test/lab"
)

// TestCommands has the command line do its work without aws and kubectl, on the cluster that
// quickstart makes.
func TestCommands(t *testing.T) {
	watch := newStopwatch(t)
	d, _ := newDaemon(t)
	run := func(argv ...string) string {
		t.Helper()
		out, err := d.Run(t.Context(), argv...)
		no(t, err)
		return out
	}
	says := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
	}
	says(run("doctor"), "ok    root\n", "ok    payload: node runtime\n", "ok    nftables in the kernel\n", "ok    port of the AWS APIs\n")
	says(run("quickstart", "--name", clusterName), "pod:    web-", "down --purge")
	watch.done("quickstart")
	says(run("quickstart", "--name", clusterName), "pod:    web-")
	watch.done("quickstart again")
	if _, err := d.Run(t.Context(), "quickstart", "--port", "1"); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("quickstart on another port than the daemon's: %v", err)
	}

	says(run("kubectl", "get", "nodes", "-o", "name"), "node/ip-172-31-")
	says(run("kubectl", "--cluster", clusterName, "--", "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"), "4")
	if _, err := d.Run(t.Context(), "kubectl", "get", "nothing"); err == nil {
		t.Error("kubectl's exit code is lost")
	}

	const image = "registry.test/app:v1"
	says(run("image", "load", dockerArchive(t, d, image)), image)
	says(run("image", "list"), image+"\t")
	run("kubectl", "run", "app", "--image", image)
	run("kubectl", "wait", "pod/app", "--for=condition=Ready", "--timeout=60s")
	watch.done("an image of one's own")

	logs := func(part ...string) string { return run(append([]string{"logs", "cluster", clusterName}, part...)...) }
	partsDiffer := func() {
		t.Helper()
		says(logs(), "deployment_controller.go", "Starting control plane")
		says(logs("kube-controller-manager"), "deployment_controller.go")
		if out := logs("kube-apiserver"); out == "" || strings.Contains(out, "deployment_controller.go") {
			t.Errorf("the log of the API server:\n%s", out)
		}
	}
	partsDiffer()
	no(t, d.Down(t.Context()))
	partsDiffer() // which takes no daemon
	watch.done("logs")
}

// dockerArchive is the hello image under another name, as docker save writes it.
func dockerArchive(t *testing.T, d *lab.Daemon, as string) string {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(filepath.Dir(d.Bin), "payload", "images"))
	no(t, err)
	list, err := index.IndexManifest()
	no(t, err)
	var img v1.Image
	for _, m := range list.Manifests {
		if m.Annotations["org.opencontainers.image.ref.name"] == helloImage {
			img, err = index.Image(m.Digest)
			no(t, err)
		}
	}
	if img == nil {
		t.Fatalf("the payload has no %s", helloImage)
	}
	tag, err := name.NewTag(as)
	no(t, err)
	path := filepath.Join(t.TempDir(), "app.tar")
	no(t, tarball.WriteToFile(path, tag, img))
	return path
}
