package authz

import (
	"strings"
)

// A Source is a policy with the name by which a Decision refers to it: an ARN, or an inline policy's name.
type Source struct {
	Name   string
	Policy *Policy
}

// Inputs are the policies that apply to a request. Finding them is the caller's work.
type Inputs struct {
	// Identity holds what is attached to the principal: its own policies and its groups'. A root user
	// has none and needs none.
	Identity []Source
	// Resource is the policy of the resource, or the role's trust policy; nil if there is none.
	Resource *Policy
	// ResourceRequired says that without the resource policy nobody is allowed, not even within the
	// account, as for KMS keys. Trust policies always are.
	ResourceRequired bool
	// Boundary is the principal's permissions boundary, nil if it has none.
	Boundary *Policy
	// BoundaryARN is the boundary's name.
	BoundaryARN string
	// Session holds the session policies, empty if the session was made without. Together they allow
	// what one of them allows.
	Session []Source
	// ServiceControl holds the organization's policies, one list for each level from the root down.
	ServiceControl [][]Source
}

// A Request is what somebody wants to do.
type Request struct {
	Principal Principal
	Action    string   // eks:CreateCluster
	Resources []string // ARNs; none means "*"
	// ResourceAccount owns the resources; empty means the principal's own account.
	ResourceAccount string
	// Context holds the values of the condition keys. Names are matched in any case; an empty list is an
	// absent key. Nothing is added to it: see Principal.Context for the keys that follow from the caller.
	Context map[string][]string
	// ResourceContext[i], when there, goes before Context for Resources[i]: tags differ by resource.
	ResourceContext []map[string][]string
}

// Reason is how a decision came about.
type Reason uint8

// The reasons.
const (
	Allowed      Reason = iota
	ExplicitDeny        // a statement denies it
	ImplicitDeny        // no statement of the named kind allows it
)

// A Decision is the answer to a request.
type Decision struct {
	Allowed bool
	Reason  Reason
	// Kind is the kind of policy that denied, or that failed to allow; when allowed, the one that allowed.
	Kind Kind
	// Resource is the resource that was denied, or the last one that was allowed.
	Resource string
	// Statement is the statement that denied or allowed. It is zero for an implicit deny, and where a
	// root user needed no policy.
	Statement Statement
}

// A Statement names a statement of a policy.
type Statement struct {
	Source string // the Source's name, or the boundary's ARN; empty for Inputs.Resource
	Sid    string
	Index  int // 1 is the first
}

// Evaluate decides a request. It is allowed if it is for each of its resources; of several denials an
// explicit one is reported first.
func Evaluate(in Inputs, req Request) Decision {
	var buf [96]byte
	action := buf[:0]
	for i := range len(req.Action) {
		action = append(action, lower(req.Action[i]))
	}
	e := evaluation{in: &in, principal: &req.Principal, action: req.Action, lowerAction: action}
	e.crossAccount = req.ResourceAccount != "" && req.ResourceAccount != req.Principal.Account
	e.values.second = req.Context
	if len(req.Resources) == 0 {
		return e.decide("*")
	}
	var result Decision
	for i, r := range req.Resources {
		e.values.first = nil
		if i < len(req.ResourceContext) {
			e.values.first = req.ResourceContext[i]
		}
		d := e.decide(r)
		if d.Reason == ExplicitDeny {
			return d
		}
		if i == 0 || result.Allowed {
			result = d
		}
	}
	return result
}

// values finds the values of condition keys, the first map's before the second's.
type values struct{ first, second map[string][]string }

func (v *values) lookup(key string) []string {
	if list := find(v.first, key); len(list) > 0 {
		return list
	}
	return find(v.second, key)
}

func find(m map[string][]string, key string) []string {
	if list, ok := m[key]; ok {
		return list
	}
	// Resources may have tags whose keys differ in their case alone. Of these the first in
	// byte order counts, the same one each time.
	var found string
	var values []string
	for k, list := range m {
		if strings.EqualFold(k, key) && (values == nil || k < found) {
			found, values = k, list
		}
	}
	return values
}

// variable gives a policy variable its value; a key with several values has none.
func (v *values) variable(key string) (string, bool) {
	if v == nil {
		return "", false
	}
	if list := v.lookup(key); len(list) == 1 {
		return list[0], true
	}
	return "", false
}

// evaluation is one request against one of its resources.
type evaluation struct {
	in           *Inputs
	principal    *Principal
	action       string
	lowerAction  []byte
	crossAccount bool
	resource     string
	values       values
}

// outcome is what one or more policies say: the statement that denies, or else the one that allows.
type outcome struct {
	denies, allows bool
	grant          grant // whom an allowing resource policy names
	statement      Statement
}

func (e *evaluation) decide(resource string) Decision {
	e.resource = resource
	deny := func(k Kind, o outcome) Decision {
		return Decision{Reason: ExplicitDeny, Kind: k, Resource: resource, Statement: o.statement}
	}
	implicit := func(k Kind) Decision { return Decision{Reason: ImplicitDeny, Kind: k, Resource: resource} }
	allow := func(k Kind, o outcome) Decision {
		return Decision{Allowed: true, Kind: k, Resource: resource, Statement: o.statement}
	}

	organization := true
	for _, level := range e.in.ServiceControl {
		o := e.sources(level)
		if o.denies {
			return deny(ServiceControl, o)
		}
		organization = organization && o.allows
	}
	byResource, resourceKind := e.policy(e.in.Resource), Resource
	if e.in.Resource != nil {
		resourceKind = e.in.Resource.kind
	}
	if byResource.denies {
		return deny(resourceKind, byResource)
	}
	byIdentity := e.sources(e.in.Identity)
	if byIdentity.denies {
		return deny(Identity, byIdentity)
	}
	byBoundary := e.policy(e.in.Boundary)
	if byBoundary.denies {
		byBoundary.statement.Source = e.in.BoundaryARN
		return deny(Boundary, byBoundary)
	}
	bySession := e.sources(e.in.Session)
	if bySession.denies {
		return deny(Session, bySession)
	}

	if !organization {
		return implicit(ServiceControl)
	}
	switch e.principal.Type {
	case Anonymous, WebIdentity, Service: // nobody attaches policies to them
		if !byResource.allows {
			return implicit(resourceKind)
		}
		return allow(resourceKind, byResource)
	}
	required := e.crossAccount || e.in.ResourceRequired || resourceKind == Trust
	if required && !byResource.allows {
		return implicit(resourceKind)
	}
	if !e.crossAccount && byResource.allows && byResource.grant == directGrant {
		return allow(resourceKind, byResource)
	}
	granted, grantedBy := byIdentity, Identity
	if e.principal.Type == Root {
		granted.allows = true
	}
	if !granted.allows && !e.crossAccount && byResource.grant == roleGrant {
		granted, grantedBy = byResource, resourceKind
	}
	if !granted.allows {
		return implicit(Identity)
	}
	if e.in.Boundary != nil && !byBoundary.allows {
		return implicit(Boundary)
	}
	// A federated user has what its session policies leave of the user's rights: without any, nothing.
	if (len(e.in.Session) > 0 || e.principal.Type == FederatedUser) && !bySession.allows {
		return implicit(Session)
	}
	return allow(grantedBy, granted)
}

// sources is what a set of policies says: one deny denies, one allow allows.
func (e *evaluation) sources(list []Source) outcome {
	var result outcome
	for i := range list {
		o := e.policy(list[i].Policy)
		o.statement.Source = list[i].Name
		if o.denies {
			return o
		}
		if o.allows && !result.allows {
			result = o
		}
	}
	return result
}

// policy is what one policy says; nil says nothing.
func (e *evaluation) policy(p *Policy) outcome {
	var result outcome
	if p == nil {
		return result
	}
	for i := range p.statements {
		st := &p.statements[i]
		if st.effect == Allow && result.allows && (st.principal == nil || result.grant == directGrant) {
			continue // nothing to gain
		}
		g, ok := e.matches(st)
		if !ok || st.effect == Allow && result.allows && g <= result.grant {
			continue
		}
		result.statement = Statement{Sid: st.sid, Index: i + 1}
		if st.effect == Deny {
			result.denies = true
			return result
		}
		result.allows, result.grant = true, g
	}
	return result
}

// matches says whether a statement applies to the request, and whom of the caller it names.
func (e *evaluation) matches(st *statement) (grant, bool) {
	if st.actions.match(e.lowerAction, e.action) == st.notAction {
		return noGrant, false
	}
	g := noGrant
	if st.principal != nil {
		if st.notPrincipal {
			if st.principal.excludes(e.principal, st.effect) {
				return noGrant, false
			}
			g = directGrant
		} else if g = st.principal.match(e.principal); g == noGrant {
			return noGrant, false
		}
	}
	if !st.anyResource && e.matchesResource(st) == st.notResource {
		return noGrant, false
	}
	for i := range st.conditions {
		if !st.conditions[i].holds(&e.values) {
			return noGrant, false
		}
	}
	return g, true
}

func (e *evaluation) matchesResource(st *statement) bool {
	for i := range st.resources {
		if st.resources[i].match(e.resource, false, &e.values) {
			return true
		}
	}
	return false
}
