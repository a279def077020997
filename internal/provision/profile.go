package provision

import (
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// instanceProfile finds the profile that a launch names, by ARN or by name.
func instanceProfile(tx *store.Tx, account, arn, name string) (string, error) {
	switch {
	case arn != "":
		p, ok := tx.InstanceProfiles.Get(arn)
		if !ok || p.Account != account {
			return "", fault("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", arn)
		}
		return withRole(p)
	case name != "":
		for _, p := range tx.InstanceProfiles.All() {
			if p.Account == account && p.Name == name {
				return withRole(p)
			}
		}
		return "", fault("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
	}
	return "", nil
}

func withRole(p resource.InstanceProfile) (string, error) {
	if p.Role == "" {
		return "", fault("InvalidParameterValue", "IAM Instance Profile \"%s\" has no associated IAM Roles", p.ARN)
	}
	return p.ARN, nil
}
