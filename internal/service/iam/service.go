package iam

import (
	"context"
	"net/url"
	"strings"
	"time"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Service serves the IAM API from the records of a store.
type Service struct {
	iam.Unimplemented
	store    *store.Store
	aws      *identity.AWSPolicies
	policies *identity.Policies

	// Thumbprint finds the SHA-1 of the top certificate that an issuer shows. Without it
	// providers can be made only with thumbprints.
	Thumbprint func(ctx context.Context, issuer string) (string, error)
}

var _ iam.API = (*Service)(nil)

// New returns the IAM API over st and AWS's managed policies.
func New(st *store.Store, aws *identity.AWSPolicies) *Service {
	return &Service{store: st, aws: aws, policies: identity.NewPolicies(aws)}
}

// view runs a read.
func view[Out any](s *Service, f func(tx *store.Tx) (*Out, error)) (*Out, error) {
	return store.Read(s.store, f)
}

// update runs a write.
func update[Out any](ctx context.Context, s *Service, f func(tx *store.Tx) (*Out, error)) (*Out, error) {
	return store.Write(ctx, s.store, f)
}

// arnOf is the ARN of an entity of the account. kind is user, role …
func arnOf(account, kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + kind + path + name
}

// find looks an entity up by name, in any case and under any path.
func find[T any](t *store.Table[T], account, kind, name string, id func(T) (account, name string)) (T, bool) {
	if v, ok := t.Get(arnOf(account, kind, "/", name)); ok {
		return v, true
	}
	for arn, v := range t.All() {
		if a, n := id(v); a == account && strings.EqualFold(n, name) {
			return t.Get(arn)
		}
	}
	var none T
	return none, false
}

// under are the entities of an account below a path.
func under[T any](t *store.Table[T], account string, prefix *string, of func(T) (account, path string)) (out []T) {
	for _, v := range t.All() {
		if a, path := of(v); a == account && strings.HasPrefix(path, pathOr(prefix)) {
			out = append(out, v)
		}
	}
	return out
}

// hasPolicies refuses to delete what policies hang on.
func hasPolicies(attached []string, inline map[string]string) error {
	switch {
	case len(attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return nil
}

func findUser(tx *store.Tx, account, name string) (resource.User, error) {
	u, ok := find(tx.Users, account, "user", name, func(u resource.User) (string, string) { return u.Account, u.Name })
	if !ok {
		return u, noSuchEntity("The user with name %s cannot be found.", name)
	}
	return u, nil
}

func findRole(tx *store.Tx, account, name string) (resource.Role, error) {
	r, ok := find(tx.Roles, account, "role", name, func(r resource.Role) (string, string) { return r.Account, r.Name })
	if !ok {
		return r, noSuchEntity("The role with name %s cannot be found.", name)
	}
	return r, nil
}

func findProfile(tx *store.Tx, account, name string) (resource.InstanceProfile, error) {
	p, ok := find(tx.InstanceProfiles, account, "instance-profile", name,
		func(p resource.InstanceProfile) (string, string) { return p.Account, p.Name })
	if !ok {
		return p, noSuchEntity("Instance Profile %s cannot be found.", name)
	}
	return p, nil
}

// pathOr is the path given, or the root.
func pathOr(p *string) string {
	if p == nil || *p == "" {
		return "/"
	}
	return *p
}

// date is a time as IAM keeps it: in whole seconds.
func date(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// encoded is a policy document as IAM answers it: percent-encoded by RFC 3986.
func encoded(document string) *string {
	return new(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional is nil for the empty string: a member without a value is left out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// callerUser is the user that a call without a user name is about. root is true for the
// root user of the account.
func callerUser(call awsapi.Call) (name string, root bool, err error) {
	switch call.Caller.Type {
	case awsapi.TypeRoot:
		return "", true, nil
	case awsapi.TypeUser:
		return call.Caller.ARN[strings.LastIndexByte(call.Caller.ARN, '/')+1:], false, nil
	}
	return "", false, validation("Must specify userName when calling with non-User credentials")
}
