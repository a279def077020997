// Package sts serves the STS API: who a caller is, and temporary credentials of roles.
//
// Whether a caller may assume a role is decided here and not by the front door, since
// two sides have a say: the caller's own policies and the role's trust policy. Within
// an account a trust policy that names the caller itself is enough; one that names the account
// leaves it to the caller's policies; across accounts both have to allow. Package authz knows the rules.
//
// Temporary credentials are records (resource.Session), so that they end when their
// role does. AssumeRoleWithWebIdentity verifies tokens by the keys of our clusters' own
// issuers, which are in the store, and of others by Config.IssuerKeys; the package itself
// dials nobody. It serves no SAML and no MFA.
package sts

import (
	"context"

	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/store"
)

// Config is what a Service is made of.
type Config struct {
	Store    *store.Store
	Policies *identity.Policies
	Lifetime identity.Lifetime // of all sessions

	// IssuerKeys asks an issuer that is no cluster's of ours for its keys. nil: none can be reached.
	IssuerKeys func(ctx context.Context, issuer string) (IssuerKeys, error)
}

// A Service serves the STS API.
type Service struct {
	sts.Unimplemented
	Config
}

var _ sts.API = (*Service)(nil)

// New returns the STS API.
func New(c Config) *Service { return &Service{Config: c} }

// GetCallerIdentity tells callers who they are.
func (s *Service) GetCallerIdentity(_ context.Context, call awsapi.Call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{
		UserId:  new(call.Caller.ID),
		Account: new(call.Caller.Account),
		Arn:     new(call.Caller.ARN),
	}, nil
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
