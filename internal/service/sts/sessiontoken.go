package sts

import (
	"context"
	"time"

	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	defaultOwn = 12 * time.Hour
	maxRootOwn = time.Hour
)

// GetSessionToken gives users and root temporary credentials of their own.
func (s *Service) GetSessionToken(ctx context.Context, call awsapi.Call, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if err := lasting(call); err != nil {
		return nil, err
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, identity.Denial("sts", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	session, err := s.own(ctx, call, identity.Grant{Lifetime: ownLifetime(call, in.DurationSeconds)})
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenOutput{Credentials: describeCredentials(session)}, nil
}

// GetFederationToken gives a user, or root, credentials for somebody else: they may do
// what both the user and the policies in the request allow.
func (s *Service) GetFederationToken(ctx context.Context, call awsapi.Call, in *sts.GetFederationTokenInput) (*sts.GetFederationTokenOutput, error) {
	if err := lasting(call); err != nil {
		return nil, err
	}
	g, err := s.newGrant(&sts.AssumeRoleInput{RoleSessionName: in.Name, Policy: in.Policy, PolicyArns: in.PolicyArns, Tags: in.Tags})
	if err != nil {
		return nil, err
	}
	g.Lifetime = ownLifetime(call, in.DurationSeconds)
	session, err := s.own(ctx, call, g.Grant)
	if err != nil {
		return nil, err
	}
	return &sts.GetFederationTokenOutput{
		Credentials:      describeCredentials(session),
		FederatedUser:    &sts.FederatedUser{Arn: new(session.Principal), FederatedUserId: new(session.PrincipalID)},
		PackedPolicySize: packedSize(g.Grant),
	}, nil
}

// lasting refuses callers whose credentials are temporary themselves.
func lasting(call awsapi.Call) error {
	if !call.Caller.Expires.IsZero() {
		return identity.Denial("sts", "Cannot call "+call.Operation+" with session credentials")
	}
	return nil
}

// ownLifetime is how long a user's own session lasts; root's never more than an hour.
func ownLifetime(call awsapi.Call, seconds *int32) time.Duration {
	d := defaultOwn
	if seconds != nil {
		d = time.Duration(*seconds) * time.Second
	}
	if call.Caller.Type == awsapi.TypeRoot {
		return min(d, maxRootOwn)
	}
	return d
}

func (s *Service) own(ctx context.Context, call awsapi.Call, g identity.Grant) (session resource.Session, err error) {
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := s.managed(tx, call.Caller.Account, g.PolicyARNs); err != nil {
			return err
		}
		g.Lifetime = s.Lifetime.Of(g.Lifetime)
		session = identity.NewUserSession(tx, call.Caller, g, call.Time)
		return nil
	})
	return session, err
}

// GetAccessKeyInfo tells whose account an access key is of, for anybody who asks.
func (s *Service) GetAccessKeyInfo(_ context.Context, _ awsapi.Call, in *sts.GetAccessKeyInfoInput) (out *sts.GetAccessKeyInfoOutput, err error) {
	err = s.Store.View(func(tx *store.Tx) error {
		id := deref(in.AccessKeyId)
		if k, ok := tx.AccessKeys.Get(id); ok {
			out = &sts.GetAccessKeyInfoOutput{Account: &k.Account}
		} else if session, ok := tx.Sessions.Get(id); ok {
			out = &sts.GetAccessKeyInfoOutput{Account: &session.Account}
		} else {
			return validation("Invalid Access Key ID: %s", id)
		}
		return nil
	})
	return out, err
}

// DecodeAuthorizationMessage opens what EC2 encodes in its denials.
func (s *Service) DecodeAuthorizationMessage(_ context.Context, call awsapi.Call, in *sts.DecodeAuthorizationMessageInput) (out *sts.DecodeAuthorizationMessageOutput, err error) {
	err = s.Store.View(func(tx *store.Tx) error {
		text, ok := identity.DecodeFailure(tx, call.Account, deref(in.EncodedMessage))
		if !ok {
			return &sts.InvalidAuthorizationMessageException{Message: new("Message is not valid")}
		}
		out = &sts.DecodeAuthorizationMessageOutput{DecodedMessage: &text}
		return nil
	})
	return out, err
}
