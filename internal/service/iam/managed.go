package iam

import (
	"strings"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// findPolicy finds a managed policy of the account, or one of AWS's.
func (s *Service) findPolicy(tx *store.Tx, account, arn string) (resource.Policy, bool) {
	if p, ok := tx.Policies.Get(arn); ok && p.Account == account {
		return p, true
	}
	return s.aws.Get(arn)
}

// version is a version of a policy by its id.
func version(p resource.Policy, id string) (resource.PolicyVersion, bool) {
	for _, v := range p.Versions {
		if v.ID == id {
			return v, true
		}
	}
	return resource.PolicyVersion{}, false
}

// awsOwned says whether an ARN is of one of AWS's managed policies.
func awsOwned(arn string) bool { return strings.HasPrefix(arn, "arn:aws:iam::aws:policy/") }

// A usage counts what a policy is used for in an account.
type usage struct{ attached, boundary int32 }

// usages counts for every managed policy that is used in the account.
func usages(tx *store.Tx, account string) map[string]usage {
	out := map[string]usage{}
	add := func(attached []string, boundary string) {
		for _, arn := range attached {
			u := out[arn]
			u.attached++
			out[arn] = u
		}
		if boundary != "" {
			u := out[boundary]
			u.boundary++
			out[boundary] = u
		}
	}
	for _, u := range tx.Users.All() {
		if u.Account == account {
			add(u.Attached, u.Boundary)
		}
	}
	for _, g := range tx.Groups.All() {
		if g.Account == account {
			add(g.Attached, "")
		}
	}
	for _, r := range tx.Roles.All() {
		if r.Account == account {
			add(r.Attached, r.Boundary)
		}
	}
	return out
}

// checkBoundary refuses a permissions boundary that is no policy.
func (s *Service) checkBoundary(tx *store.Tx, account, arn string) error {
	if arn == "" {
		return nil
	}
	if _, ok := s.findPolicy(tx, account, arn); !ok {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return nil
}

// size is what IAM measures of a document: its characters without white space.
func size(document string) int {
	n := 0
	for _, r := range document {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}
