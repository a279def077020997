package iam

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

const maxAttached = 10

// AttachRolePolicy hangs a managed policy on a role. Once more is no error.
func (s *Service) AttachRolePolicy(ctx context.Context, call awsapi.Call, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.AttachRolePolicyOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Attached, err = s.attach(tx, call.Account, r.Attached, deref(in.PolicyArn), "PoliciesPerRole"); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.AttachRolePolicyOutput{}, nil
	})
}

// AttachUserPolicy hangs a managed policy on a user. Once more is no error.
func (s *Service) AttachUserPolicy(ctx context.Context, call awsapi.Call, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.AttachUserPolicyOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if u.Attached, err = s.attach(tx, call.Account, u.Attached, deref(in.PolicyArn), "PoliciesPerUser"); err != nil {
			return nil, err
		}
		tx.Users.Put(u.ARN, u)
		return &iam.AttachUserPolicyOutput{}, nil
	})
}

// DetachRolePolicy takes a managed policy off a role.
func (s *Service) DetachRolePolicy(ctx context.Context, call awsapi.Call, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DetachRolePolicyOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Attached, err = detach(r.Attached, deref(in.PolicyArn)); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.DetachRolePolicyOutput{}, nil
	})
}

// DetachUserPolicy takes a managed policy off a user.
func (s *Service) DetachUserPolicy(ctx context.Context, call awsapi.Call, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DetachUserPolicyOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if u.Attached, err = detach(u.Attached, deref(in.PolicyArn)); err != nil {
			return nil, err
		}
		tx.Users.Put(u.ARN, u)
		return &iam.DetachUserPolicyOutput{}, nil
	})
}

// ListAttachedRolePolicies lists the managed policies that hang on a role.
func (s *Service) ListAttachedRolePolicies(_ context.Context, call awsapi.Call, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListAttachedRolePoliciesOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		list, end, err := listAttached(r.Attached, pathOr(in.PathPrefix), in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// ListAttachedUserPolicies lists the managed policies that hang on a user.
func (s *Service) ListAttachedUserPolicies(_ context.Context, call awsapi.Call, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListAttachedUserPoliciesOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		list, end, err := listAttached(u.Attached, pathOr(in.PathPrefix), in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

func (s *Service) attach(tx *store.Tx, account string, attached []string, arn, quota string) ([]string, error) {
	p, ok := s.findPolicy(tx, account, arn)
	if !ok {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", arn)
	}
	if awsOwned(arn) && strings.HasPrefix(p.Path, "/aws-service-role/") {
		return nil, &iam.PolicyNotAttachableException{Message: new("Cannot attach a Service Role Policy to a Customer Role.")}
	}
	if slices.Contains(attached, arn) {
		return attached, nil
	}
	if len(attached) >= maxAttached {
		return nil, overQuota(quota, maxAttached)
	}
	return append(slices.Clone(attached), arn), nil
}

func detach(attached []string, arn string) ([]string, error) {
	if !slices.Contains(attached, arn) {
		return nil, noSuchEntity("Policy %s was not found.", arn)
	}
	return slices.DeleteFunc(slices.Clone(attached), func(a string) bool { return a == arn }), nil
}

func listAttached(attached []string, prefix string, marker *string, max *int32) ([]iam.AttachedPolicy, cut, error) {
	list := []iam.AttachedPolicy{}
	for _, arn := range attached {
		_, path, _ := strings.Cut(arn, ":policy") // "/path/Name"
		slash := strings.LastIndexByte(path, '/')
		if strings.HasPrefix(path[:slash+1], prefix) {
			list = append(list, iam.AttachedPolicy{PolicyName: new(path[slash+1:]), PolicyArn: new(arn)})
		}
	}
	return page(list, func(p iam.AttachedPolicy) string { return *p.PolicyArn }, marker, max)
}
