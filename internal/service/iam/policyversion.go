package iam

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxVersions = 5

// CreatePolicyVersion adds a version to a customer-managed policy, and makes it the
// default one if it is asked to.
func (s *Service) CreatePolicyVersion(ctx context.Context, call awsapi.Call, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	document := deref(in.PolicyDocument)
	return update(ctx, s, func(tx *store.Tx) (*iam.CreatePolicyVersionOutput, error) {
		p, err := s.ownPolicy(tx, call, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		if err := checkManaged(document); err != nil {
			return nil, err
		}
		if len(p.Versions) >= maxVersions {
			return nil, &iam.LimitExceededException{Message: new(fmt.Sprintf(
				"A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions))}
		}
		// Versions of deleted ids are not made again.
		last := p.Made
		for _, v := range p.Versions {
			n, err := strconv.Atoi(strings.TrimPrefix(v.ID, "v"))
			if err != nil {
				return nil, fmt.Errorf("version %s of %s: %w", v.ID, p.ARN, err)
			}
			last = max(last, n)
		}
		p.Made = last + 1
		v := resource.PolicyVersion{ID: "v" + strconv.Itoa(p.Made), Document: document, Created: date(call.Time)}
		p.Versions = append(p.Versions, v)
		p.Updated = v.Created
		if deref(in.SetAsDefault) {
			p.Default = v.ID
		}
		tx.Policies.Put(p.ARN, p)
		return &iam.CreatePolicyVersionOutput{PolicyVersion: new(listedVersion(p, v))}, nil
	})
}

// ListPolicyVersions lists a managed policy's versions, the newest first, without what they say.
func (s *Service) ListPolicyVersions(_ context.Context, call awsapi.Call, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListPolicyVersionsOutput, error) {
		p, err := s.policy(tx, call.Account, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		newest := func(v resource.PolicyVersion) string {
			n, _ := strconv.Atoi(strings.TrimPrefix(v.ID, "v")) // AWS's own have such ids too
			return fmt.Sprintf("%06d", 999_999-n)
		}
		versions, end, err := page(slices.Clone(p.Versions), newest, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListPolicyVersionsOutput{Versions: []iam.PolicyVersion{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, v := range versions {
			out.Versions = append(out.Versions, listedVersion(p, v))
		}
		return out, nil
	})
}

// SetDefaultPolicyVersion makes a version the one that counts.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, call awsapi.Call, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.SetDefaultPolicyVersionOutput, error) {
		p, err := s.ownPolicy(tx, call, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		v, ok := version(p, deref(in.VersionId))
		if !ok {
			return nil, noSuchVersion(p.ARN, deref(in.VersionId))
		}
		p.Default, p.Updated = v.ID, date(call.Time)
		tx.Policies.Put(p.ARN, p)
		return &iam.SetDefaultPolicyVersionOutput{}, nil
	})
}

// DeletePolicyVersion removes a version that is not the default one.
func (s *Service) DeletePolicyVersion(ctx context.Context, call awsapi.Call, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeletePolicyVersionOutput, error) {
		p, err := s.ownPolicy(tx, call, deref(in.PolicyArn))
		if err != nil {
			return nil, err
		}
		v, ok := version(p, deref(in.VersionId))
		switch {
		case !ok:
			return nil, noSuchVersion(p.ARN, deref(in.VersionId))
		case v.ID == p.Default:
			return nil, deleteConflict("Cannot delete the default version of a policy.")
		}
		n, err := strconv.Atoi(strings.TrimPrefix(v.ID, "v"))
		if err != nil {
			return nil, fmt.Errorf("version %s of %s: %w", v.ID, p.ARN, err)
		}
		p.Made = max(p.Made, n)
		p.Versions = slices.DeleteFunc(p.Versions, func(o resource.PolicyVersion) bool { return o.ID == v.ID })
		tx.Policies.Put(p.ARN, p)
		return &iam.DeletePolicyVersionOutput{}, nil
	})
}

// ownPolicy finds a policy that the caller's account may change: AWS's are nobody's.
func (s *Service) ownPolicy(tx *store.Tx, call awsapi.Call, arn string) (resource.Policy, error) {
	if awsOwned(arn) {
		return resource.Policy{}, awsapi.Errorf("AccessDenied", 403, "User: %s is not authorized to perform: iam:%s on resource: policy %s",
			call.Caller.ARN, call.Operation, strings.TrimPrefix(arn, "arn:aws:iam::aws:policy/"))
	}
	return s.policy(tx, call.Account, arn)
}

func noSuchVersion(arn, id string) error {
	return noSuchEntity("Policy %s version %s does not exist or is not attachable.", arn, id)
}

func listedVersion(p resource.Policy, v resource.PolicyVersion) iam.PolicyVersion {
	return iam.PolicyVersion{VersionId: new(v.ID), IsDefaultVersion: new(v.ID == p.Default), CreateDate: new(v.Created)}
}
