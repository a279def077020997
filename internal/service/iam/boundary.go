package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// PutRolePermissionsBoundary limits a role to what a managed policy allows.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, call awsapi.Call, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.PutRolePermissionsBoundaryOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if err := s.checkBoundary(tx, call.Account, deref(in.PermissionsBoundary)); err != nil {
			return nil, err
		}
		r.Boundary = deref(in.PermissionsBoundary)
		tx.Roles.Put(r.ARN, r)
		return &iam.PutRolePermissionsBoundaryOutput{}, nil
	})
}

// DeleteRolePermissionsBoundary takes a role's limit away.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, call awsapi.Call, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Boundary == "" {
			return nil, noSuchEntity("Role %s does not have permission boundary", r.Name)
		}
		r.Boundary = ""
		tx.Roles.Put(r.ARN, r)
		return &iam.DeleteRolePermissionsBoundaryOutput{}, nil
	})
}

// PutUserPermissionsBoundary limits a user to what a managed policy allows.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, call awsapi.Call, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.PutUserPermissionsBoundaryOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if err := s.checkBoundary(tx, call.Account, deref(in.PermissionsBoundary)); err != nil {
			return nil, err
		}
		u.Boundary = deref(in.PermissionsBoundary)
		tx.Users.Put(u.ARN, u)
		return &iam.PutUserPermissionsBoundaryOutput{}, nil
	})
}

// DeleteUserPermissionsBoundary takes a user's limit away.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, call awsapi.Call, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		if u.Boundary == "" {
			return nil, noSuchEntity("User %s does not have permission boundary", u.Name)
		}
		u.Boundary = ""
		tx.Users.Put(u.ARN, u)
		return &iam.DeleteUserPermissionsBoundaryOutput{}, nil
	})
}
