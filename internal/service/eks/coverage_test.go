package eks_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	geneks "ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/accesspolicy"
	"ekster.dev/ekster/internal/service/eks"
)

const coverage = "../../../docs/coverage.md"

// inert is what a reader of an answer could take for real.
var inert = []string{
	"logging of clusters, but for audit and authenticator: there is no CloudWatch Logs to go to, `ekster logs cluster NAME TYPE` shows them; the other types are in `ekster logs cluster NAME` always",
	"who uses an API that will be removed (clientStats of insights): the API server counts requests and not clients, so there is one entry without a userAgent. No API that the versions here serve by themselves is to be removed",
	"the FIPS amiTypes of node groups: their nodes are those of the amiType without, since an image stands for programs of this machine's",
}

// TestCoverage compares docs/coverage.md with the operations of the model and the methods
// that there are; go test -update writes it.
func TestCoverage(t *testing.T) {
	got := coverageDoc(t)
	if *rewrite {
		if err := os.WriteFile(coverage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(coverage)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("docs/coverage.md is stale: go test ./internal/service/eks -run TestCoverage -update")
	}
}

func coverageDoc(t *testing.T) string {
	t.Helper()
	methods := methodsOf(t)
	refused := refusals(t)
	var rows strings.Builder
	served, all := 0, 0
	for _, op := range geneks.Service(eks.New(eks.Config{})).Operations {
		all++
		real, says := "", ""
		if doc, ok := methods[op.Name]; ok && op.Handle.Call != nil {
			served++
			real, says = "yes", doc
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", op.Name, op.Method+" "+op.Path, real, says)
	}
	var out strings.Builder
	out.WriteString("<!-- Written by TestCoverage of internal/service/eks; go test ./internal/service/eks -run TestCoverage -update -->\n")
	out.WriteString("# What is served of the EKS API\n\n")
	fmt.Fprintf(&out, "%d of the model's %d operations. The others are routed and answer `NotImplemented`, by name (docs/decisions/0002-unserved-operations.md).\n\n", served, all)
	out.WriteString("| Operation | Request | Real | What it does |\n|---|---|---|---|\n")
	out.WriteString(rows.String())
	out.WriteString("\nWithin the operations that are served, these settings are refused with InvalidParameterException, because nothing would stand behind them:\n\n")
	for _, r := range refused {
		fmt.Fprintf(&out, "- %s\n", r)
	}
	out.WriteString("\nThese are checked, recorded and shown, and nothing acts on them yet:\n\n")
	for _, r := range append(inert, "access policies of other AWS services, which do not publish what is in them: "+strings.Join(unpublished(), ", ")) {
		fmt.Fprintf(&out, "- %s\n", r)
	}
	return out.String()
}

// unpublished are the access policies that can be associated and allow nothing here.
func unpublished() []string {
	var out []string
	for _, p := range accesspolicy.List() {
		if p.Unpublished {
			out = append(out, p.Name)
		}
	}
	return out
}

// parse reads the package's own files, in the order of their names.
func parse(t *testing.T) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	fset := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// methodsOf returns the exported methods that Service has of its own, not those that it
// embeds, each with the first sentence of its comment.
func methodsOf(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range parse(t) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !fn.Name.IsExported() {
				continue
			}
			if p, ok := fn.Recv.List[0].Type.(*ast.StarExpr); !ok || p.X.(*ast.Ident).Name != "Service" {
				continue
			}
			text := strings.ReplaceAll(strings.TrimSpace(fn.Doc.Text()), "\n", " ")
			first, _, _ := strings.Cut(text, ". ")
			first = strings.TrimSuffix(strings.TrimPrefix(first, fn.Name.Name+" "), ".")
			out[fn.Name.Name] = first
		}
	}
	return out
}

// refusals are the things that notYet is called with.
func refusals(t *testing.T) []string {
	t.Helper()
	var out []string
	seen := map[string]bool{}
	for _, f := range parse(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if fn, ok := call.Fun.(*ast.SelectorExpr); !ok || fn.Sel.Name != "notYet" {
				return true
			}
			var words strings.Builder
			ast.Inspect(call.Args[0], func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok {
					words.WriteString(strings.Trim(lit.Value, `"`))
				} else if _, ok := n.(*ast.StarExpr); ok {
					words.WriteString("other than the default")
				}
				return true
			})
			what := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(words.String()), " is"), " are")
			if !seen[what] {
				seen[what] = true
				out = append(out, what)
			}
			return true
		})
	}
	return out
}
