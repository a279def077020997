package identity

import (
	"strings"

	"ekster.dev/ekster/gen/iam"
)

// iam is the ARN of an IAM resource that may not exist.
func (s scope) iam(kind string, path, name *string) string {
	p := deref(path)
	if p == "" {
		p = "/"
	}
	return "arn:aws:iam::" + s.call.Account + ":" + kind + p + deref(name)
}

// role finds a role's ARN by name, wherever its path has put it. path is for one that is to be made.
func (s scope) role(name, path *string) []string {
	for arn, r := range s.tx.Roles.All() {
		if r.Account == s.call.Account && strings.EqualFold(r.Name, deref(name)) {
			return []string{arn}
		}
	}
	return []string{s.iam("role", path, name)}
}

// user finds a user's ARN; without a name it is the caller's own.
func (s scope) user(name, path *string) []string {
	if name == nil {
		return []string{s.call.Caller.ARN}
	}
	for arn, u := range s.tx.Users.All() {
		if u.Account == s.call.Account && strings.EqualFold(u.Name, *name) {
			return []string{arn}
		}
	}
	return []string{s.iam("user", path, name)}
}

func (s scope) profile(name, path *string) []string {
	for arn, p := range s.tx.InstanceProfiles.All() {
		if p.Account == s.call.Account && strings.EqualFold(p.Name, deref(name)) {
			return []string{arn}
		}
	}
	return []string{s.iam("instance-profile", path, name)}
}

func boundaryAndTags(boundary *string, tags []iam.Tag) map[string][]string {
	m := map[string]string{}
	for _, t := range tags {
		m[deref(t.Key)] = deref(t.Value)
	}
	keys := requestTags(m)
	if boundary != nil {
		keys["iam:PermissionsBoundary"] = []string{*boundary}
	}
	return keys
}

var iamRules = rules{
	"AddRoleToInstanceProfile": on(func(s scope, in *iam.AddRoleToInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"AttachRolePolicy": with(on(func(s scope, in *iam.AttachRolePolicyInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.AttachRolePolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"AttachUserPolicy": with(on(func(s scope, in *iam.AttachUserPolicyInput) []string { return s.user(in.UserName, nil) }), func(in *iam.AttachUserPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"CreateAccessKey": on(func(s scope, in *iam.CreateAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"CreateInstanceProfile": on(func(s scope, in *iam.CreateInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, in.Path)
	}),
	"CreatePolicy": on(func(s scope, in *iam.CreatePolicyInput) []string {
		return []string{s.iam("policy", in.Path, in.PolicyName)}
	}),
	"CreateRole": with(on(func(s scope, in *iam.CreateRoleInput) []string { return s.role(in.RoleName, in.Path) }), func(in *iam.CreateRoleInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, in.Tags)
	}),
	"CreateServiceLinkedRole": with(on(func(s scope, in *iam.CreateServiceLinkedRoleInput) []string {
		_, _, arn, _, _ := ServiceLinkedRole(s.call.Account, deref(in.AWSServiceName), deref(in.CustomSuffix))
		return []string{arn}
	}), func(in *iam.CreateServiceLinkedRoleInput) map[string][]string {
		return map[string][]string{"iam:AWSServiceName": {deref(in.AWSServiceName)}}
	}),
	"CreateUser": with(on(func(s scope, in *iam.CreateUserInput) []string { return s.user(in.UserName, in.Path) }), func(in *iam.CreateUserInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, in.Tags)
	}),
	"DeleteAccessKey": on(func(s scope, in *iam.DeleteAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"DeleteInstanceProfile": on(func(s scope, in *iam.DeleteInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"DeletePolicy":     on(func(_ scope, in *iam.DeletePolicyInput) []string { return []string{deref(in.PolicyArn)} }),
	"DeleteRole":       on(func(s scope, in *iam.DeleteRoleInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteRolePolicy": on(func(s scope, in *iam.DeleteRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteUser":       on(func(s scope, in *iam.DeleteUserInput) []string { return s.user(in.UserName, nil) }),
	"DeleteUserPolicy": on(func(s scope, in *iam.DeleteUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"DetachRolePolicy": with(on(func(s scope, in *iam.DetachRolePolicyInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.DetachRolePolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"DetachUserPolicy": with(on(func(s scope, in *iam.DetachUserPolicyInput) []string { return s.user(in.UserName, nil) }), func(in *iam.DetachUserPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"GetAccessKeyLastUsed":     anything,
	"GetAccountSummary":        anything,
	"GetInstanceProfile":       on(func(s scope, in *iam.GetInstanceProfileInput) []string { return s.profile(in.InstanceProfileName, nil) }),
	"GetPolicy":                on(func(_ scope, in *iam.GetPolicyInput) []string { return []string{deref(in.PolicyArn)} }),
	"GetPolicyVersion":         on(func(_ scope, in *iam.GetPolicyVersionInput) []string { return []string{deref(in.PolicyArn)} }),
	"GetRole":                  on(func(s scope, in *iam.GetRoleInput) []string { return s.role(in.RoleName, nil) }),
	"GetRolePolicy":            on(func(s scope, in *iam.GetRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"GetUser":                  on(func(s scope, in *iam.GetUserInput) []string { return s.user(in.UserName, nil) }),
	"GetUserPolicy":            on(func(s scope, in *iam.GetUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"ListAccessKeys":           on(func(s scope, in *iam.ListAccessKeysInput) []string { return s.user(in.UserName, nil) }),
	"ListAttachedRolePolicies": on(func(s scope, in *iam.ListAttachedRolePoliciesInput) []string { return s.role(in.RoleName, nil) }),
	"ListAttachedUserPolicies": on(func(s scope, in *iam.ListAttachedUserPoliciesInput) []string { return s.user(in.UserName, nil) }),
	"ListInstanceProfiles": on(func(s scope, in *iam.ListInstanceProfilesInput) []string {
		return []string{s.iam("instance-profile", in.PathPrefix, nil)}
	}),
	"ListInstanceProfilesForRole": on(func(s scope, in *iam.ListInstanceProfilesForRoleInput) []string { return s.role(in.RoleName, nil) }),
	"ListPolicies":                anything,
	"ListRolePolicies":            on(func(s scope, in *iam.ListRolePoliciesInput) []string { return s.role(in.RoleName, nil) }),
	"ListRoleTags":                on(func(s scope, in *iam.ListRoleTagsInput) []string { return s.role(in.RoleName, nil) }),
	"ListRoles":                   on(func(s scope, in *iam.ListRolesInput) []string { return []string{s.iam("role", in.PathPrefix, nil)} }),
	"ListUserPolicies":            on(func(s scope, in *iam.ListUserPoliciesInput) []string { return s.user(in.UserName, nil) }),
	"ListUsers":                   on(func(s scope, in *iam.ListUsersInput) []string { return []string{s.iam("user", in.PathPrefix, nil)} }),
	"PutRolePolicy":               on(func(s scope, in *iam.PutRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"PutUserPolicy":               on(func(s scope, in *iam.PutUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"RemoveRoleFromInstanceProfile": on(func(s scope, in *iam.RemoveRoleFromInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"TagRole": with(on(func(s scope, in *iam.TagRoleInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.TagRoleInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"UntagRole": with(on(func(s scope, in *iam.UntagRoleInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.UntagRoleInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UpdateAccessKey":        on(func(s scope, in *iam.UpdateAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"UpdateAssumeRolePolicy": on(func(s scope, in *iam.UpdateAssumeRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
}
