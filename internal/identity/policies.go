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

// Document returns what the default version of a managed policy says, AWS's or one of the
// account's own. Nobody uses the policies of another account.
func (p *Policies) Document(tx *store.Tx, account, arn string) (string, bool) {
	c, ok := tx.Policies.Get(arn)
	if ok && c.Account != account {
		return "", false
	}
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

// Of returns what applies to a caller, and the condition keys of its tags and its session's
// origin: its own policies and its groups', its boundary, its session's policies. A policy that has been
// deleted since it was attached says nothing; one that does not parse is an error, since what it would deny is unknown.
func (p *Policies) Of(tx *store.Tx, caller awsapi.Principal) (authz.Inputs, map[string][]string, error) {
	var in authz.Inputs
	holder := caller.ARN
	session, recorded := tx.Sessions.Get(caller.AccessKeyID)
	switch caller.Type {
	case awsapi.TypeAssumedRole:
		r, ok := tx.Roles.Get(caller.RoleARN)
		if !ok || !strings.HasPrefix(caller.ID, r.ID+":") {
			return in, nil, nil
		}
		holder = caller.RoleARN
	case awsapi.TypeUser:
		if !isUser(tx, holder, caller.ID) {
			return in, nil, nil
		}
	case awsapi.TypeFederatedUser: // has what its session policies leave of its maker's rights
		if !recorded {
			return in, nil, nil
		}
		holder = session.User
		if holder != RootARN(caller.Account) && !isUser(tx, holder, session.UserID) {
			return in, nil, nil
		}
	}
	in, own, err := p.Held(tx, holder)
	if err != nil {
		return in, nil, err
	}
	if caller.Type == awsapi.TypeFederatedUser {
		own = nil
		if holder == RootARN(caller.Account) {
			in.Identity = []authz.Source{{Policy: everything}}
		}
	}
	for i, document := range caller.SessionPolicies {
		c, err := p.Compile(document, authz.Session)
		if err != nil {
			return in, nil, fmt.Errorf("session policy of %s: %w", caller.ARN, err)
		}
		var name string
		if i -= len(session.Policies); recorded && i >= 0 && i < len(session.PolicyARNs) { // the managed ones come last
			name = session.PolicyARNs[i]
		}
		in.Session = append(in.Session, authz.Source{Name: name, Policy: c})
	}
	keys := sessionKeys(tx, session)
	maps.Copy(keys, tagKeys(own, caller.SessionTags))
	return in, keys, nil
}

// OfResource is the policy that a resource has itself, nil where it has none: of what there is
// here, only queues have such.
func (p *Policies) OfResource(tx *store.Tx, arns []string) (*authz.Policy, error) {
	if len(arns) != 1 || !strings.HasPrefix(arns[0], "arn:aws:sqs:") {
		return nil, nil
	}
	q, ok := tx.Queues.Get(arns[0])
	if !ok || q.Attributes["Policy"] == "" {
		return nil, nil
	}
	c, err := p.Compile(q.Attributes["Policy"], authz.Resource)
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", q.ARN, err)
	}
	return c, nil
}

// everything is what a root user may do.
var everything = mustParse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)

func mustParse(document string) *authz.Policy {
	p, err := authz.Parse([]byte(document), authz.Identity)
	if err != nil {
		panic(err) // a mistake in this file, found by every test
	}
	return p
}

// Held returns the policies and the boundary of a user, group or role by its ARN, and its
// tags. Of one that does not exist there are none.
func (p *Policies) Held(tx *store.Tx, arn string) (in authz.Inputs, tags resource.Tags, err error) {
	var boundary, account string
	if u, ok := tx.Users.Get(arn); ok {
		account, boundary, tags = u.Account, u.Boundary, u.Tags
		if err := p.hold(&in, tx, u.Account, arn, u.Attached, u.Inline); err != nil {
			return in, nil, err
		}
		for _, group := range u.Groups {
			g, _ := tx.Groups.Get(group)
			if err := p.hold(&in, tx, u.Account, group, g.Attached, g.Inline); err != nil {
				return in, nil, err
			}
		}
	} else if r, ok := tx.Roles.Get(arn); ok {
		account, boundary, tags = r.Account, r.Boundary, r.Tags
		err = p.hold(&in, tx, account, arn, r.Attached, r.Inline)
	} else if g, ok := tx.Groups.Get(arn); ok {
		err = p.hold(&in, tx, g.Account, arn, g.Attached, g.Inline)
	}
	if err != nil || boundary == "" {
		return in, tags, err
	}
	var b []authz.Source
	if err := p.add(&b, tx, account, boundary, authz.Boundary); err != nil {
		return in, nil, err
	}
	if len(b) == 0 { // deleted under the principal's feet: nothing is within it
		b = []authz.Source{{Policy: &authz.Policy{}}}
	}
	in.Boundary, in.BoundaryARN = b[0].Policy, boundary
	return in, tags, nil
}

// hold adds attached and inline policies.
func (p *Policies) hold(in *authz.Inputs, tx *store.Tx, account, holder string, attached []string, inline map[string]string) error {
	for _, arn := range attached {
		if err := p.add(&in.Identity, tx, account, arn, authz.Identity); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		c, err := p.Compile(inline[name], authz.Identity)
		if err != nil {
			return fmt.Errorf("inline policy %s of %s: %w", name, holder, err)
		}
		in.Identity = append(in.Identity, authz.Source{Name: name, Policy: c})
	}
	return nil
}

// ServiceMayAssume says whether a role's trust policy lets an AWS service
// (eks.amazonaws.com) assume it on behalf of source, the ARN of the role's account's resource
// that the service works for. Trust policies ask for both, against confused deputies.
func (p *Policies) ServiceMayAssume(tx *store.Tx, role resource.Role, service, source string) (bool, error) {
	trust, err := p.Compile(Trust(tx, role), authz.Trust)
	if err != nil {
		return false, fmt.Errorf("trust policy of %s: %w", role.ARN, err)
	}
	who := authz.Principal{Type: authz.Service, Provider: service}
	ctx := who.Context()
	ctx["aws:SourceAccount"] = []string{role.Account}
	ctx["aws:SourceArn"] = []string{source}
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

func (p *Policies) add(to *[]authz.Source, tx *store.Tx, account, arn string, kind authz.Kind) error {
	document, ok := p.Document(tx, account, arn)
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

// tagKeys are a principal's tags as condition keys; a session's go before its role's, in
// whatever case either is written.
func tagKeys(own, session map[string]string) map[string][]string {
	if len(own)+len(session) == 0 {
		return nil
	}
	out := make(map[string][]string, len(own)+len(session))
	for k, v := range own {
		if _, ok := foldedKey(session, k); !ok {
			out["aws:PrincipalTag/"+k] = []string{v}
		}
	}
	for k, v := range session {
		out["aws:PrincipalTag/"+k] = []string{v}
	}
	return out
}
