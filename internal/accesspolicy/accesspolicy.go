// Package accesspolicy holds the EKS cluster access policies and decides what one of them allows.
//
// An access policy is a named list of Kubernetes rules that EKS keeps outside of the cluster: it never
// shows as an RBAC object. Associated with an access entry it applies to the whole cluster, or to some
// namespaces:
//
//	access entry ── Scope{cluster}                ── policy ── rules
//	             └─ Scope{namespace, ["dev-*"]}   ── policy ── the same rules, for requests inside these
//	                                                           namespaces only
//
// Rules match as RBAC's do (rule.go). Everything is allow: what no rule covers is left to the next
// authorizer.
//
// The package knows neither access entries nor who is associated with what. Some policies belong to
// other AWS services, which do not publish their contents: they are listed and can be associated, as on
// EKS, but have no rules here (Policy.Unpublished). docs/coverage.md names them.
package accesspolicy

import "strings"

const arnPrefix = "arn:aws:eks::aws:cluster-access-policy/"

// A Policy is one access policy. Policies are read-only.
type Policy struct {
	Name  string
	ARN   string
	Rules []Rule
	// Unpublished says that AWS does not tell what the policy holds; it has no rules here.
	Unpublished bool
	// Reserved policies are EKS's own to give: no entry that users make can have one.
	Reserved bool
	// Hidden policies are used by EKS itself and left out of List.
	Hidden bool
}

// Scope is where an associated policy applies.
type Scope struct {
	Type       string   // "cluster" or "namespace"
	Namespaces []string // for "namespace"; * stands for any characters
}

// Attributes are what a Kubernetes request wants, as in a SubjectAccessReview.
type Attributes struct {
	Verb        string
	Group       string
	Resource    string
	Subresource string
	Name        string
	Namespace   string // empty for what is outside of namespaces, and for all of them
	Path        string // of a non-resource request
	NonResource bool
}

// List returns the policies that ListAccessPolicies shows, ordered by name.
func List() []Policy {
	var out []Policy
	for _, p := range policies {
		if !p.Hidden {
			out = append(out, p)
		}
	}
	return out
}

// Get finds a policy by its ARN, hidden ones too.
func Get(arn string) (Policy, bool) {
	p := find(arn)
	if p == nil {
		return Policy{}, false
	}
	return *p, true
}

// Allows says whether a policy, associated in a scope, allows a request. An unknown policy or type of
// scope allows nothing.
func Allows(policyARN string, scope Scope, a Attributes) bool {
	p := find(policyARN)
	if p == nil || !scope.covers(&a) {
		return false
	}
	for i := range p.Rules {
		if p.Rules[i].allows(&a) {
			return true
		}
	}
	return false
}

func find(arn string) *Policy {
	name, ok := strings.CutPrefix(arn, arnPrefix)
	if !ok {
		return nil
	}
	if i, ok := byName[name]; ok {
		return &policies[i]
	}
	return nil
}

// covers says whether a request is inside the scope. A namespace scope reaches nothing outside of
// namespaces; a read of one namespace object counts as inside it, as Kubernetes sets the attributes.
func (s Scope) covers(a *Attributes) bool {
	switch s.Type {
	case "cluster":
		return true
	case "namespace":
		if a.NonResource || a.Namespace == "" {
			return false
		}
		for _, pattern := range s.Namespaces {
			if matches(pattern, a.Namespace) {
				return true
			}
		}
	}
	return false
}

// matches compares a name with a pattern in which * stands for any characters.
func matches(pattern, name string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], next
	}
}
