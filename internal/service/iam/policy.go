package iam

import (
	"context"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxPolicies   = 1500
	maxPolicySize = 6144
)

// CreatePolicy makes a customer-managed policy with its version v1.
func (s *Service) CreatePolicy(ctx context.Context, call awsapi.Call, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	document := deref(in.PolicyDocument)
	if err := checkManaged(document); err != nil {
		return nil, err
	}
	now := date(call.Time)
	p := resource.Policy{
		Account:     call.Account,
		Name:        deref(in.PolicyName),
		Path:        pathOr(in.Path),
		ID:          awsid.IAM("ANPA"),
		Description: deref(in.Description),
		Created:     now,
		Updated:     now,
		Versions:    []resource.PolicyVersion{{ID: "v1", Document: document, Created: now}},
		Default:     "v1",
		Tags:        tags,
	}
	p.ARN = arnOf(p.Account, "policy", p.Path, p.Name)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreatePolicyOutput, error) {
		_, taken := find(tx.Policies, p.Account, "policy", p.Name, func(p resource.Policy) (string, string) { return p.Account, p.Name })
		if taken {
			return nil, alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
		}
		if count(tx.Policies, func(o resource.Policy) bool { return o.Account == p.Account }) >= maxPolicies {
			return nil, overQuota("PoliciesPerAccount", maxPolicies)
		}
		tx.Policies.Put(p.ARN, p)
		return &iam.CreatePolicyOutput{Policy: new(describePolicy(p, usage{}))}, nil
	})
}

// checkDocument refuses what is no identity policy.
func checkDocument(document string) error {
	_, err := authz.Parse([]byte(document), authz.Identity)
	return malformed(err)
}

// checkManaged refuses what is no identity policy, or one too long for a managed policy.
func checkManaged(document string) error {
	if err := checkDocument(document); err != nil {
		return err
	}
	if size(document) > maxPolicySize {
		return overQuota("PolicySize", maxPolicySize)
	}
	return nil
}

// GetPolicy tells about a managed policy.
func (s *Service) GetPolicy(_ context.Context, call awsapi.Call, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetPolicyOutput, error) {
		p, err := s.policy(tx, call.Account, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		return &iam.GetPolicyOutput{Policy: new(describePolicy(p, usages(tx, call.Account)[p.ARN]))}, nil
	})
}

// GetPolicyVersion tells what a version of a managed policy says.
func (s *Service) GetPolicyVersion(_ context.Context, call awsapi.Call, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetPolicyVersionOutput, error) {
		p, err := s.policy(tx, call.Account, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		v, ok := version(p, deref(in.VersionId))
		if !ok {
			return nil, noSuchVersion(p.ARN, deref(in.VersionId))
		}
		return &iam.GetPolicyVersionOutput{PolicyVersion: &iam.PolicyVersion{
			Document:         encoded(v.Document),
			VersionId:        new(v.ID),
			IsDefaultVersion: new(v.ID == p.Default),
			CreateDate:       new(v.Created),
		}}, nil
	})
}

// ListPolicies lists AWS's and the account's managed policies, without their tags and descriptions.
func (s *Service) ListPolicies(_ context.Context, call awsapi.Call, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListPoliciesOutput, error) {
		used := usages(tx, call.Account)
		var all []resource.Policy
		add := func(p resource.Policy) {
			u := used[p.ARN]
			switch {
			case !strings.HasPrefix(p.Path, pathOr(in.PathPrefix)),
				deref(in.OnlyAttached) && u.attached == 0,
				deref(in.PolicyUsageFilter) == "PermissionsBoundary" && u.boundary == 0:
				return
			}
			all = append(all, p)
		}
		scope := deref(in.Scope)
		if scope != "AWS" {
			for _, p := range tx.Policies.All() {
				if p.Account == call.Account {
					add(p)
				}
			}
		}
		if scope != "Local" {
			for _, p := range s.aws.All() {
				add(p)
			}
		}
		all, end, err := page(all, func(p resource.Policy) string { return p.ARN }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListPoliciesOutput{Policies: []iam.Policy{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, p := range all {
			d := describePolicy(p, used[p.ARN])
			d.Tags, d.Description = nil, nil
			out.Policies = append(out.Policies, d)
		}
		return out, nil
	})
}

// DeletePolicy removes a customer-managed policy that nobody uses.
func (s *Service) DeletePolicy(ctx context.Context, call awsapi.Call, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeletePolicyOutput, error) {
		p, err := s.ownPolicy(tx, call, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		if u := usages(tx, call.Account)[p.ARN]; u.attached+u.boundary > 0 {
			return nil, deleteConflict("Cannot delete a policy attached to entities.")
		}
		if len(p.Versions) > 1 {
			return nil, deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		tx.Policies.Delete(p.ARN)
		return &iam.DeletePolicyOutput{}, nil
	})
}

// policy is findPolicy with the error for one that is not there.
func (s *Service) policy(tx *store.Tx, account, arn string) (resource.Policy, error) {
	p, ok := s.findPolicy(tx, account, arn)
	if !ok {
		return p, noSuchEntity("Policy %s was not found.", arn)
	}
	return p, nil
}

func describePolicy(p resource.Policy, u usage) iam.Policy {
	return iam.Policy{
		PolicyName:                    new(p.Name),
		PolicyId:                      new(p.ID),
		Arn:                           new(p.ARN),
		Path:                          new(p.Path),
		DefaultVersionId:              new(p.Default),
		AttachmentCount:               new(u.attached),
		PermissionsBoundaryUsageCount: new(u.boundary),
		IsAttachable:                  new(true),
		Description:                   optional(p.Description),
		CreateDate:                    new(p.Created),
		UpdateDate:                    new(p.Updated),
		Tags:                          describeTags(p.Tags),
	}
}
