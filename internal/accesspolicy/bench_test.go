package accesspolicy

import "testing"

// BenchmarkAllows asks the longest policy for what none of its rules covers.
func BenchmarkAllows(b *testing.B) {
	scope := Scope{Type: "namespace", Namespaces: []string{"prod", "dev-*"}}
	a := Attributes{Verb: "get", Group: "example.com", Resource: "things", Namespace: "dev-1"}
	admin := arn("Admin")
	b.ReportAllocs()
	for b.Loop() {
		if Allows(admin, scope, a) {
			b.Fatal("allowed")
		}
	}
}
