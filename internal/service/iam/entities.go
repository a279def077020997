package iam

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// ListEntitiesForPolicy lists the users, groups and roles that have a managed policy,
// attached or as their boundary.
func (s *Service) ListEntitiesForPolicy(_ context.Context, call awsapi.Call, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListEntitiesForPolicyOutput, error) {
		p, err := s.policy(tx, call.Account, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		type entity struct{ kind, name, id string }
		var all []entity
		add := func(kind, account, path, name, id string, attached []string, boundary string) {
			filter, usage := deref(in.EntityFilter), deref(in.PolicyUsageFilter)
			has := usage != "PermissionsBoundary" && slices.Contains(attached, p.ARN) || usage != "PermissionsPolicy" && boundary == p.ARN
			if account == call.Account && has && (filter == "" || filter == kind) && strings.HasPrefix(path, pathOr(in.PathPrefix)) {
				all = append(all, entity{kind, name, id})
			}
		}
		for _, g := range tx.Groups.All() {
			add("Group", g.Account, g.Path, g.Name, g.ID, g.Attached, "")
		}
		for _, u := range tx.Users.All() {
			add("User", u.Account, u.Path, u.Name, u.ID, u.Attached, u.Boundary)
		}
		for _, r := range tx.Roles.All() {
			add("Role", r.Account, r.Path, r.Name, r.ID, r.Attached, r.Boundary)
		}
		all, end, err := page(all, func(e entity) string { return e.kind + "/" + e.name }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListEntitiesForPolicyOutput{
			PolicyGroups: []iam.PolicyGroup{}, PolicyUsers: []iam.PolicyUser{}, PolicyRoles: []iam.PolicyRole{},
			IsTruncated: end.truncated, Marker: end.marker,
		}
		for _, e := range all {
			switch e.kind {
			case "Group":
				out.PolicyGroups = append(out.PolicyGroups, iam.PolicyGroup{GroupName: new(e.name), GroupId: new(e.id)})
			case "User":
				out.PolicyUsers = append(out.PolicyUsers, iam.PolicyUser{UserName: new(e.name), UserId: new(e.id)})
			case "Role":
				out.PolicyRoles = append(out.PolicyRoles, iam.PolicyRole{RoleName: new(e.name), RoleId: new(e.id)})
			}
		}
		return out, nil
	})
}
