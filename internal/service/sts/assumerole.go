package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	defaultSession = time.Hour
	maxChained     = time.Hour
	maxPacked      = 2048 // characters of session policies and tags
	maxPolicyARNs  = 10
)

// AssumeRole gives the caller credentials of a role.
func (s *Service) AssumeRole(ctx context.Context, call awsapi.Call, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	want, err := s.newGrant(in)
	if err != nil {
		return nil, err
	}
	session, err := s.issue(ctx, call, &want, func(tx *store.Tx) (resource.Role, error) { return s.permit(tx, call, in, &want) })
	if err != nil {
		return nil, err
	}
	out := &sts.AssumeRoleOutput{
		Credentials: describeCredentials(session),
		AssumedRoleUser: &sts.AssumedRoleUser{
			Arn:           new(session.Principal),
			AssumedRoleId: new(session.PrincipalID),
		},
		PackedPolicySize: packedSize(want.Grant),
	}
	if session.SourceID != "" {
		out.SourceIdentity = new(session.SourceID)
	}
	return out, nil
}

// issue makes the session of a role that permit has found and allowed.
func (s *Service) issue(ctx context.Context, call awsapi.Call, want *grant, permit func(tx *store.Tx) (resource.Role, error)) (session resource.Session, err error) {
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		role, err := permit(tx)
		if err != nil {
			return err
		}
		g := want.Grant // permit adds to it
		if err := checkLifetime(role, g); err != nil {
			return err
		}
		g.Lifetime = s.Lifetime.Of(g.Lifetime)
		session = identity.NewSession(tx, role, g, call.Time)
		role.LastUsed, role.LastRegion = session.Issued, call.Region
		tx.Roles.Put(role.ARN, role)
		return nil
	})
	return session, err
}

// A grant is what a request for credentials asks for.
type grant struct{ identity.Grant }

// newGrant checks what can be checked of a request without any record.
func (s *Service) newGrant(in *sts.AssumeRoleInput) (grant, error) {
	g := grant{identity.Grant{
		Name:     deref(in.RoleSessionName),
		Lifetime: defaultSession,
		SourceID: deref(in.SourceIdentity),
		Tags:     resource.Tags{},
	}}
	if in.DurationSeconds != nil {
		g.Lifetime = time.Duration(*in.DurationSeconds) * time.Second
	}
	if len(in.ProvidedContexts) > 0 {
		return g, validation("ProvidedContexts are not supported yet.")
	}
	if p := deref(in.Policy); p != "" {
		if _, err := s.Policies.Compile(p, authz.Session); err != nil {
			return g, malformed(err)
		}
		g.Policies = []string{p}
	}
	if len(in.PolicyArns) > maxPolicyARNs {
		return g, validation("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicyARNs)
	}
	for _, p := range in.PolicyArns {
		g.PolicyARNs = append(g.PolicyARNs, deref(p.Arn))
	}
	for _, t := range in.Tags {
		if reserved(deref(t.Key)) {
			return g, awsapi.Errorf("InvalidParameterValue", 400, "Tag keys starting with 'aws:' are reserved for system use.")
		}
		if !g.SetTag(deref(t.Key), deref(t.Value)) {
			return g, awsapi.Errorf("InvalidParameterValue", 400, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	for _, key := range in.TransitiveTagKeys {
		if !g.HandOn(key) {
			return g, awsapi.Errorf("InvalidParameterValue", 400, "The specified transitive tag key must be included in the requested tags.")
		}
	}
	return g, g.fits()
}

// reserved says whether a tag's key is one of AWS's own.
func reserved(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }

// managed checks that an account has the managed policies that a session is to have.
func (s *Service) managed(tx *store.Tx, account string, arns []string) error {
	for _, arn := range arns {
		if _, ok := s.Policies.Document(tx, account, arn); !ok {
			return awsapi.Errorf("InvalidParameterValue", 400, "PolicyArns: %s does not exist or is not attachable.", arn)
		}
	}
	return nil
}

// fits refuses more policies and tags than a session has room for.
func (g *grant) fits() error {
	if n := packed(g.Grant); n > maxPacked {
		return &sts.PackedPolicyTooLargeException{Message: new(fmt.Sprintf(
			"Packed size of session tags and session policies consumes %d%% of allotted space.", n*100/maxPacked))}
	}
	return nil
}

// packedSize is how much of that room is used, in percent; nil for nothing.
func packedSize(g identity.Grant) *int32 {
	n := packed(g)
	if n == 0 {
		return nil
	}
	return new(int32(max(1, n*100/maxPacked)))
}

// packed is how much room a session's policies and tags take. AWS compresses them by a
// way of its own; here they are counted as they are.
func packed(g identity.Grant) (n int) {
	for _, p := range g.Policies {
		n += len(p)
	}
	for _, p := range g.PolicyARNs {
		n += len(p)
	}
	for k, v := range g.Tags {
		n += len(k) + len(v)
	}
	return n
}

// permit finds the role and decides whether the caller may have it. It adds to the
// grant what the caller's own session hands on.
func (s *Service) permit(tx *store.Tx, call awsapi.Call, in *sts.AssumeRoleInput, g *grant) (resource.Role, error) {
	arn := deref(in.RoleArn)
	req := authz.Request{
		Principal: identity.Caller(call.Caller),
		Action:    "sts:AssumeRole",
		Resources: []string{arn},
		Context:   identity.Context(call),
	}
	if call.Caller.Type == awsapi.TypeRoot {
		return resource.Role{}, identity.Denial("sts", "Roles may not be assumed by root accounts.")
	}
	role, ok := tx.Roles.Get(arn)
	if !ok { // AWS does not tell whether it is there
		return role, identity.Denial("sts", authz.Decision{Reason: authz.ImplicitDeny, Kind: authz.Trust, Resource: arn}.DenyMessage(req))
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return role, identity.Denial("sts", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	if err := s.managed(tx, role.Account, g.PolicyARNs); err != nil {
		return role, err
	}
	if own, ok := tx.Sessions.Get(call.Caller.AccessKeyID); ok && own.Role != "" {
		if err := g.Inherit(own); err != nil {
			return role, err
		}
		if err := g.fits(); err != nil {
			return role, err
		}
	}
	policies, tags, err := s.Policies.Of(tx, call.Caller)
	if err != nil {
		return role, fmt.Errorf("finding the policies of %s: %w", call.Caller.ARN, err)
	}
	policies.Resource, err = s.Policies.Compile(identity.Trust(tx, role), authz.Trust)
	if err != nil {
		return role, fmt.Errorf("trust policy of %s: %w", role.ARN, err)
	}
	req.ResourceAccount = role.Account
	maps.Copy(req.Context, tags)
	maps.Copy(req.Context, g.Keys(role))
	if in.ExternalId != nil {
		req.Context["sts:ExternalId"] = []string{*in.ExternalId}
	}
	for _, action := range g.Actions(req.Action) {
		req.Action = action
		if d := authz.Evaluate(policies, req); !d.Allowed {
			return role, identity.Denial("sts", d.DenyMessage(req))
		}
	}
	return role, nil
}

func checkLifetime(role resource.Role, g identity.Grant) error {
	if g.Chained && g.Lifetime > maxChained {
		return validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	if g.Lifetime > time.Duration(role.MaxSession)*time.Second {
		return validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return nil
}

func describeCredentials(s resource.Session) *sts.Credentials {
	return &sts.Credentials{
		AccessKeyId:     new(s.AccessKeyID),
		SecretAccessKey: new(s.Secret),
		SessionToken:    new(s.Token),
		Expiration:      new(s.Expires),
	}
}

func validation(format string, args ...any) error {
	return awsapi.Errorf("ValidationError", 400, format, args...)
}

// malformed turns what package authz refuses into STS's error.
func malformed(err error) error {
	var m *authz.MalformedError
	if errors.As(err, &m) {
		return &sts.MalformedPolicyDocumentException{Message: &m.Message}
	}
	return err
}
