package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// What all inline policies of a user or role may measure together.
const (
	maxUserInline = 2048
	maxRoleInline = 10240
)

// PutRolePolicy writes an inline policy of a role.
func (s *Service) PutRolePolicy(ctx context.Context, call awsapi.Call, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.PutRolePolicyOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Inline, err = putInline(r.Inline, deref(in.PolicyName), deref(in.PolicyDocument), "role "+r.Name, maxRoleInline); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.PutRolePolicyOutput{}, nil
	})
}

// PutUserPolicy writes an inline policy of a user.
func (s *Service) PutUserPolicy(ctx context.Context, call awsapi.Call, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.PutUserPolicyOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if u.Inline, err = putInline(u.Inline, deref(in.PolicyName), deref(in.PolicyDocument), "user "+u.Name, maxUserInline); err != nil {
			return nil, err
		}
		tx.Users.Put(u.ARN, u)
		return &iam.PutUserPolicyOutput{}, nil
	})
}

func putInline(inline map[string]string, name, document, holder string, limit int) (map[string]string, error) {
	if err := checkDocument(document); err != nil {
		return nil, err
	}
	out := map[string]string{}
	maps.Copy(out, inline)
	out[name] = document
	total := 0
	for _, d := range out {
		total += size(d)
	}
	if total > limit {
		return nil, &iam.LimitExceededException{Message: new(fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s", limit, holder))}
	}
	return out, nil
}

// GetRolePolicy tells what an inline policy of a role says.
func (s *Service) GetRolePolicy(_ context.Context, call awsapi.Call, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetRolePolicyOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		document, ok := r.Inline[deref(in.PolicyName)]
		if !ok {
			return nil, noSuchEntity("The role policy with name %s cannot be found.", deref(in.PolicyName))
		}
		return &iam.GetRolePolicyOutput{RoleName: new(r.Name), PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
	})
}

// GetUserPolicy tells what an inline policy of a user says.
func (s *Service) GetUserPolicy(_ context.Context, call awsapi.Call, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetUserPolicyOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		document, ok := u.Inline[deref(in.PolicyName)]
		if !ok {
			return nil, noSuchEntity("The user policy with name %s cannot be found.", deref(in.PolicyName))
		}
		return &iam.GetUserPolicyOutput{UserName: new(u.Name), PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
	})
}

// ListRolePolicies lists the names of a role's inline policies.
func (s *Service) ListRolePolicies(_ context.Context, call awsapi.Call, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListRolePoliciesOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		names, end, err := page(slices.Collect(maps.Keys(r.Inline)), itself, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListRolePoliciesOutput{PolicyNames: names, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// ListUserPolicies lists the names of a user's inline policies.
func (s *Service) ListUserPolicies(_ context.Context, call awsapi.Call, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListUserPoliciesOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		names, end, err := page(slices.Collect(maps.Keys(u.Inline)), itself, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListUserPoliciesOutput{PolicyNames: names, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// DeleteRolePolicy removes an inline policy of a role.
func (s *Service) DeleteRolePolicy(ctx context.Context, call awsapi.Call, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteRolePolicyOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if _, ok := r.Inline[deref(in.PolicyName)]; !ok {
			return nil, noSuchEntity("The role policy with name %s cannot be found.", deref(in.PolicyName))
		}
		r.Inline = maps.Clone(r.Inline)
		delete(r.Inline, deref(in.PolicyName))
		tx.Roles.Put(r.ARN, r)
		return &iam.DeleteRolePolicyOutput{}, nil
	})
}

// DeleteUserPolicy removes an inline policy of a user.
func (s *Service) DeleteUserPolicy(ctx context.Context, call awsapi.Call, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteUserPolicyOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if _, ok := u.Inline[deref(in.PolicyName)]; !ok {
			return nil, noSuchEntity("The user policy with name %s cannot be found.", deref(in.PolicyName))
		}
		u.Inline = maps.Clone(u.Inline)
		delete(u.Inline, deref(in.PolicyName))
		tx.Users.Put(u.ARN, u)
		return &iam.DeleteUserPolicyOutput{}, nil
	})
}

func itself(s string) string { return s }
