package authz

import (
	"errors"
	"slices"
	"strings"
)

// Kind is what a policy is attached to, and so which elements it may have.
type Kind uint8

// The kinds.
const (
	Identity       Kind = iota // attached to a user, group or role, inline or managed
	Resource                   // attached to a resource: a key, a repository
	Trust                      // a role's trust policy: a resource policy without Resource
	Session                    // passed to AssumeRole and its kin
	Boundary                   // a permissions boundary
	ServiceControl             // of an organization
)

// String names the kind as AWS does in its access denied messages.
func (k Kind) String() string {
	switch k {
	case Resource:
		return "resource-based policy"
	case Trust:
		return "role trust policy"
	case Session:
		return "session policy"
	case Boundary:
		return "permissions boundary"
	case ServiceControl:
		return "service control policy"
	}
	return "identity-based policy"
}

func (k Kind) hasPrincipal() bool { return k == Resource || k == Trust }

// Effect is what a statement does when it matches.
type Effect uint8

// The effects.
const (
	Allow Effect = iota
	Deny
)

// A Policy is a compiled policy document. It is immutable and safe for concurrent use.
type Policy struct {
	kind       Kind
	statements []statement
}

// Parse compiles a policy document. What IAM refuses it refuses with a *MalformedError of IAM's text,
// in IAM's order: syntax first, then the version, then the older parser's rules, then the rest.
func Parse(document []byte, kind Kind) (*Policy, error) {
	root, err := readDocument(document)
	if err != nil {
		return nil, errSyntax
	}
	stmts, version, err := checkSyntax(&root)
	if err != nil {
		return nil, err
	}
	if version != "2012-10-17" && !kind.hasPrincipal() {
		return nil, errVersion
	}
	if err := checkStatements(stmts, kind); err != nil {
		return nil, err
	}
	p := &Policy{kind: kind}
	for _, n := range stmts {
		st, err := compileStatement(n, kind, version == "2012-10-17")
		if err != nil {
			return nil, err
		}
		p.statements = append(p.statements, st)
	}
	return p, nil
}

// Kind returns the kind the policy was parsed as.
func (p *Policy) Kind() Kind { return p.kind }

// Principals lists the AWS principals that the policy names as ARN or unique id, accounts excepted,
// for a check that they exist (InvalidPrincipal is the error when one does not).
func (p *Policy) Principals() []string {
	var out []string
	for i := range p.statements {
		if spec := p.statements[i].principal; spec != nil {
			for _, a := range spec.aws {
				if a.account == "" {
					out = append(out, a.raw)
				}
			}
		}
	}
	return out
}

// ContextKeys lists the condition keys that the policy looks at, in conditions and in policy variables,
// each once, as written.
func (p *Policy) ContextKeys() []string {
	var keys []string
	add := func(key string) {
		if !slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) {
			keys = append(keys, key)
		}
	}
	variables := func(p *pattern) {
		for _, t := range p.tokens {
			if t.kind == variableToken {
				add(t.key)
			}
		}
	}
	for i := range p.statements {
		st := &p.statements[i]
		for j := range st.resources {
			variables(&st.resources[j])
		}
		for j := range st.conditions {
			add(st.conditions[j].key)
			for k := range st.conditions[j].operands {
				variables(&st.conditions[j].operands[k].pattern)
			}
		}
	}
	return keys
}

// Services lists the service principals that the policy names, as written, for a check that IAM
// knows them.
func (p *Policy) Services() []string {
	var out []string
	for i := range p.statements {
		if spec := p.statements[i].principal; spec != nil {
			out = append(out, spec.services...)
		}
	}
	return out
}

var statementElements = map[string]bool{"Sid": true, "Effect": true, "Action": true, "NotAction": true,
	"Resource": true, "NotResource": true, "Principal": true, "NotPrincipal": true, "Condition": true}

// checkSyntax reads the frame of a document: its version and its statements.
func checkSyntax(root *node) ([]*node, string, error) {
	if root.kind != objectNode {
		return nil, "", errSyntax
	}
	version := "2008-10-17" // what a document without one has
	for i := range root.members {
		m := &root.members[i]
		switch m.key {
		case "Version":
			if m.value.kind != stringNode || m.value.text != "2008-10-17" && m.value.text != "2012-10-17" {
				return nil, "", errSyntax
			}
			version = m.value.text
		case "Id":
			if m.value.kind != stringNode {
				return nil, "", errSyntax
			}
		case "Statement":
		default:
			return nil, "", errSyntax
		}
	}
	var stmts []*node
	switch s := root.get("Statement"); {
	case s == nil:
	case s.kind == objectNode:
		stmts = append(stmts, s)
	case s.kind == listNode:
		for i := range s.items {
			stmts = append(stmts, &s.items[i])
		}
	}
	if len(stmts) == 0 {
		return nil, "", errSyntax
	}
	for _, s := range stmts {
		if err := checkStatementSyntax(s); err != nil {
			return nil, "", err
		}
	}
	return stmts, version, nil
}

func checkStatementSyntax(s *node) error {
	if s.kind != objectNode {
		return errSyntax
	}
	for i := range s.members {
		m := &s.members[i]
		ok := statementElements[m.key]
		switch m.key {
		case "Sid":
			ok = m.value.kind == stringNode
		case "Effect":
			ok = m.value.kind == stringNode && (strings.EqualFold(m.value.text, "Allow") || strings.EqualFold(m.value.text, "Deny"))
		case "Action", "NotAction", "Resource", "NotResource":
			_, ok = m.value.texts(false)
		case "Condition":
			ok = conditionSyntax(&m.value)
		}
		if !ok {
			return errSyntax
		}
	}
	both := func(a, b string) bool { return s.get(a) != nil && s.get(b) != nil }
	if s.get("Effect") == nil || both("Action", "NotAction") || both("Resource", "NotResource") || both("Principal", "NotPrincipal") {
		return errSyntax
	}
	return nil
}

// checkStatements applies the rules behind the syntax, each over all statements before the next.
func checkStatements(stmts []*node, kind Kind) error {
	for _, s := range stmts {
		if e := s.get("Effect").text; e != "Allow" && e != "Deny" {
			return errLegacy
		}
		if c := s.get("Condition"); c != nil && !legacyConditions(c) {
			return errLegacy
		}
	}
	resourceErr := firstResourceError(stmts)
	if errors.Is(resourceErr, errLegacy) {
		return errLegacy
	}
	sids := map[string]bool{}
	for _, s := range stmts {
		if sid := s.get("Sid"); sid != nil && sid.text != "" {
			if sids[sid.text] {
				return errSid
			}
			sids[sid.text] = true
		}
	}
	for _, s := range stmts {
		if err := checkPrincipalElement(s, kind); err != nil {
			return err
		}
		if len(elementTexts(s, "Action", "NotAction")) == 0 {
			return errNoActions
		}
	}
	if resourceErr != nil {
		return resourceErr
	}
	for _, s := range stmts {
		for _, a := range elementTexts(s, "Action", "NotAction") {
			if err := checkAction(a); err != nil {
				return err
			}
			if kind == Trust {
				if err := checkTrustAction(a); err != nil {
					return err
				}
			}
		}
	}
	if kind.hasPrincipal() {
		return nil
	}
	for _, s := range stmts {
		if len(elementTexts(s, "Resource", "NotResource")) == 0 {
			return errNoResources
		}
	}
	return nil
}

func checkPrincipalElement(s *node, kind Kind) error {
	present := s.get("Principal") != nil || s.get("NotPrincipal") != nil
	if !kind.hasPrincipal() {
		if present {
			return errHasPrinc
		}
		return nil
	}
	if !present {
		return errNoPrincipal
	}
	if kind == Trust {
		for _, field := range []string{"Resource", "NotResource"} {
			if s.get(field) != nil {
				return errProhibited(field)
			}
		}
	}
	return nil
}

// firstResourceError finds the first bad resource. The older parser looks at the resources up to there
// only, and what it refuses comes first.
func firstResourceError(stmts []*node) error {
	var first error
	for _, s := range stmts {
		list := elementTexts(s, "Resource", "NotResource")
		for _, r := range list {
			if err := checkResource(r); err != nil && first == nil {
				first = err
			}
		}
		if first != nil {
			continue
		}
		for _, r := range list {
			if !legacyResource(r) {
				return errLegacy
			}
		}
	}
	return first
}

// elementTexts returns the texts of the first of two alternative elements that is there.
func elementTexts(s *node, names ...string) []string {
	for _, name := range names {
		if n := s.get(name); n != nil {
			out, _ := n.texts(false)
			return out
		}
	}
	return nil
}
