package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of the root module.
const module = "ekster.dev/ekster/"

// A goFile is one parsed Go file of the repository, nested modules included.
type goFile struct {
	name      string // from the root of the repository, with slashes
	dir       string // its folder, likewise
	text      string
	test      bool
	generated bool
	nested    bool // it belongs to a module of its own
	fset      *token.FileSet
	ast       *ast.File
}

// line is where n starts.
func (f goFile) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// imports are the paths that the file imports.
func (f goFile) imports() []string {
	var out []string
	for _, i := range f.ast.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

// readable calls visit with the name and the text of every file of the repository
// that is not made by a build. It reads the files itself: a test that asked a program
// would be answered from Go's cache of test results, whatever has changed since.
func readable(t *testing.T, visit func(name, text string)) {
	t.Helper()
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || name == ".git" || name == ".cache"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		raw, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		visit(name, string(raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goFiles parses every Go file but those in testdata folders.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	var modules []string
	readable(t, func(name, text string) {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			modules = append(modules, path.Dir(name)+"/")
		}
		if path.Ext(name) != ".go" || slices.Contains(strings.Split(name, "/"), "testdata") {
			return
		}
		f := goFile{name: name, dir: path.Dir(name), text: text, test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
		var err error
		if f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Error(err)
			return
		}
		f.generated = ast.IsGenerated(f.ast)
		out = append(out, f)
	})
	for i, f := range out {
		out[i].nested = slices.ContainsFunc(modules, func(m string) bool { return strings.HasPrefix(f.name, m) })
	}
	if len(out) < 100 {
		t.Fatalf("only %d Go files: this test looks in the wrong place", len(out))
	}
	return out
}
