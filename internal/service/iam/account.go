package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/store"
)

// quotas are IAM's, which every account has.
var quotas = map[string]int32{
	"AccessKeysPerUserQuota":          maxKeys,
	"AssumeRolePolicySizeQuota":       maxTrustSize,
	"AttachedPoliciesPerGroupQuota":   maxAttached,
	"AttachedPoliciesPerRoleQuota":    maxAttached,
	"AttachedPoliciesPerUserQuota":    maxAttached,
	"GlobalEndpointTokenVersion":      1,
	"GroupPolicySizeQuota":            maxGroupInline,
	"GroupsPerUserQuota":              maxGroupsPerUser,
	"GroupsQuota":                     maxGroups,
	"InstanceProfilesQuota":           maxProfiles,
	"PoliciesQuota":                   maxPolicies,
	"PolicySizeQuota":                 maxPolicySize,
	"PolicyVersionsInUseQuota":        10000,
	"RolePolicySizeQuota":             maxRoleInline,
	"RolesQuota":                      maxRoles,
	"ServerCertificatesQuota":         20,
	"SigningCertificatesPerUserQuota": 2,
	"UserPolicySizeQuota":             maxUserInline,
	"UsersQuota":                      maxUsers,
	"VersionsPerPolicyQuota":          maxVersions,
}

// GetAccountSummary counts what there is in the account.
func (s *Service) GetAccountSummary(_ context.Context, call awsapi.Call, _ *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetAccountSummaryOutput, error) {
		m := map[string]int32{
			"AccountAccessKeysPresent":          0,
			"AccountMFAEnabled":                 0,
			"AccountPasswordPresent":            0,
			"AccountSigningCertificatesPresent": 0,
			"Groups":                            0,
			"InstanceProfiles":                  0,
			"MFADevices":                        0,
			"MFADevicesInUse":                   0,
			"Policies":                          0,
			"PolicyVersionsInUse":               0,
			"Providers":                         0,
			"Roles":                             0,
			"ServerCertificates":                0,
			"Users":                             0,
		}
		for k, v := range quotas {
			m[k] = v
		}
		for _, u := range tx.Users.All() {
			if u.Account == call.Account {
				m["Users"]++
			}
		}
		for _, r := range tx.Roles.All() {
			if r.Account == call.Account {
				m["Roles"]++
			}
		}
		for _, g := range tx.Groups.All() {
			if g.Account == call.Account {
				m["Groups"]++
			}
		}
		for _, p := range tx.OIDCProviders.All() {
			if p.Account == call.Account {
				m["Providers"]++
			}
		}
		for _, p := range tx.InstanceProfiles.All() {
			if p.Account == call.Account {
				m["InstanceProfiles"]++
			}
		}
		for _, p := range tx.Policies.All() {
			if p.Account == call.Account {
				m["Policies"]++
				m["PolicyVersionsInUse"] += int32(len(p.Versions))
			}
		}
		if len(keysOf(tx, identity.RootARN(call.Account))) > 0 {
			m["AccountAccessKeysPresent"] = 1
		}
		return &iam.GetAccountSummaryOutput{SummaryMap: m}, nil
	})
}

// CreateAccountAlias names the account. An alias is unique in the whole installation,
// and replaces the one before.
func (s *Service) CreateAccountAlias(ctx context.Context, call awsapi.Call, in *iam.CreateAccountAliasInput) (*iam.CreateAccountAliasOutput, error) {
	alias := deref(in.AccountAlias)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateAccountAliasOutput, error) {
		for id, a := range tx.Accounts.All() {
			if a.Alias == alias && id != call.Account {
				return nil, alreadyExists("The account alias %s already exists.", alias)
			}
		}
		a, _ := tx.Accounts.Get(call.Account)
		a.Alias = alias
		tx.Accounts.Put(call.Account, a)
		return &iam.CreateAccountAliasOutput{}, nil
	})
}

// DeleteAccountAlias takes the account's alias away.
func (s *Service) DeleteAccountAlias(ctx context.Context, call awsapi.Call, in *iam.DeleteAccountAliasInput) (*iam.DeleteAccountAliasOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteAccountAliasOutput, error) {
		a, _ := tx.Accounts.Get(call.Account)
		if a.Alias == "" || a.Alias != deref(in.AccountAlias) {
			return nil, noSuchEntity("The account alias %s does not exist.", deref(in.AccountAlias))
		}
		a.Alias = ""
		tx.Accounts.Put(call.Account, a)
		return &iam.DeleteAccountAliasOutput{}, nil
	})
}

// ListAccountAliases lists the account's alias, if it has one.
func (s *Service) ListAccountAliases(_ context.Context, call awsapi.Call, _ *iam.ListAccountAliasesInput) (*iam.ListAccountAliasesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListAccountAliasesOutput, error) {
		out := &iam.ListAccountAliasesOutput{AccountAliases: []string{}, IsTruncated: new(false)}
		if a, _ := tx.Accounts.Get(call.Account); a.Alias != "" {
			out.AccountAliases = append(out.AccountAliases, a.Alias)
		}
		return out, nil
	})
}
