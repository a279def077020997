package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// GetAccountAuthorizationDetails tells everything about the account's users, groups,
// roles and policies. AWS's policies are told of if they are attached to something.
func (s *Service) GetAccountAuthorizationDetails(_ context.Context, call awsapi.Call, in *iam.GetAccountAuthorizationDetailsInput) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetAccountAuthorizationDetailsOutput, error) {
		type item struct {
			key string
			add func(out *iam.GetAccountAuthorizationDetailsOutput)
		}
		var all []item
		wants := func(kind, account string) bool {
			return account == call.Account && (len(in.Filter) == 0 || slices.Contains(in.Filter, kind))
		}
		for arn, u := range tx.Users.All() {
			if wants("User", u.Account) {
				all = append(all, item{"1" + arn, func(out *iam.GetAccountAuthorizationDetailsOutput) {
					out.UserDetailList = append(out.UserDetailList, userDetail(tx, u))
				}})
			}
		}
		for arn, g := range tx.Groups.All() {
			if wants("Group", g.Account) {
				all = append(all, item{"2" + arn, func(out *iam.GetAccountAuthorizationDetailsOutput) {
					out.GroupDetailList = append(out.GroupDetailList, groupDetail(g))
				}})
			}
		}
		for arn, r := range tx.Roles.All() {
			if wants("Role", r.Account) {
				all = append(all, item{"3" + arn, func(out *iam.GetAccountAuthorizationDetailsOutput) {
					out.RoleDetailList = append(out.RoleDetailList, roleDetail(tx, r))
				}})
			}
		}
		used := usages(tx, call.Account)
		policy := func(p resource.Policy) {
			all = append(all, item{"4" + p.ARN, func(out *iam.GetAccountAuthorizationDetailsOutput) {
				out.Policies = append(out.Policies, policyDetail(p, used[p.ARN]))
			}})
		}
		for _, p := range tx.Policies.All() {
			if wants("LocalManagedPolicy", p.Account) {
				policy(p)
			}
		}
		for _, p := range s.aws.All() {
			if used[p.ARN] != (usage{}) && wants("AWSManagedPolicy", call.Account) {
				policy(p)
			}
		}
		all, end, err := page(all, func(i item) string { return i.key }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.GetAccountAuthorizationDetailsOutput{
			UserDetailList: []iam.UserDetail{}, GroupDetailList: []iam.GroupDetail{}, RoleDetailList: []iam.RoleDetail{},
			Policies: []iam.ManagedPolicyDetail{}, IsTruncated: end.truncated, Marker: end.marker,
		}
		for _, i := range all {
			i.add(out)
		}
		return out, nil
	})
}

func userDetail(tx *store.Tx, u resource.User) iam.UserDetail {
	d := iam.UserDetail{
		Path: new(u.Path), UserName: new(u.Name), UserId: new(u.ID), Arn: new(u.ARN), CreateDate: new(u.Created),
		UserPolicyList: inlineDetails(u.Inline), GroupList: []string{}, AttachedManagedPolicies: attachedPolicies(u.Attached),
		PermissionsBoundary: describeBoundary(u.Boundary), Tags: describeTags(u.Tags),
	}
	for _, arn := range u.Groups {
		if g, ok := tx.Groups.Get(arn); ok {
			d.GroupList = append(d.GroupList, g.Name)
		}
	}
	return d
}

func groupDetail(g resource.Group) iam.GroupDetail {
	return iam.GroupDetail{
		Path: new(g.Path), GroupName: new(g.Name), GroupId: new(g.ID), Arn: new(g.ARN), CreateDate: new(g.Created),
		GroupPolicyList: inlineDetails(g.Inline), AttachedManagedPolicies: attachedPolicies(g.Attached),
	}
}

func roleDetail(tx *store.Tx, r resource.Role) iam.RoleDetail {
	d := iam.RoleDetail{
		Path: new(r.Path), RoleName: new(r.Name), RoleId: new(r.ID), Arn: new(r.ARN), CreateDate: new(r.Created),
		AssumeRolePolicyDocument: encoded(identity.Trust(tx, r)), InstanceProfileList: []iam.InstanceProfile{},
		RolePolicyList: inlineDetails(r.Inline), AttachedManagedPolicies: attachedPolicies(r.Attached),
		PermissionsBoundary: describeBoundary(r.Boundary), Tags: describeTags(r.Tags), RoleLastUsed: describeRole(tx, r).RoleLastUsed,
	}
	for _, p := range profilesWith(tx, r.ARN) {
		d.InstanceProfileList = append(d.InstanceProfileList, describeProfile(tx, p))
	}
	return d
}

func policyDetail(p resource.Policy, u usage) iam.ManagedPolicyDetail {
	d := iam.ManagedPolicyDetail{
		PolicyName: new(p.Name), PolicyId: new(p.ID), Arn: new(p.ARN), Path: new(p.Path), DefaultVersionId: new(p.Default),
		AttachmentCount: new(u.attached), PermissionsBoundaryUsageCount: new(u.boundary), IsAttachable: new(true),
		Description: optional(p.Description), CreateDate: new(p.Created), UpdateDate: new(p.Updated),
	}
	for _, v := range p.Versions {
		l := listedVersion(p, v)
		l.Document = encoded(v.Document)
		d.PolicyVersionList = append(d.PolicyVersionList, l)
	}
	return d
}

func inlineDetails(inline map[string]string) []iam.PolicyDetail {
	out := []iam.PolicyDetail{}
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		out = append(out, iam.PolicyDetail{PolicyName: new(name), PolicyDocument: encoded(inline[name])})
	}
	return out
}

func attachedPolicies(arns []string) []iam.AttachedPolicy {
	out := []iam.AttachedPolicy{}
	for _, arn := range arns {
		out = append(out, iam.AttachedPolicy{PolicyName: new(arn[strings.LastIndexByte(arn, '/')+1:]), PolicyArn: new(arn)})
	}
	return out
}
