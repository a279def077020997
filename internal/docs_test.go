package internal_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// quoted are paths in backticks that start at one of the repository's folders.
	quoted = regexp.MustCompile("`((?:cmd|internal|gen|hack|distro|runtime|images|test|bench|docs)/[^`]*)`")
	// linked are the targets of relative links.
	linked = regexp.MustCompile(`\]\(([^):#]+)\)`)
)

// What the documents name exists: a document that leads nowhere is worse than none.
func TestDocumentsNameWhatExists(t *testing.T) {
	seen := 0
	readable(t, func(name, text string) {
		if path.Ext(name) != ".md" {
			return
		}
		exists := func(target string) {
			seen++
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(target))); err != nil {
				t.Errorf("%s names %s, which does not exist", name, target)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if p := strings.TrimRight(m[1], "/…"); !strings.ContainsAny(p, "<*{ ") {
				exists(p)
			}
		}
		for _, m := range linked.FindAllStringSubmatch(text, -1) {
			exists(path.Join(path.Dir(name), m[1]))
		}
	})
	if seen < 20 {
		t.Errorf("only %d paths in all documents: this test looks in the wrong place", seen)
	}
}

// Decisions are numbered in order, each number once.
func TestDecisionsAreNumbered(t *testing.T) {
	files, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if got, want := filepath.Base(f)[:4], fmt.Sprintf("%04d", i+1); got != want {
			t.Errorf("%s: its number should be %s", f, want)
		}
	}
}
