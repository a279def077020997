package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What is committed in gen/ is what the models give, each time. The models are not in this
// repository: MODELS names their directory, as it does to make generate.
func TestGeneratingAgainGivesNoDiff(t *testing.T) {
	models := os.Getenv("MODELS")
	if models == "" {
		t.Skip("needs the service models: MODELS=DIR")
	}
	if !filepath.IsAbs(models) {
		models = filepath.Join("..", "..", models)
	}
	dir := t.TempDir()
	if err := run(models, dir); err != nil {
		t.Fatal(err)
	}
	const committed = "../../gen"
	have, want := files(t, committed), files(t, dir)
	for name, raw := range want {
		if !bytes.Equal(have[name], raw) {
			t.Errorf("gen/%s differs: make generate MODELS=%s", name, models)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("gen/%s is not generated any more", name)
		}
	}
}

// files is what is in a directory, by path.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path], err = os.ReadFile(filepath.Join(dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
