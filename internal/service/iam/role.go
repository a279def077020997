package iam

import (
	"context"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/iampolicy"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxRoles          = 1000
	defaultMaxSession = 3600
	maxTrustSize      = 2048 // characters that are not white space
)

// CreateRole makes a role that those whom its trust policy names may assume.
func (s *Service) CreateRole(ctx context.Context, call awsapi.Call, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	r := resource.Role{
		Account:     call.Account,
		Name:        deref(in.RoleName),
		Path:        pathOr(in.Path),
		ID:          awsid.IAM("AROA"),
		Description: deref(in.Description),
		MaxSession:  defaultMaxSession,
		Created:     date(call.Time),
		Boundary:    deref(in.PermissionsBoundary),
		Tags:        tags,
	}
	if in.MaxSessionDuration != nil {
		r.MaxSession = *in.MaxSessionDuration
	}
	if strings.HasPrefix(r.Path, "/aws-service-role/") {
		return nil, validation("Service-linked roles cannot be created with CreateRole; paths below /aws-service-role/ are reserved for them.")
	}
	r.ARN = arnOf(r.Account, "role", r.Path, r.Name)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateRoleOutput, error) {
		if _, err := findRole(tx, call.Account, r.Name); err == nil {
			return nil, alreadyExists("Role with name %s already exists.", r.Name)
		}
		if count(tx.Roles, func(o resource.Role) bool { return o.Account == r.Account && o.Service == "" }) >= maxRoles {
			return nil, overQuota("RolesPerAccount", maxRoles)
		}
		if err := s.checkBoundary(tx, call.Account, r.Boundary); err != nil {
			return nil, err
		}
		if err := setTrust(tx, &r, deref(in.AssumeRolePolicyDocument)); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		d := describeRole(tx, r)
		d.RoleLastUsed = nil
		return &iam.CreateRoleOutput{Role: &d}, nil
	})
}

// setTrust checks a trust policy and gives it to the role.
func setTrust(tx *store.Tx, r *resource.Role, document string) error {
	p, err := authz.Parse([]byte(document), authz.Trust)
	if err != nil {
		return malformed(err)
	}
	if size(document) > maxTrustSize {
		return overQuota("ACLSizePerRole", maxTrustSize)
	}
	for _, name := range p.Services() {
		if !iampolicy.ServicePrincipal(name) {
			return malformed(&authz.MalformedError{Message: `Invalid principal in policy: "SERVICE":"` + name + `"`})
		}
	}
	ids, err := identity.TrustIDs(tx, p)
	if err != nil {
		return malformed(err)
	}
	r.Trust, r.TrustIDs = document, ids
	return nil
}

// GetRole tells about a role.
func (s *Service) GetRole(_ context.Context, call awsapi.Call, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetRoleOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		return &iam.GetRoleOutput{Role: new(describeRole(tx, r))}, nil
	})
}

// ListRoles lists roles, without their tags, boundaries and last uses.
func (s *Service) ListRoles(_ context.Context, call awsapi.Call, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListRolesOutput, error) {
		all := under(tx.Roles, call.Account, in.PathPrefix, func(r resource.Role) (string, string) { return r.Account, r.Path })
		all, end, err := page(all, func(r resource.Role) string { return r.ARN }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListRolesOutput{Roles: []iam.Role{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, r := range all {
			out.Roles = append(out.Roles, listedRole(tx, r))
		}
		return out, nil
	})
}

// DeleteRole removes a role that nothing hangs on any more. Its sessions end with it.
func (s *Service) DeleteRole(ctx context.Context, call awsapi.Call, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteRoleOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if len(profilesWith(tx, r.ARN)) > 0 {
			return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		if err := hasPolicies(r.Attached, r.Inline); err != nil {
			return nil, err
		}
		tx.Roles.Delete(r.ARN)
		return &iam.DeleteRoleOutput{}, nil
	})
}

// UpdateRole changes a role's description and the longest that its sessions may last.
func (s *Service) UpdateRole(ctx context.Context, call awsapi.Call, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateRoleOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			r.MaxSession = *in.MaxSessionDuration
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.UpdateRoleOutput{}, nil
	})
}

// UpdateRoleDescription changes a role's description; of a service-linked role too.
func (s *Service) UpdateRoleDescription(ctx context.Context, call awsapi.Call, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateRoleDescriptionOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		r.Description = deref(in.Description)
		tx.Roles.Put(r.ARN, r)
		return &iam.UpdateRoleDescriptionOutput{Role: new(describeRole(tx, r))}, nil
	})
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, call awsapi.Call, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateAssumeRolePolicyOutput, error) {
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if err := setTrust(tx, &r, deref(in.PolicyDocument)); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.UpdateAssumeRolePolicyOutput{}, nil
	})
}

// TagRole adds tags to a role or changes them.
func (s *Service) TagRole(ctx context.Context, call awsapi.Call, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*iam.TagRoleOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Tags, err = addTags(r.Tags, tags, "TagsPerRole"); err != nil {
			return nil, err
		}
		tx.Roles.Put(r.ARN, r)
		return &iam.TagRoleOutput{}, nil
	})
}

// UntagRole takes tags away. Those that are not there are no error.
func (s *Service) UntagRole(ctx context.Context, call awsapi.Call, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UntagRoleOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		r.Tags = withoutTags(r.Tags, in.TagKeys)
		tx.Roles.Put(r.ARN, r)
		return &iam.UntagRoleOutput{}, nil
	})
}

// ListRoleTags lists a role's tags.
func (s *Service) ListRoleTags(_ context.Context, call awsapi.Call, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListRoleTagsOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		tags, end, err := page(describeTags(r.Tags), func(t iam.Tag) string { return *t.Key }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListRoleTagsOutput{Tags: tags, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// changeableRole finds a role that is not a service's own.
func changeableRole(tx *store.Tx, account, name string) (resource.Role, error) {
	r, err := findRole(tx, account, name)
	if err == nil && r.Service != "" {
		return r, protected(r.Name)
	}
	return r, err
}

func describeRole(tx *store.Tx, r resource.Role) iam.Role {
	d := iam.Role{
		Path:                     new(r.Path),
		RoleName:                 new(r.Name),
		RoleId:                   new(r.ID),
		Arn:                      new(r.ARN),
		CreateDate:               new(r.Created),
		AssumeRolePolicyDocument: encoded(identity.Trust(tx, r)),
		Description:              optional(r.Description),
		MaxSessionDuration:       new(r.MaxSession),
		PermissionsBoundary:      describeBoundary(r.Boundary),
		Tags:                     describeTags(r.Tags),
		RoleLastUsed:             &iam.RoleLastUsed{},
	}
	if !r.LastUsed.IsZero() {
		d.RoleLastUsed = &iam.RoleLastUsed{LastUsedDate: new(r.LastUsed), Region: optional(r.LastRegion)}
	}
	return d
}

// listedRole is a role as lists have it.
func listedRole(tx *store.Tx, r resource.Role) iam.Role {
	d := describeRole(tx, r)
	d.Tags, d.PermissionsBoundary, d.RoleLastUsed = nil, nil, nil
	return d
}
