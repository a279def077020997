package accesspolicy

import (
	"slices"
	"strings"
)

// A Rule is a PolicyRule of Kubernetes' RBAC: it covers resources, or paths that are none.
type Rule struct {
	APIGroups       []string // "apps", "*.services.k8s.aws" for all beneath, "*"
	Resources       []string // "pods", "pods/log", "*/scale", "*"
	ResourceNames   []string // none means every name
	Verbs           []string
	NonResourceURLs []string
}

// allows matches a request as RBAC does.
func (r *Rule) allows(a *Attributes) bool {
	if !has(r.Verbs, a.Verb) {
		return false
	}
	if a.NonResource {
		return slices.ContainsFunc(r.NonResourceURLs, func(url string) bool {
			prefix, wild := strings.CutSuffix(url, "*")
			return url == a.Path || wild && strings.HasPrefix(a.Path, prefix)
		})
	}
	return r.coversGroup(a.Group) && r.coversResource(a) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name))
}

// coversResource: a plain resource does not include its subresources, "*" includes everything.
func (r *Rule) coversResource(a *Attributes) bool {
	for _, want := range r.Resources {
		resource, sub, split := strings.Cut(want, "/")
		switch {
		case want == "*":
			return true
		case !split:
			if a.Subresource == "" && want == a.Resource {
				return true
			}
		case sub == a.Subresource && (resource == a.Resource || resource == "*"):
			return true
		}
	}
	return false
}

// coversGroup knows one thing more than RBAC: a star in place of a group's first name, since AWS's list of the
// services that have a controller is long and grows.
func (r *Rule) coversGroup(group string) bool {
	return has(r.APIGroups, group) || slices.ContainsFunc(r.APIGroups, func(g string) bool {
		domain, wild := strings.CutPrefix(g, "*")
		return wild && domain != "" && strings.HasSuffix(group, domain)
	})
}

func has(list []string, want string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, want)
}
