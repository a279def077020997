package authz

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"strings"
	"testing"
)

// TestThereAreEnoughCases counts the rows of this package's tables of evaluation cases:
// 300 are promised, and nobody should take one away without saying so. The combinations of
// TestMatrix are not among them.
func TestThereAreEnoughCases(t *testing.T) {
	const want = 300
	tables := map[string]int{"TestEvaluationLogic": 0, "TestTrustPolicies": 0, "TestStatements": 0, "TestConditions": 0, "TestFieldPolicies": 0}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if _, counted := tables[nameOf(fn, ok)]; !counted {
				continue
			}
			for _, s := range fn.Body.List {
				if r, ok := s.(*ast.RangeStmt); ok {
					if rows, ok := r.X.(*ast.CompositeLit); ok {
						tables[fn.Name.Name] += len(rows.Elts)
					}
				}
			}
		}
	}
	total := 0
	for name, n := range tables {
		if n == 0 {
			t.Errorf("%s has no table", name)
		}
		total += n
	}
	if total < want {
		t.Errorf("%d cases, want %d: %v", total, want, tables)
	}
	t.Logf("%d cases: %v", total, tables)
}

func nameOf(fn *ast.FuncDecl, ok bool) string {
	if !ok {
		return ""
	}
	return fn.Name.Name
}
