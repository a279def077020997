package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	for _, want := range []string{"a longer content", "short"} {
		if err := WriteFile(file, []byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	fi, err := os.Stat(file)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Error(fi, err)
	}
	// One that cannot be put in its place leaves nothing beside it.
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "taken"), nil); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Error(entries, err)
	}
}

func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	f, err := create(filepath.Join(dir, "root-key.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if of, ok := Unfinished(filepath.Base(f.Name())); !ok || of != "root-key.json" {
		t.Errorf("%s is one of %q, %v", f.Name(), of, ok)
	}
	for _, name := range []string{"", ".", ".-1", "a-1", ".a-", ".a-b", ".a-1b", "a"} {
		if of, ok := Unfinished(name); ok {
			t.Errorf("%q is one of %q", name, of)
		}
	}
}
