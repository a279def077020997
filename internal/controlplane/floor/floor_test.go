package floor

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("boots etcd and kube-apiserver")
	}
	binary, err := filepath.Abs("../../../bin/payload/kubernetes/1.35/kube")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("hack/build-payload.sh 1.35 makes it: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := Measure(ctx, Config{Binary: binary, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v, memory %v", res.Ready, res.PSS)
	if res.Ready <= 0 || res.PSS["etcd"] < 1<<20 || res.PSS["kube-apiserver"] < 1<<20 {
		t.Errorf("measured %+v", res)
	}
}
