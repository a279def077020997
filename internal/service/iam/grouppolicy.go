package iam

import (
	"context"
	"maps"
	"slices"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// maxGroupInline is what all inline policies of a group may measure together.
const maxGroupInline = 5120

// AttachGroupPolicy hangs a managed policy on a group. Once more is no error.
func (s *Service) AttachGroupPolicy(ctx context.Context, call awsapi.Call, in *iam.AttachGroupPolicyInput) (*iam.AttachGroupPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.AttachGroupPolicyOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		if g.Attached, err = s.attach(tx, call.Account, g.Attached, deref(in.PolicyArn), "PoliciesPerGroup"); err != nil {
			return nil, err
		}
		tx.Groups.Put(g.ARN, g)
		return &iam.AttachGroupPolicyOutput{}, nil
	})
}

// DetachGroupPolicy takes a managed policy off a group.
func (s *Service) DetachGroupPolicy(ctx context.Context, call awsapi.Call, in *iam.DetachGroupPolicyInput) (*iam.DetachGroupPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DetachGroupPolicyOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		if g.Attached, err = detach(g.Attached, deref(in.PolicyArn)); err != nil {
			return nil, err
		}
		tx.Groups.Put(g.ARN, g)
		return &iam.DetachGroupPolicyOutput{}, nil
	})
}

// ListAttachedGroupPolicies lists the managed policies that hang on a group.
func (s *Service) ListAttachedGroupPolicies(_ context.Context, call awsapi.Call, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListAttachedGroupPoliciesOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		list, end, err := listAttached(g.Attached, pathOr(in.PathPrefix), in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: list, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// PutGroupPolicy writes an inline policy of a group.
func (s *Service) PutGroupPolicy(ctx context.Context, call awsapi.Call, in *iam.PutGroupPolicyInput) (*iam.PutGroupPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.PutGroupPolicyOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		if g.Inline, err = putInline(g.Inline, deref(in.PolicyName), deref(in.PolicyDocument), "group "+g.Name, maxGroupInline); err != nil {
			return nil, err
		}
		tx.Groups.Put(g.ARN, g)
		return &iam.PutGroupPolicyOutput{}, nil
	})
}

// GetGroupPolicy tells what an inline policy of a group says.
func (s *Service) GetGroupPolicy(_ context.Context, call awsapi.Call, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetGroupPolicyOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		document, ok := g.Inline[deref(in.PolicyName)]
		if !ok {
			return nil, noSuchEntity("The group policy with name %s cannot be found.", deref(in.PolicyName))
		}
		return &iam.GetGroupPolicyOutput{GroupName: new(g.Name), PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
	})
}

// ListGroupPolicies lists the names of a group's inline policies.
func (s *Service) ListGroupPolicies(_ context.Context, call awsapi.Call, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListGroupPoliciesOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		names, end, err := page(slices.Collect(maps.Keys(g.Inline)), itself, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		return &iam.ListGroupPoliciesOutput{PolicyNames: names, IsTruncated: end.truncated, Marker: end.marker}, nil
	})
}

// DeleteGroupPolicy removes an inline policy of a group.
func (s *Service) DeleteGroupPolicy(ctx context.Context, call awsapi.Call, in *iam.DeleteGroupPolicyInput) (*iam.DeleteGroupPolicyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteGroupPolicyOutput, error) {
		g, err := findGroup(tx, call.Account, deref(in.GroupName))
		if err != nil {
			return nil, err
		}
		if _, ok := g.Inline[deref(in.PolicyName)]; !ok {
			return nil, noSuchEntity("The group policy with name %s cannot be found.", deref(in.PolicyName))
		}
		g.Inline = maps.Clone(g.Inline)
		delete(g.Inline, deref(in.PolicyName))
		tx.Groups.Put(g.ARN, g)
		return &iam.DeleteGroupPolicyOutput{}, nil
	})
}
