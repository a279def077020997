package authz

import (
	"bytes"
	"strings"
)

// A statement is one compiled statement of a policy.
type statement struct {
	sid    string
	effect Effect

	actions   actionSet
	notAction bool

	anyResource bool // no Resource element, where that is legal
	resources   []pattern
	notResource bool

	principal    *principalSpec // nil where the kind has none
	notPrincipal bool

	conditions []condition
}

// actionSet holds lower-case actions: the plain ones for one look-up, the others to be tried
// in turn. Those are kept by service, since a policy has hundreds for services that a request
// is not for.
type actionSet struct {
	all      bool
	exact    map[string]struct{}
	patterns map[string][]pattern // service → patterns of its actions; "" for those with a wildcard before the colon
}

func compileStatement(n *node, kind Kind, variables bool) (statement, error) {
	st := statement{
		notAction:    n.get("NotAction") != nil,
		notResource:  n.get("NotResource") != nil,
		notPrincipal: n.get("NotPrincipal") != nil,
	}
	if sid := n.get("Sid"); sid != nil {
		st.sid = sid.text
	}
	if n.get("Effect").text == "Deny" {
		st.effect = Deny
	}
	for _, a := range elementTexts(n, "Action", "NotAction") {
		st.actions.add(strings.ToLower(a))
	}
	resources := elementTexts(n, "Resource", "NotResource")
	st.anyResource = len(resources) == 0
	for _, r := range resources {
		st.resources = append(st.resources, compileARN(r, variables))
	}
	if kind.hasPrincipal() {
		element := n.get("Principal")
		if element == nil {
			element = n.get("NotPrincipal")
		}
		spec, err := parsePrincipals(element)
		if err != nil {
			return st, err
		}
		st.principal = spec
	}
	if c := n.get("Condition"); c != nil {
		st.conditions = compileConditions(c, variables)
	}
	return st, nil
}

// compileARN compiles a Resource. An ARN that ends early goes on with wildcards.
func compileARN(text string, variables bool) pattern {
	if text != "*" {
		for n := len(splitARN(text)); n < 6; n++ {
			text += ":*"
		}
	}
	return compile(text, syntax{wildcards: true, variables: variables, arn: true})
}

func (s *actionSet) add(action string) {
	p := compile(action, syntax{wildcards: true})
	switch {
	case p.isLiteral:
		if s.exact == nil {
			s.exact = map[string]struct{}{}
		}
		s.exact[action] = struct{}{}
	case action == "*" || action == "*:*":
		s.all = true
	default:
		service, _, _ := strings.Cut(action, ":")
		if strings.ContainsAny(service, "*?") {
			service = ""
		}
		if s.patterns == nil {
			s.patterns = map[string][]pattern{}
		}
		s.patterns[service] = append(s.patterns[service], p)
	}
}

// match takes the action in lower case and as it came; bytes, so that the look-up allocates nothing.
func (s *actionSet) match(lowered []byte, action string) bool {
	if s.all {
		return true
	}
	if _, ok := s.exact[string(lowered)]; ok {
		return true
	}
	if len(s.patterns) == 0 {
		return false
	}
	colon := max(bytes.IndexByte(lowered, ':'), 0)
	return matchAny(s.patterns[string(lowered[:colon])], action) || colon > 0 && matchAny(s.patterns[""], action)
}

func matchAny(patterns []pattern, action string) bool {
	for i := range patterns {
		if patterns[i].match(action, true, nil) {
			return true
		}
	}
	return false
}
