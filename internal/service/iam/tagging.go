package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A tagged is a thing whose tags a call is about, and how to write it back with others.
type tagged struct {
	tags  resource.Tags
	write func(resource.Tags)
}

func taggedUser(tx *store.Tx, account string, name *string) (tagged, error) {
	u, err := findUser(tx, account, deref(name))
	return tagged{u.Tags, func(t resource.Tags) { u.Tags = t; tx.Users.Put(u.ARN, u) }}, err
}

func taggedProfile(tx *store.Tx, account string, name *string) (tagged, error) {
	p, err := findProfile(tx, account, deref(name))
	return tagged{p.Tags, func(t resource.Tags) { p.Tags = t; tx.InstanceProfiles.Put(p.ARN, p) }}, err
}

func taggedProvider(tx *store.Tx, account string, arn *string) (tagged, error) {
	p, err := findProvider(tx, account, deref(arn))
	return tagged{p.Tags, func(t resource.Tags) { p.Tags = t; tx.OIDCProviders.Put(p.ARN, p) }}, err
}

// tag adds tags to a thing or changes them.
func tag[Out any](ctx context.Context, s *Service, in []iam.Tag, quota string, find func(tx *store.Tx) (tagged, error)) (*Out, error) {
	tags, err := newTags(in)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*Out, error) {
		t, err := find(tx)
		if err != nil {
			return nil, err
		}
		all, err := addTags(t.tags, tags, quota)
		if err != nil {
			return nil, err
		}
		t.write(all)
		return new(Out), nil
	})
}

// untag takes tags away. Those that are not there are no error.
func untag[Out any](ctx context.Context, s *Service, keys []string, find func(tx *store.Tx) (tagged, error)) (*Out, error) {
	return update(ctx, s, func(tx *store.Tx) (*Out, error) {
		t, err := find(tx)
		if err != nil {
			return nil, err
		}
		t.write(withoutTags(t.tags, keys))
		return new(Out), nil
	})
}

// listTags lists a thing's tags, a page at a time.
func listTags(s *Service, marker *string, max *int32, find func(tx *store.Tx) (tagged, error)) (list []iam.Tag, end cut, err error) {
	err = s.store.View(func(tx *store.Tx) error {
		t, err := find(tx)
		if err != nil {
			return err
		}
		list, end, err = page(describeTags(t.tags), func(t iam.Tag) string { return *t.Key }, marker, max)
		return err
	})
	return list, end, err
}

// TagUser adds tags to a user or changes them.
func (s *Service) TagUser(ctx context.Context, call awsapi.Call, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	return tag[iam.TagUserOutput](ctx, s, in.Tags, "TagsPerUser", func(tx *store.Tx) (tagged, error) { return taggedUser(tx, call.Account, in.UserName) })
}

// UntagUser takes tags away.
func (s *Service) UntagUser(ctx context.Context, call awsapi.Call, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return untag[iam.UntagUserOutput](ctx, s, in.TagKeys, func(tx *store.Tx) (tagged, error) { return taggedUser(tx, call.Account, in.UserName) })
}

// ListUserTags lists a user's tags.
func (s *Service) ListUserTags(_ context.Context, call awsapi.Call, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	list, end, err := listTags(s, in.Marker, in.MaxItems, func(tx *store.Tx) (tagged, error) { return taggedUser(tx, call.Account, in.UserName) })
	if err != nil {
		return nil, err
	}
	return &iam.ListUserTagsOutput{Tags: list, IsTruncated: end.truncated, Marker: end.marker}, nil
}

// TagInstanceProfile adds tags to an instance profile or changes them.
func (s *Service) TagInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.TagInstanceProfileInput) (*iam.TagInstanceProfileOutput, error) {
	return tag[iam.TagInstanceProfileOutput](ctx, s, in.Tags, "TagsPerInstanceProfile", func(tx *store.Tx) (tagged, error) {
		return taggedProfile(tx, call.Account, in.InstanceProfileName)
	})
}

// UntagInstanceProfile takes tags away.
func (s *Service) UntagInstanceProfile(ctx context.Context, call awsapi.Call, in *iam.UntagInstanceProfileInput) (*iam.UntagInstanceProfileOutput, error) {
	return untag[iam.UntagInstanceProfileOutput](ctx, s, in.TagKeys, func(tx *store.Tx) (tagged, error) {
		return taggedProfile(tx, call.Account, in.InstanceProfileName)
	})
}

// ListInstanceProfileTags lists an instance profile's tags.
func (s *Service) ListInstanceProfileTags(_ context.Context, call awsapi.Call, in *iam.ListInstanceProfileTagsInput) (*iam.ListInstanceProfileTagsOutput, error) {
	list, end, err := listTags(s, in.Marker, in.MaxItems, func(tx *store.Tx) (tagged, error) {
		return taggedProfile(tx, call.Account, in.InstanceProfileName)
	})
	if err != nil {
		return nil, err
	}
	return &iam.ListInstanceProfileTagsOutput{Tags: list, IsTruncated: end.truncated, Marker: end.marker}, nil
}

// TagPolicy adds tags to a customer-managed policy or changes them.
func (s *Service) TagPolicy(ctx context.Context, call awsapi.Call, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	return tag[iam.TagPolicyOutput](ctx, s, in.Tags, "TagsPerPolicy", func(tx *store.Tx) (tagged, error) { return s.taggedPolicy(tx, call, in.PolicyArn) })
}

// UntagPolicy takes tags away.
func (s *Service) UntagPolicy(ctx context.Context, call awsapi.Call, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return untag[iam.UntagPolicyOutput](ctx, s, in.TagKeys, func(tx *store.Tx) (tagged, error) { return s.taggedPolicy(tx, call, in.PolicyArn) })
}

// ListPolicyTags lists a managed policy's tags.
func (s *Service) ListPolicyTags(_ context.Context, call awsapi.Call, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	list, end, err := listTags(s, in.Marker, in.MaxItems, func(tx *store.Tx) (tagged, error) {
		p, err := s.policy(tx, call.Account, deref(in.PolicyArn))
		return tagged{tags: p.Tags}, err
	})
	if err != nil {
		return nil, err
	}
	return &iam.ListPolicyTagsOutput{Tags: list, IsTruncated: end.truncated, Marker: end.marker}, nil
}

func (s *Service) taggedPolicy(tx *store.Tx, call awsapi.Call, arn *string) (tagged, error) {
	p, err := s.ownPolicy(tx, call, deref(arn))
	return tagged{p.Tags, func(t resource.Tags) { p.Tags = t; tx.Policies.Put(p.ARN, p) }}, err
}

// TagOpenIDConnectProvider adds tags to a provider or changes them.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.TagOpenIDConnectProviderInput) (*iam.TagOpenIDConnectProviderOutput, error) {
	return tag[iam.TagOpenIDConnectProviderOutput](ctx, s, in.Tags, "TagsPerOpenIdConnectProvider", func(tx *store.Tx) (tagged, error) {
		return taggedProvider(tx, call.Account, in.OpenIDConnectProviderArn)
	})
}

// UntagOpenIDConnectProvider takes tags away.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.UntagOpenIDConnectProviderInput) (*iam.UntagOpenIDConnectProviderOutput, error) {
	return untag[iam.UntagOpenIDConnectProviderOutput](ctx, s, in.TagKeys, func(tx *store.Tx) (tagged, error) {
		return taggedProvider(tx, call.Account, in.OpenIDConnectProviderArn)
	})
}

// ListOpenIDConnectProviderTags lists a provider's tags.
func (s *Service) ListOpenIDConnectProviderTags(_ context.Context, call awsapi.Call, in *iam.ListOpenIDConnectProviderTagsInput) (*iam.ListOpenIDConnectProviderTagsOutput, error) {
	list, end, err := listTags(s, in.Marker, in.MaxItems, func(tx *store.Tx) (tagged, error) {
		return taggedProvider(tx, call.Account, in.OpenIDConnectProviderArn)
	})
	if err != nil {
		return nil, err
	}
	return &iam.ListOpenIDConnectProviderTagsOutput{Tags: list, IsTruncated: end.truncated, Marker: end.marker}, nil
}
