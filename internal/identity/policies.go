package identity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Policies finds the policies that apply to principals, and compiles each document
// once. It is safe for concurrent use.
type Policies struct {
	aws *AWSPolicies

	mu       sync.RWMutex
	compiled map[text]*authz.Policy
}

type text struct {
	kind     authz.Kind
	document string
}

// maxCompiled bounds the documents that are kept compiled: old versions are never asked
// for again and there is nobody to say so.
const maxCompiled = 10_000

// NewPolicies returns an empty cache.
func NewPolicies(aws *AWSPolicies) *Policies {
	return &Policies{aws: aws, compiled: map[text]*authz.Policy{}}
}

// Compile is authz.Parse, remembered.
func (p *Policies) Compile(document string, kind authz.Kind) (*authz.Policy, error) {
	key := text{kind, document}
	p.mu.RLock()
	c := p.compiled[key]
	p.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	c, err := authz.Parse([]byte(document), kind)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.compiled) >= maxCompiled {
		clear(p.compiled)
	}
	p.compiled[key] = c
	return c, nil
}

// Document returns what the default version of a managed policy says, AWS's or a
// customer's.
func (p *Policies) Document(tx *store.Tx, arn string) (string, bool) {
	c, ok := tx.Policies.Get(arn)
	if !ok {
		if c, ok = p.aws.Get(arn); !ok {
			return "", false
		}
	}
	for _, v := range c.Versions {
		if v.ID == c.Default {
			return v.Document, true
		}
	}
	return "", false
}

// Of returns what applies to a caller, and the caller's tags as condition keys: its own
// policies, its boundary, its session's policies. A policy that has been deleted since
// it was attached says nothing; one that does not parse is an error, since what it would deny is unknown.
func (p *Policies) Of(tx *store.Tx, caller awsapi.Principal) (authz.Inputs, map[string][]string, error) {
	var in authz.Inputs
	var attached []string
	var inline map[string]string
	var boundary string
	var tags map[string]string
	switch caller.Type {
	case awsapi.TypeUser:
		u, ok := tx.Users.Get(caller.ARN)
		if !ok {
			return in, nil, nil
		}
		attached, inline, boundary, tags = u.Attached, u.Inline, u.Boundary, u.Tags
	case awsapi.TypeAssumedRole:
		r, ok := tx.Roles.Get(caller.RoleARN)
		if !ok || !strings.HasPrefix(caller.ID, r.ID+":") {
			return in, nil, nil
		}
		attached, inline, boundary, tags = r.Attached, r.Inline, r.Boundary, r.Tags
	}
	for _, arn := range attached {
		if err := p.add(&in.Identity, tx, arn, authz.Identity); err != nil {
			return in, nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		c, err := p.Compile(inline[name], authz.Identity)
		if err != nil {
			return in, nil, fmt.Errorf("inline policy %s of %s: %w", name, caller.ARN, err)
		}
		in.Identity = append(in.Identity, authz.Source{Name: name, Policy: c})
	}
	if boundary != "" {
		var b []authz.Source
		if err := p.add(&b, tx, boundary, authz.Boundary); err != nil {
			return in, nil, err
		}
		if len(b) == 0 { // deleted under the principal's feet: nothing is within it
			b = []authz.Source{{Policy: &authz.Policy{}}}
		}
		in.Boundary = b[0].Policy
	}
	for _, document := range caller.SessionPolicies {
		c, err := p.Compile(document, authz.Session)
		if err != nil {
			return in, nil, fmt.Errorf("session policy of %s: %w", caller.ARN, err)
		}
		in.Session = append(in.Session, authz.Source{Policy: c})
	}
	return in, tagKeys(tags, caller.SessionTags), nil
}

// ServiceMayAssume says whether a role's trust policy lets an AWS service
// (eks.amazonaws.com) assume it on behalf of the role's account.
func (p *Policies) ServiceMayAssume(tx *store.Tx, role resource.Role, service string) (bool, error) {
	trust, err := p.Compile(Trust(tx, role), authz.Trust)
	if err != nil {
		return false, fmt.Errorf("trust policy of %s: %w", role.ARN, err)
	}
	who := authz.Principal{Type: authz.Service, Provider: service}
	ctx := who.Context()
	ctx["aws:SourceAccount"] = []string{role.Account}
	d := authz.Evaluate(authz.Inputs{Resource: trust, ResourceRequired: true}, authz.Request{
		Principal: who, Action: "sts:AssumeRole", Resources: []string{role.ARN}, ResourceAccount: role.Account, Context: ctx,
	})
	return d.Allowed, nil
}

// RoleAllows says whether a role's own policies and boundary let its sessions do an action
// on a resource ("*" for any).
func (p *Policies) RoleAllows(tx *store.Tx, role resource.Role, action, res string) (bool, error) {
	caller := awsapi.Principal{
		ARN:     "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + role.Name,
		Account: role.Account,
		ID:      role.ID + ":" + role.Name,
		Type:    awsapi.TypeAssumedRole,
		RoleARN: role.ARN,
	}
	in, tags, err := p.Of(tx, caller)
	if err != nil {
		return false, err
	}
	who := Caller(caller)
	ctx := who.Context()
	maps.Copy(ctx, tags)
	return authz.Evaluate(in, authz.Request{Principal: who, Action: action, Resources: []string{res}, Context: ctx}).Allowed, nil
}

func (p *Policies) add(to *[]authz.Source, tx *store.Tx, arn string, kind authz.Kind) error {
	document, ok := p.Document(tx, arn)
	if !ok {
		return nil
	}
	c, err := p.Compile(document, kind)
	if err != nil {
		return fmt.Errorf("policy %s: %w", arn, err)
	}
	*to = append(*to, authz.Source{Name: arn, Policy: c})
	return nil
}

// tagKeys are a principal's tags as condition keys; a session's go before its role's.
func tagKeys(own, session map[string]string) map[string][]string {
	if len(own)+len(session) == 0 {
		return nil
	}
	out := make(map[string][]string, len(own)+len(session))
	for _, tags := range []map[string]string{own, session} {
		for k, v := range tags {
			out["aws:PrincipalTag/"+k] = []string{v}
		}
	}
	return out
}
