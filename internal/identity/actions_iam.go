package identity

import (
	"cmp"
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

func (s scope) userGroup(name, path *string) []string {
	for arn, g := range s.tx.Groups.All() {
		if g.Account == s.call.Account && strings.EqualFold(g.Name, deref(name)) {
			return []string{arn}
		}
	}
	return []string{s.iam("group", path, name)}
}

// deletedRole is the role that a deletion task is about: task/aws-service-role/<service>/<role>/<uuid>.
func (s scope) deletedRole(task *string) []string {
	parts := strings.Split(deref(task), "/")
	if len(parts) != 5 {
		return []string{s.iam("role", nil, nil)}
	}
	return []string{s.iam("role", new("/"+strings.Join(parts[1:3], "/")+"/"), &parts[3])}
}

// renamed are the ARNs of a user or group before and after it gets another path or name.
func renamed(arn string, path, name *string) []string {
	account, rest, _ := strings.Cut(strings.TrimPrefix(arn, "arn:aws:iam::"), ":")
	kind, own, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(own, '/') + 1
	before := "/" + own[:at]
	if path != nil {
		before = cmp.Or(*path, "/")
	}
	to := "arn:aws:iam::" + account + ":" + kind + before + cmp.Or(deref(name), own[at:])
	if to == arn {
		return []string{arn}
	}
	return []string{arn, to}
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

// tagged makes a rule out of one for an operation of IAM that makes something: what makes
// it with tags is checked for the action that tags it as well.
func tagged[In any](r rule, action string, tags func(in *In) []iam.Tag) rule {
	return needs(r, func(s scope, in *In) []check {
		t := tags(in)
		if len(t) == 0 {
			return nil
		}
		return []check{{action: action, resources: r.resources(s, in), keys: boundaryAndTags(nil, t)}}
	})
}

var iamRules = rules{
	"AddClientIDToOpenIDConnectProvider": on(func(_ scope, in *iam.AddClientIDToOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"AddRoleToInstanceProfile": needs(on(func(s scope, in *iam.AddRoleToInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}), func(s scope, in *iam.AddRoleToInstanceProfileInput) []check {
		role := s.role(in.RoleName, nil)[0]
		return s.pass(&role, "ec2.amazonaws.com")
	}),
	"AddUserToGroup": on(func(s scope, in *iam.AddUserToGroupInput) []string { return s.userGroup(in.GroupName, nil) }),
	"AttachGroupPolicy": with(on(func(s scope, in *iam.AttachGroupPolicyInput) []string { return s.userGroup(in.GroupName, nil) }), func(in *iam.AttachGroupPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"AttachRolePolicy": with(on(func(s scope, in *iam.AttachRolePolicyInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.AttachRolePolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"AttachUserPolicy": with(on(func(s scope, in *iam.AttachUserPolicyInput) []string { return s.user(in.UserName, nil) }), func(in *iam.AttachUserPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"CreateAccessKey":    on(func(s scope, in *iam.CreateAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"CreateAccountAlias": anything,
	"CreateGroup":        on(func(s scope, in *iam.CreateGroupInput) []string { return s.userGroup(in.GroupName, in.Path) }),
	"CreateInstanceProfile": tagged(with(on(func(s scope, in *iam.CreateInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, in.Path)
	}), func(in *iam.CreateInstanceProfileInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
		"iam:TagInstanceProfile", func(in *iam.CreateInstanceProfileInput) []iam.Tag { return in.Tags }),
	"CreateOpenIDConnectProvider": tagged(with(on(func(s scope, in *iam.CreateOpenIDConnectProviderInput) []string {
		return []string{s.iam("oidc-provider", nil, new(strings.TrimPrefix(deref(in.Url), "https://")))}
	}), func(in *iam.CreateOpenIDConnectProviderInput) map[string][]string {
		return boundaryAndTags(nil, in.Tags)
	}), "iam:TagOpenIDConnectProvider", func(in *iam.CreateOpenIDConnectProviderInput) []iam.Tag { return in.Tags }),
	"CreatePolicy": tagged(with(on(func(s scope, in *iam.CreatePolicyInput) []string {
		return []string{s.iam("policy", in.Path, in.PolicyName)}
	}), func(in *iam.CreatePolicyInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
		"iam:TagPolicy", func(in *iam.CreatePolicyInput) []iam.Tag { return in.Tags }),
	"CreatePolicyVersion": on(func(_ scope, in *iam.CreatePolicyVersionInput) []string { return []string{deref(in.PolicyArn)} }),
	"CreateRole": tagged(with(on(func(s scope, in *iam.CreateRoleInput) []string { return s.role(in.RoleName, in.Path) }), func(in *iam.CreateRoleInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, in.Tags)
	}), "iam:TagRole", func(in *iam.CreateRoleInput) []iam.Tag { return in.Tags }),
	"CreateServiceLinkedRole": with(on(func(s scope, in *iam.CreateServiceLinkedRoleInput) []string {
		_, _, arn, _, _ := ServiceLinkedRole(s.call.Account, deref(in.AWSServiceName), deref(in.CustomSuffix))
		return []string{arn}
	}), func(in *iam.CreateServiceLinkedRoleInput) map[string][]string {
		return map[string][]string{"iam:AWSServiceName": {deref(in.AWSServiceName)}}
	}),
	"CreateUser": tagged(with(on(func(s scope, in *iam.CreateUserInput) []string { return s.user(in.UserName, in.Path) }), func(in *iam.CreateUserInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, in.Tags)
	}), "iam:TagUser", func(in *iam.CreateUserInput) []iam.Tag { return in.Tags }),
	"DeleteAccessKey":    on(func(s scope, in *iam.DeleteAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"DeleteAccountAlias": anything,
	"DeleteGroup":        on(func(s scope, in *iam.DeleteGroupInput) []string { return s.userGroup(in.GroupName, nil) }),
	"DeleteGroupPolicy":  on(func(s scope, in *iam.DeleteGroupPolicyInput) []string { return s.userGroup(in.GroupName, nil) }),
	"DeleteInstanceProfile": on(func(s scope, in *iam.DeleteInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"DeleteOpenIDConnectProvider": on(func(_ scope, in *iam.DeleteOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"DeletePolicy":                  on(func(_ scope, in *iam.DeletePolicyInput) []string { return []string{deref(in.PolicyArn)} }),
	"DeletePolicyVersion":           on(func(_ scope, in *iam.DeletePolicyVersionInput) []string { return []string{deref(in.PolicyArn)} }),
	"DeleteRole":                    on(func(s scope, in *iam.DeleteRoleInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteRolePermissionsBoundary": on(func(s scope, in *iam.DeleteRolePermissionsBoundaryInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteRolePolicy":              on(func(s scope, in *iam.DeleteRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteServiceLinkedRole":       on(func(s scope, in *iam.DeleteServiceLinkedRoleInput) []string { return s.role(in.RoleName, nil) }),
	"DeleteUser":                    on(func(s scope, in *iam.DeleteUserInput) []string { return s.user(in.UserName, nil) }),
	"DeleteUserPermissionsBoundary": on(func(s scope, in *iam.DeleteUserPermissionsBoundaryInput) []string { return s.user(in.UserName, nil) }),
	"DeleteUserPolicy":              on(func(s scope, in *iam.DeleteUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"DetachGroupPolicy": with(on(func(s scope, in *iam.DetachGroupPolicyInput) []string { return s.userGroup(in.GroupName, nil) }), func(in *iam.DetachGroupPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"DetachRolePolicy": with(on(func(s scope, in *iam.DetachRolePolicyInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.DetachRolePolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"DetachUserPolicy": with(on(func(s scope, in *iam.DetachUserPolicyInput) []string { return s.user(in.UserName, nil) }), func(in *iam.DetachUserPolicyInput) map[string][]string {
		return map[string][]string{"iam:PolicyARN": {deref(in.PolicyArn)}}
	}),
	"GetAccessKeyLastUsed":           anything,
	"GetAccountAuthorizationDetails": anything,
	"GetAccountSummary":              anything,
	"GetContextKeysForCustomPolicy":  anything,
	"GetContextKeysForPrincipalPolicy": on(func(_ scope, in *iam.GetContextKeysForPrincipalPolicyInput) []string {
		return []string{deref(in.PolicySourceArn)}
	}),
	"GetGroup":           on(func(s scope, in *iam.GetGroupInput) []string { return s.userGroup(in.GroupName, nil) }),
	"GetGroupPolicy":     on(func(s scope, in *iam.GetGroupPolicyInput) []string { return s.userGroup(in.GroupName, nil) }),
	"GetInstanceProfile": on(func(s scope, in *iam.GetInstanceProfileInput) []string { return s.profile(in.InstanceProfileName, nil) }),
	"GetOpenIDConnectProvider": on(func(_ scope, in *iam.GetOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"GetPolicy":        on(func(_ scope, in *iam.GetPolicyInput) []string { return []string{deref(in.PolicyArn)} }),
	"GetPolicyVersion": on(func(_ scope, in *iam.GetPolicyVersionInput) []string { return []string{deref(in.PolicyArn)} }),
	"GetRole":          on(func(s scope, in *iam.GetRoleInput) []string { return s.role(in.RoleName, nil) }),
	"GetRolePolicy":    on(func(s scope, in *iam.GetRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"GetServiceLinkedRoleDeletionStatus": on(func(s scope, in *iam.GetServiceLinkedRoleDeletionStatusInput) []string {
		return s.deletedRole(in.DeletionTaskId)
	}),
	"GetUser":                   on(func(s scope, in *iam.GetUserInput) []string { return s.user(in.UserName, nil) }),
	"GetUserPolicy":             on(func(s scope, in *iam.GetUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"ListAccessKeys":            on(func(s scope, in *iam.ListAccessKeysInput) []string { return s.user(in.UserName, nil) }),
	"ListAccountAliases":        anything,
	"ListAttachedGroupPolicies": on(func(s scope, in *iam.ListAttachedGroupPoliciesInput) []string { return s.userGroup(in.GroupName, nil) }),
	"ListAttachedRolePolicies":  on(func(s scope, in *iam.ListAttachedRolePoliciesInput) []string { return s.role(in.RoleName, nil) }),
	"ListAttachedUserPolicies":  on(func(s scope, in *iam.ListAttachedUserPoliciesInput) []string { return s.user(in.UserName, nil) }),
	"ListEntitiesForPolicy":     on(func(_ scope, in *iam.ListEntitiesForPolicyInput) []string { return []string{deref(in.PolicyArn)} }),
	"ListGroupPolicies":         on(func(s scope, in *iam.ListGroupPoliciesInput) []string { return s.userGroup(in.GroupName, nil) }),
	"ListGroups":                on(func(s scope, in *iam.ListGroupsInput) []string { return []string{s.iam("group", in.PathPrefix, nil)} }),
	"ListGroupsForUser":         on(func(s scope, in *iam.ListGroupsForUserInput) []string { return s.user(in.UserName, nil) }),
	"ListInstanceProfileTags": on(func(s scope, in *iam.ListInstanceProfileTagsInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"ListInstanceProfiles": on(func(s scope, in *iam.ListInstanceProfilesInput) []string {
		return []string{s.iam("instance-profile", in.PathPrefix, nil)}
	}),
	"ListInstanceProfilesForRole": on(func(s scope, in *iam.ListInstanceProfilesForRoleInput) []string { return s.role(in.RoleName, nil) }),
	"ListOpenIDConnectProviderTags": on(func(_ scope, in *iam.ListOpenIDConnectProviderTagsInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"ListOpenIDConnectProviders": anything,
	"ListPolicies":               {fields: []string{"PathPrefix"}, shown: func(in any) string { return "policy path " + cmp.Or(deref(one(in, "PathPrefix")), "/") }},
	"ListPolicyTags":             on(func(_ scope, in *iam.ListPolicyTagsInput) []string { return []string{deref(in.PolicyArn)} }),
	"ListPolicyVersions":         on(func(_ scope, in *iam.ListPolicyVersionsInput) []string { return []string{deref(in.PolicyArn)} }),
	"ListRolePolicies":           on(func(s scope, in *iam.ListRolePoliciesInput) []string { return s.role(in.RoleName, nil) }),
	"ListRoleTags":               on(func(s scope, in *iam.ListRoleTagsInput) []string { return s.role(in.RoleName, nil) }),
	"ListRoles":                  on(func(s scope, in *iam.ListRolesInput) []string { return []string{s.iam("role", in.PathPrefix, nil)} }),
	"ListUserPolicies":           on(func(s scope, in *iam.ListUserPoliciesInput) []string { return s.user(in.UserName, nil) }),
	"ListUserTags":               on(func(s scope, in *iam.ListUserTagsInput) []string { return s.user(in.UserName, nil) }),
	"ListUsers":                  on(func(s scope, in *iam.ListUsersInput) []string { return []string{s.iam("user", in.PathPrefix, nil)} }),
	"PutGroupPolicy":             on(func(s scope, in *iam.PutGroupPolicyInput) []string { return s.userGroup(in.GroupName, nil) }),
	"PutRolePermissionsBoundary": with(on(func(s scope, in *iam.PutRolePermissionsBoundaryInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.PutRolePermissionsBoundaryInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, nil)
	}),
	"PutRolePolicy": on(func(s scope, in *iam.PutRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"PutUserPermissionsBoundary": with(on(func(s scope, in *iam.PutUserPermissionsBoundaryInput) []string { return s.user(in.UserName, nil) }), func(in *iam.PutUserPermissionsBoundaryInput) map[string][]string {
		return boundaryAndTags(in.PermissionsBoundary, nil)
	}),
	"PutUserPolicy": on(func(s scope, in *iam.PutUserPolicyInput) []string { return s.user(in.UserName, nil) }),
	"RemoveClientIDFromOpenIDConnectProvider": on(func(_ scope, in *iam.RemoveClientIDFromOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"RemoveRoleFromInstanceProfile": on(func(s scope, in *iam.RemoveRoleFromInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}),
	"RemoveUserFromGroup":     on(func(s scope, in *iam.RemoveUserFromGroupInput) []string { return s.userGroup(in.GroupName, nil) }),
	"SetDefaultPolicyVersion": on(func(_ scope, in *iam.SetDefaultPolicyVersionInput) []string { return []string{deref(in.PolicyArn)} }),
	"SimulateCustomPolicy":    anything,
	"SimulatePrincipalPolicy": on(func(_ scope, in *iam.SimulatePrincipalPolicyInput) []string {
		return []string{deref(in.PolicySourceArn)}
	}),
	"TagInstanceProfile": with(on(func(s scope, in *iam.TagInstanceProfileInput) []string { return s.profile(in.InstanceProfileName, nil) }), func(in *iam.TagInstanceProfileInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"TagOpenIDConnectProvider": with(on(func(_ scope, in *iam.TagOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}), func(in *iam.TagOpenIDConnectProviderInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"TagPolicy": with(on(func(_ scope, in *iam.TagPolicyInput) []string { return []string{deref(in.PolicyArn)} }), func(in *iam.TagPolicyInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"TagRole":   with(on(func(s scope, in *iam.TagRoleInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.TagRoleInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"TagUser":   with(on(func(s scope, in *iam.TagUserInput) []string { return s.user(in.UserName, nil) }), func(in *iam.TagUserInput) map[string][]string { return boundaryAndTags(nil, in.Tags) }),
	"UntagInstanceProfile": with(on(func(s scope, in *iam.UntagInstanceProfileInput) []string {
		return s.profile(in.InstanceProfileName, nil)
	}), func(in *iam.UntagInstanceProfileInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UntagOpenIDConnectProvider": with(on(func(_ scope, in *iam.UntagOpenIDConnectProviderInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}), func(in *iam.UntagOpenIDConnectProviderInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UntagPolicy": with(on(func(_ scope, in *iam.UntagPolicyInput) []string { return []string{deref(in.PolicyArn)} }), func(in *iam.UntagPolicyInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UntagRole": with(on(func(s scope, in *iam.UntagRoleInput) []string { return s.role(in.RoleName, nil) }), func(in *iam.UntagRoleInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UntagUser": with(on(func(s scope, in *iam.UntagUserInput) []string { return s.user(in.UserName, nil) }), func(in *iam.UntagUserInput) map[string][]string {
		return map[string][]string{"aws:TagKeys": in.TagKeys}
	}),
	"UpdateAccessKey":        on(func(s scope, in *iam.UpdateAccessKeyInput) []string { return s.user(in.UserName, nil) }),
	"UpdateAssumeRolePolicy": on(func(s scope, in *iam.UpdateAssumeRolePolicyInput) []string { return s.role(in.RoleName, nil) }),
	"UpdateGroup": on(func(s scope, in *iam.UpdateGroupInput) []string {
		return renamed(s.userGroup(in.GroupName, nil)[0], in.NewPath, in.NewGroupName)
	}),
	"UpdateOpenIDConnectProviderThumbprint": on(func(_ scope, in *iam.UpdateOpenIDConnectProviderThumbprintInput) []string {
		return []string{deref(in.OpenIDConnectProviderArn)}
	}),
	"UpdateRole":            on(func(s scope, in *iam.UpdateRoleInput) []string { return s.role(in.RoleName, nil) }),
	"UpdateRoleDescription": on(func(s scope, in *iam.UpdateRoleDescriptionInput) []string { return s.role(in.RoleName, nil) }),
	"UpdateUser": on(func(s scope, in *iam.UpdateUserInput) []string {
		return renamed(s.user(in.UserName, nil)[0], in.NewPath, in.NewUserName)
	}),
}
