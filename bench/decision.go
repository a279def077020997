package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/iampolicy"
)

// attached is how many policies the caller of figure 9 has.
const attached = 20

// decision is figure 9: what one authorization costs a user with twenty policies. They are the
// longest of AWS's own. A denied request is compared with every statement, an allowed one with most.
func (r *run) decision(context.Context) error {
	all, err := iampolicy.All()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, iampolicy.Policy.ServiceLinked)
	slices.SortFunc(all, func(a, b iampolicy.Policy) int { return cmp.Compare(len(b.Document()), len(a.Document())) })
	if len(all) < attached {
		return fmt.Errorf("there are %d managed policies, not %d", len(all), attached)
	}
	in, size := authz.Inputs{}, 0
	for _, p := range all[:attached] {
		parsed, err := authz.Parse([]byte(p.Document()), authz.Identity)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		in.Identity, size = append(in.Identity, authz.Source{Name: p.ARN, Policy: parsed}), size+len(p.Document())
	}
	const account = "123456789012"
	ann := authz.Principal{Type: authz.User, ARN: "arn:aws:iam::" + account + ":user/ann", Account: account, ID: "AIDAEXAMPLE"}
	for _, c := range []struct {
		what, action, resource string
		allowed                bool
	}{
		{"allowed", "ec2:TerminateInstances", "arn:aws:ec2:eu-west-1:" + account + ":instance/i-0123456789abcdef0", true},
		{"denied", "organizations:CreateAccount", "*", false},
	} {
		req := authz.Request{Principal: ann, Action: c.action, Resources: []string{c.resource}, Context: ann.Context()}
		if d := authz.Evaluate(in, req); d.Allowed != c.allowed {
			return fmt.Errorf("%s: allowed is %v", c.action, d.Allowed)
		}
		var took, allocs, bytes []float64
		for range r.runs {
			res := testing.Benchmark(func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					authz.Evaluate(in, req)
				}
			})
			took = append(took, float64(res.T.Nanoseconds())/float64(res.N)/1000)
			allocs, bytes = append(allocs, float64(res.AllocsPerOp())), append(bytes, float64(res.AllocedBytesPerOp()))
		}
		r.report.atMost(line{
			Figure: "9", What: fmt.Sprintf("a decision over %d policies, %s", attached, c.what),
			Unit: "µs", Value: median(took), Samples: took,
			Note: fmt.Sprintf("%.0f allocations, %.0f bytes; %d KiB of documents", median(allocs), median(bytes), size>>10),
		}, 20)
	}
	return nil
}
