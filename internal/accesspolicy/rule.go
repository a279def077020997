package accesspolicy

import (
	"slices"
	"strings"
)

// A Rule is a PolicyRule of Kubernetes' RBAC: it covers resources, or paths that are none.
type Rule struct {
	APIGroups       []string
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
	return has(r.APIGroups, a.Group) && r.coversResource(a) &&
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

func has(list []string, want string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, want)
}
