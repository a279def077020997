package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxUsers = 5000

// CreateUser makes a user without keys or permissions.
func (s *Service) CreateUser(ctx context.Context, call awsapi.Call, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	u := resource.User{
		Account:  call.Account,
		Name:     deref(in.UserName),
		Path:     pathOr(in.Path),
		ID:       awsid.IAM("AIDA"),
		Created:  date(call.Time),
		Boundary: deref(in.PermissionsBoundary),
		Tags:     tags,
	}
	u.ARN = arnOf(u.Account, "user", u.Path, u.Name)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateUserOutput, error) {
		if _, err := findUser(tx, call.Account, u.Name); err == nil {
			return nil, alreadyExists("User with name %s already exists.", u.Name)
		}
		if count(tx.Users, func(o resource.User) bool { return o.Account == u.Account }) >= maxUsers {
			return nil, overQuota("UsersPerAccount", maxUsers)
		}
		if err := s.checkBoundary(tx, call.Account, u.Boundary); err != nil {
			return nil, err
		}
		tx.Users.Put(u.ARN, u)
		return &iam.CreateUserOutput{User: new(describeUser(u))}, nil
	})
}

// GetUser tells about a user; without a name, about the caller.
func (s *Service) GetUser(_ context.Context, call awsapi.Call, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetUserOutput, error) {
		name := deref(in.UserName)
		if in.UserName == nil {
			var root bool
			var err error
			if name, root, err = callerUser(call); err != nil {
				return nil, err
			}
			if root {
				a, _ := tx.Accounts.Get(call.Account)
				return &iam.GetUserOutput{User: &iam.User{
					UserId:     new(call.Account),
					Arn:        new(call.Caller.ARN),
					CreateDate: new(date(a.Created)),
				}}, nil
			}
		}
		u, err := findUser(tx, call.Account, name)
		if err != nil {
			return nil, err
		}
		return &iam.GetUserOutput{User: new(describeUser(u))}, nil
	})
}

// ListUsers lists users, without their tags and boundaries.
func (s *Service) ListUsers(_ context.Context, call awsapi.Call, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListUsersOutput, error) {
		all := under(tx.Users, call.Account, in.PathPrefix, func(u resource.User) (string, string) { return u.Account, u.Path })
		all, end, err := page(all, func(u resource.User) string { return u.ARN }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListUsersOutput{Users: []iam.User{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, u := range all {
			d := describeUser(u)
			d.Tags, d.PermissionsBoundary = nil, nil
			out.Users = append(out.Users, d)
		}
		return out, nil
	})
}

// DeleteUser removes a user that nothing hangs on any more.
func (s *Service) DeleteUser(ctx context.Context, call awsapi.Call, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteUserOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		switch {
		case len(u.Groups) > 0:
			return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
		case len(keysOf(tx, u.ARN)) > 0:
			return nil, deleteConflict("Cannot delete entity, must delete access keys first.")
		}
		if err := hasPolicies(u.Attached, u.Inline); err != nil {
			return nil, err
		}
		tx.Users.Delete(u.ARN)
		return &iam.DeleteUserOutput{}, nil
	})
}

// UpdateUser gives a user another name or path, and with it another ARN. Its keys and
// sessions, and the policies that name it, follow: they mean its unique id.
func (s *Service) UpdateUser(ctx context.Context, call awsapi.Call, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateUserOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		old := u.ARN
		if in.NewUserName != nil {
			if other, err := findUser(tx, call.Account, *in.NewUserName); err == nil && other.ARN != old {
				return nil, alreadyExists("User with name %s already exists.", *in.NewUserName)
			}
			u.Name = *in.NewUserName
		}
		if in.NewPath != nil {
			u.Path = pathOr(in.NewPath)
		}
		u.ARN = arnOf(u.Account, "user", u.Path, u.Name)
		tx.Users.Delete(old)
		tx.Users.Put(u.ARN, u)
		for _, k := range keysOf(tx, old) {
			k.Principal = u.ARN
			tx.AccessKeys.Put(k.ID, k)
		}
		for id, session := range tx.Sessions.All() {
			if session.User == old {
				session.User = u.ARN
				if session.Principal == old {
					session.Principal = u.ARN
				}
				tx.Sessions.Put(id, session)
			}
		}
		return &iam.UpdateUserOutput{}, nil
	})
}

func describeUser(u resource.User) iam.User {
	return iam.User{
		Path:                new(u.Path),
		UserName:            new(u.Name),
		UserId:              new(u.ID),
		Arn:                 new(u.ARN),
		CreateDate:          new(u.Created),
		PermissionsBoundary: describeBoundary(u.Boundary),
		Tags:                describeTags(u.Tags),
	}
}

func describeBoundary(arn string) *iam.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &iam.AttachedPermissionsBoundary{PermissionsBoundaryType: new("Policy"), PermissionsBoundaryArn: &arn}
}
