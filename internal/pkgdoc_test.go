package internal_test

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

// Every package says once what it is.
func TestOnePackageCommentEach(t *testing.T) {
	type pkg struct {
		name string
		docs []string // files with a package comment
	}
	packages := map[string]*pkg{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		p := packages[f.dir]
		if p == nil {
			p = &pkg{name: f.ast.Name.Name}
			packages[f.dir] = p
		}
		if f.ast.Doc == nil {
			continue
		}
		p.docs = append(p.docs, f.name)
		start := "Package " + p.name + " "
		if p.name == "main" {
			start = "Command " + path.Base(f.dir) + " "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), start) {
			t.Errorf("%s: the package comment should begin with %q", f.name, start)
		}
	}
	for dir, p := range packages {
		if len(p.docs) != 1 {
			t.Errorf("%s has %d package comments, not one: %v", dir, len(p.docs), p.docs)
		}
	}
}

// long are the files of more than softLimit lines and how long they may be. The list may only shrink:
// split a file before it is to enter, and take it out once it is short.
var long = map[string]int{
	"internal/provision/provision_test.go": 488,
}

const softLimit, hardLimit = 400, 600

func TestFilesAreShort(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		lines := strings.Count(f.text, "\n")
		if f.generated || lines <= softLimit {
			continue
		}
		seen[f.name] = true
		switch most, listed := long[f.name]; {
		case lines > hardLimit:
			t.Errorf("%s has %d lines; no file may have more than %d", f.name, lines, hardLimit)
		case !listed:
			t.Errorf("%s has %d lines, more than %d: split it by what it is about", f.name, lines, softLimit)
		case lines > most:
			t.Errorf("%s has grown from %d to %d lines: split it", f.name, most, lines)
		}
	}
	for name := range long {
		if !seen[name] {
			t.Errorf("%s is short now: take it out of the list", name)
		}
	}
}

// vague are words that name no thing.
var vague = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "impl"}

func TestNamesSayWhatThingsAre(t *testing.T) {
	check := func(where, name string) {
		for _, word := range words(name) {
			for _, v := range vague {
				if word == v {
					t.Errorf("%s: %q in the name %s says nothing: name the thing", where, v, name)
				}
			}
		}
	}
	dirs := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.generated {
			continue
		}
		if !dirs[f.dir] {
			dirs[f.dir] = true
			check(f.dir, f.dir)
		}
		check(f.name, strings.TrimSuffix(path.Base(f.name), ".go"))
		for _, d := range f.ast.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				for _, s := range g.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						check(f.name, ts.Name.Name)
					}
				}
			}
		}
	}
}

// words splits a file's name, a path or an identifier into lower-case words.
func words(name string) []string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.FieldsFunc(strings.ToLower(b.String()), func(r rune) bool { return strings.ContainsRune(" _-./", r) })
}
