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
	"AttachedPoliciesPerGroupQuota":   10,
	"AttachedPoliciesPerRoleQuota":    maxAttached,
	"AttachedPoliciesPerUserQuota":    maxAttached,
	"GlobalEndpointTokenVersion":      1,
	"GroupPolicySizeQuota":            5120,
	"GroupsPerUserQuota":              10,
	"GroupsQuota":                     300,
	"InstanceProfilesQuota":           1000,
	"PoliciesQuota":                   1500,
	"PolicySizeQuota":                 maxPolicySize,
	"PolicyVersionsInUseQuota":        10000,
	"RolePolicySizeQuota":             maxRoleInline,
	"RolesQuota":                      1000,
	"ServerCertificatesQuota":         20,
	"SigningCertificatesPerUserQuota": 2,
	"UserPolicySizeQuota":             maxUserInline,
	"UsersQuota":                      5000,
	"VersionsPerPolicyQuota":          5,
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
