package iam

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxGroups        = 300
	maxGroupsPerUser = 10
)

// CreateGroup makes a group without users or permissions.
func (s *Service) CreateGroup(ctx context.Context, call awsapi.Call, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	g := resource.Group{
		Account: call.Account,
		Name:    deref(in.GroupName),
		Path:    pathOr(in.Path),
		ID:      awsid.IAM("AGPA"),
		Created: date(call.Time),
	}
	g.ARN = arnOf(g.Account, "group", g.Path, g.Name)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateGroupOutput, error) {
		if _, err := findGroup(tx, call.Account, g.Name); err == nil {
			return nil, alreadyExists("Group with name %s already exists.", g.Name)
		}
		if count(tx.Groups, func(g resource.Group) bool { return g.Account == call.Account }) >= maxGroups {
			return nil, overQuota("GroupsPerAccount", maxGroups)
		}
		tx.Groups.Put(g.ARN, g)
		return &iam.CreateGroupOutput{Group: new(describeGroup(g))}, nil
	})
}

// GetGroup tells about a group and lists its users.
func (s *Service) GetGroup(_ context.Context, call awsapi.Call, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetGroupOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		members, end, err := page(membersOf(tx, g.ARN), func(u resource.User) string { return u.ARN }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.GetGroupOutput{Group: new(describeGroup(g)), Users: []iam.User{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, u := range members {
			d := describeUser(u)
			d.Tags, d.PermissionsBoundary = nil, nil
			out.Users = append(out.Users, d)
		}
		return out, nil
	})
}

// ListGroups lists the account's groups.
func (s *Service) ListGroups(_ context.Context, call awsapi.Call, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListGroupsOutput, error) {
		all := under(tx.Groups, call.Account, in.PathPrefix, func(g resource.Group) (string, string) { return g.Account, g.Path })
		list, end, err := pageOfGroups(all, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListGroupsOutput{Groups: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// ListGroupsForUser lists the groups that a user is in.
func (s *Service) ListGroupsForUser(_ context.Context, call awsapi.Call, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListGroupsForUserOutput, error) {
		u, err := findUser(tx, call.Account, deref(in.UserName))
		if err != nil {
			return nil, err
		}
		var all []resource.Group
		for _, arn := range u.Groups {
			if g, ok := tx.Groups.Get(arn); ok {
				all = append(all, g)
			}
		}
		list, end, err := pageOfGroups(all, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListGroupsForUserOutput{Groups: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// UpdateGroup gives a group another name or path, and with it another ARN.
func (s *Service) UpdateGroup(ctx context.Context, call awsapi.Call, in *iam.UpdateGroupInput) (*iam.UpdateGroupOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateGroupOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		old := g.ARN
		if in.NewGroupName != nil {
			if other, err := findGroup(tx, call.Account, *in.NewGroupName); err == nil && other.ARN != old {
				return nil, alreadyExists("Group with name %s already exists.", *in.NewGroupName)
			}
			g.Name = *in.NewGroupName
		}
		if in.NewPath != nil {
			g.Path = pathOr(in.NewPath)
		}
		g.ARN = arnOf(g.Account, "group", g.Path, g.Name)
		tx.Groups.Delete(old)
		tx.Groups.Put(g.ARN, g)
		for _, u := range membersOf(tx, old) {
			u.Groups = slices.Clone(u.Groups)
			u.Groups[slices.Index(u.Groups, old)] = g.ARN
			tx.Users.Put(u.ARN, u)
		}
		return &iam.UpdateGroupOutput{}, nil
	})
}

// DeleteGroup removes a group that has neither users nor policies.
func (s *Service) DeleteGroup(ctx context.Context, call awsapi.Call, in *iam.DeleteGroupInput) (*iam.DeleteGroupOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteGroupOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		if len(membersOf(tx, g.ARN)) > 0 {
			return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		if err := hasPolicies(g.Attached, g.Inline); err != nil {
			return nil, err
		}
		tx.Groups.Delete(g.ARN)
		return &iam.DeleteGroupOutput{}, nil
	})
}

// AddUserToGroup puts a user into a group. Once more is no error.
func (s *Service) AddUserToGroup(ctx context.Context, call awsapi.Call, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.AddUserToGroupOutput, error) {
		g, u, err := groupAndUser(tx, call.Account, in.GroupName, in.UserName)
		if err != nil {
			return nil, err
		}
		if slices.Contains(u.Groups, g.ARN) {
			return &iam.AddUserToGroupOutput{}, nil
		}
		if len(u.Groups) >= maxGroupsPerUser {
			return nil, overQuota("GroupsPerUser", maxGroupsPerUser)
		}
		u.Groups = append(slices.Clone(u.Groups), g.ARN)
		tx.Users.Put(u.ARN, u)
		return &iam.AddUserToGroupOutput{}, nil
	})
}

// RemoveUserFromGroup takes a user out of a group.
func (s *Service) RemoveUserFromGroup(ctx context.Context, call awsapi.Call, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.RemoveUserFromGroupOutput, error) {
		g, u, err := groupAndUser(tx, call.Account, in.GroupName, in.UserName)
		if err != nil {
			return nil, err
		}
		u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(arn string) bool { return arn == g.ARN })
		tx.Users.Put(u.ARN, u)
		return &iam.RemoveUserFromGroupOutput{}, nil
	})
}

func groupAndUser(tx *store.Tx, account string, group, user *string) (resource.Group, resource.User, error) {
	g, err := findGroup(tx, account, deref(group))
	if err != nil {
		return g, resource.User{}, err
	}
	u, err := findUser(tx, account, deref(user))
	return g, u, err
}

func findGroup(tx *store.Tx, account, name string) (resource.Group, error) {
	g, ok := find(tx.Groups, account, "group", name, func(g resource.Group) (string, string) { return g.Account, g.Name })
	if !ok {
		return g, noSuchEntity("The group with name %s cannot be found.", name)
	}
	return g, nil
}

// membersOf are the users who are in a group.
func membersOf(tx *store.Tx, group string) []resource.User {
	return slices.Collect(tx.Users.Values(func(u resource.User) bool { return slices.Contains(u.Groups, group) }))
}

func pageOfGroups(all []resource.Group, marker *string, max *int32) ([]iam.Group, cut, error) {
	all, end, err := page(all, func(g resource.Group) string { return g.ARN }, marker, max)
	list := []iam.Group{}
	for _, g := range all {
		list = append(list, describeGroup(g))
	}
	return list, end, err
}

func describeGroup(g resource.Group) iam.Group {
	return iam.Group{Path: new(g.Path), GroupName: new(g.Name), GroupId: new(g.ID), Arn: new(g.ARN), CreateDate: new(g.Created)}
}

// count says how many records of a table are such.
func count[T any](t *store.Table[T], such func(T) bool) (n int) {
	for range t.Values(such) {
		n++
	}
	return n
}
