package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/store"
)

// CreateServiceLinkedRole makes the role that a service acts with in the account.
func (s *Service) CreateServiceLinkedRole(ctx context.Context, call awsapi.Call, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	service, suffix := deref(in.AWSServiceName), deref(in.CustomSuffix)
	name, _, _, suffixed, known := identity.ServiceLinkedRole(call.Account, service, suffix)
	if !known {
		return nil, invalidInput("Service-Linked Roles are not supported for service %s", service)
	}
	if suffix != "" && !suffixed {
		return nil, invalidInput("Custom suffix is not allowed for %s", service)
	}
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateServiceLinkedRoleOutput, error) {
		r, made, err := identity.EnsureServiceLinkedRole(tx, call.Account, service, suffix, deref(in.Description), call.Time)
		if err != nil {
			return nil, err
		}
		if !made {
			return nil, invalidInput("Service role name %s has been taken in this account, please try a different suffix.", name)
		}
		d := describeRole(tx, r)
		d.RoleLastUsed = nil
		return &iam.CreateServiceLinkedRoleOutput{Role: &d}, nil
	})
}
