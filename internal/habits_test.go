package internal_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sleeps are the functions that may sleep, and why they cannot wait for something instead.
// The list may only shrink.
var sleeps = map[string]string{
	"cmd/machine-init/imds.go readFacts":                               "the metadata service cannot be waited for, only asked again",
	"distro/controlplane/controlplane_test.go TestForwarder":           "it makes a server late on purpose; nothing tells from outside that a dialler has tried and failed",
	"distro/controlplane/controlplane_test.go TestBindWaitsForTheDead": "the same, of an address that is still taken",
}

func TestNobodySleeps(t *testing.T) {
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "Sleep" {
					return true
				}
				if x, ok := s.X.(*ast.Ident); !ok || x.Name != "time" {
					return true
				}
				key := f.name + " " + fn.Name.Name
				used[key] = true
				if sleeps[key] == "" {
					t.Errorf("%s:%d: %s sleeps: wait for what it waits for, with a deadline", f.name, f.line(n), fn.Name.Name)
				}
				return true
			})
		}
	}
	for key := range sleeps {
		if !used[key] {
			t.Errorf("%s does not sleep any more: take it out of the list", key)
		}
	}
}

// What runs because a package is imported cannot be seen where things are put together,
// and has no way to fail.
func TestNothingRunsOnImport(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s:%d: init()", f.name, f.line(fn))
			}
		}
	}
}

// A path of the machine that a file was written on means nothing on the next one.
func TestNoPathsOfThisMachine(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(root, string(os.PathSeparator)) < 2 {
		t.Skipf("%s is too common a path to be looked for", root)
	}
	readable(t, func(name, text string) {
		for i, line := range strings.Split(text, "\n") {
			if strings.Contains(line, root) {
				t.Errorf("%s:%d: holds %s", name, i+1, root)
			}
		}
	})
}
