package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxProfiles = 1000

// CreateInstanceProfile makes an instance profile without a role.
func (s *Service) CreateInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.CreateInstanceProfileInput) (*iam.CreateInstanceProfileOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	p := resource.InstanceProfile{
		Account: call.Account,
		Name:    deref(in.InstanceProfileName),
		Path:    pathOr(in.Path),
		ID:      awsid.IAM("AIPA"),
		Created: date(call.Time),
		Tags:    tags,
	}
	p.ARN = arnOf(p.Account, "instance-profile", p.Path, p.Name)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateInstanceProfileOutput, error) {
		if _, err := findProfile(tx, call.Account, p.Name); err == nil {
			return nil, alreadyExists("Instance Profile %s already exists.", p.Name)
		}
		if count(tx.InstanceProfiles, func(o resource.InstanceProfile) bool { return o.Account == p.Account }) >= maxProfiles {
			return nil, overQuota("InstanceProfilesPerAccount", maxProfiles)
		}
		tx.InstanceProfiles.Put(p.ARN, p)
		return &iam.CreateInstanceProfileOutput{InstanceProfile: new(describeProfile(tx, p))}, nil
	})
}

// GetInstanceProfile tells about an instance profile and its role.
func (s *Service) GetInstanceProfile(_ context.Context, call awsapi.Call, in *iam.GetInstanceProfileInput) (*iam.GetInstanceProfileOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetInstanceProfileOutput, error) {
		p, err := findProfile(tx, call.Account, deref(in.InstanceProfileName))
		if err != nil {
			return nil, err
		}
		return &iam.GetInstanceProfileOutput{InstanceProfile: new(describeProfile(tx, p))}, nil
	})
}

// ListInstanceProfiles lists instance profiles, without their tags.
func (s *Service) ListInstanceProfiles(_ context.Context, call awsapi.Call, in *iam.ListInstanceProfilesInput) (*iam.ListInstanceProfilesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListInstanceProfilesOutput, error) {
		all := under(tx.InstanceProfiles, call.Account, in.PathPrefix, func(p resource.InstanceProfile) (string, string) { return p.Account, p.Path })
		list, end, err := listProfiles(tx, all, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListInstanceProfilesOutput{InstanceProfiles: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// ListInstanceProfilesForRole lists the instance profiles that have a role.
func (s *Service) ListInstanceProfilesForRole(_ context.Context, call awsapi.Call, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListInstanceProfilesForRoleOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		list, end, err := listProfiles(tx, profilesWith(tx, r.ARN), in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListInstanceProfilesForRoleOutput{InstanceProfiles: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// DeleteInstanceProfile removes an instance profile that has no role any more.
func (s *Service) DeleteInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.DeleteInstanceProfileInput) (*iam.DeleteInstanceProfileOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteInstanceProfileOutput, error) {
		p, err := findProfile(tx, call.Account, deref(in.InstanceProfileName))
		if err != nil {
			return nil, err
		}
		if p.Role != "" {
			return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		tx.InstanceProfiles.Delete(p.ARN)
		return &iam.DeleteInstanceProfileOutput{}, nil
	})
}

// AddRoleToInstanceProfile gives an instance profile its one role.
func (s *Service) AddRoleToInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.AddRoleToInstanceProfileInput) (*iam.AddRoleToInstanceProfileOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.AddRoleToInstanceProfileOutput, error) {
		p, err := findProfile(tx, call.Account, deref(in.InstanceProfileName))
		if err != nil {
			return nil, err
		}
		r, err := changeableRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if p.Role != "" {
			return nil, overQuota("InstanceSessionsPerInstanceProfile", 1)
		}
		p.Role = r.ARN
		tx.InstanceProfiles.Put(p.ARN, p)
		return &iam.AddRoleToInstanceProfileOutput{}, nil
	})
}

// RemoveRoleFromInstanceProfile takes the role out of an instance profile. Credentials that
// instances have got already stay good until they expire.
func (s *Service) RemoveRoleFromInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.RemoveRoleFromInstanceProfileInput) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
		p, err := findProfile(tx, call.Account, deref(in.InstanceProfileName))
		if err != nil {
			return nil, err
		}
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if p.Role != r.ARN {
			return nil, noSuchEntity("Role %s in Instance Profile %s cannot be found.", r.Name, p.Name)
		}
		p.Role = ""
		tx.InstanceProfiles.Put(p.ARN, p)
		return &iam.RemoveRoleFromInstanceProfileOutput{}, nil
	})
}

func profilesWith(tx *store.Tx, role string) []resource.InstanceProfile {
	var out []resource.InstanceProfile
	for _, p := range tx.InstanceProfiles.All() {
		if p.Role == role {
			out = append(out, p)
		}
	}
	return out
}

func listProfiles(tx *store.Tx, all []resource.InstanceProfile, marker *string, max *int32) ([]iam.InstanceProfile, cut, error) {
	all, end, err := page(all, func(p resource.InstanceProfile) string { return p.ARN }, marker, max)
	out := []iam.InstanceProfile{}
	for _, p := range all {
		d := describeProfile(tx, p)
		d.Tags = nil
		out = append(out, d)
	}
	return out, end, err
}

func describeProfile(tx *store.Tx, p resource.InstanceProfile) iam.InstanceProfile {
	d := iam.InstanceProfile{
		Path:                new(p.Path),
		InstanceProfileName: new(p.Name),
		InstanceProfileId:   new(p.ID),
		Arn:                 new(p.ARN),
		CreateDate:          new(p.Created),
		Roles:               []iam.Role{},
		Tags:                describeTags(p.Tags),
	}
	if r, ok := tx.Roles.Get(p.Role); ok {
		role := listedRole(tx, r)
		role.Description, role.MaxSessionDuration = nil, nil
		d.Roles = append(d.Roles, role)
	}
	return d
}
