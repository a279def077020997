package eks

import (
	"context"
	"maps"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxTags = 50

// TagResource sets tags of a cluster or of what belongs to one.
func (s *Service) TagResource(ctx context.Context, call awsapi.Call, in *eks.TagResourceInput) (*eks.TagResourceOutput, error) {
	for k := range in.Tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return nil, badRequest("Tag keys cannot start with the reserved prefix aws:")
		}
	}
	return &eks.TagResourceOutput{}, s.changeTags(ctx, call, deref(in.ResourceArn), func(t resource.Tags) (resource.Tags, error) {
		t = t.With(in.Tags)
		if len(t) > maxTags {
			return nil, badRequest("The maximum number of tags for a resource is 50")
		}
		return t, nil
	})
}

// UntagResource takes tags away; one that is not there is none to take.
func (s *Service) UntagResource(ctx context.Context, call awsapi.Call, in *eks.UntagResourceInput) (*eks.UntagResourceOutput, error) {
	return &eks.UntagResourceOutput{}, s.changeTags(ctx, call, deref(in.ResourceArn), func(t resource.Tags) (resource.Tags, error) {
		return t.Without(in.TagKeys...), nil
	})
}

// ListTagsForResource lists the tags of a cluster or of what belongs to one.
func (s *Service) ListTagsForResource(_ context.Context, call awsapi.Call, in *eks.ListTagsForResourceInput) (*eks.ListTagsForResourceOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListTagsForResourceOutput, error) {
		t, err := findTagged(tx, call, deref(in.ResourceArn))
		if err != nil {
			return nil, err
		}
		return &eks.ListTagsForResourceOutput{Tags: maps.Clone(tagsOf(t.tags))}, nil
	})
}

func (s *Service) changeTags(ctx context.Context, call awsapi.Call, arn string, f func(resource.Tags) (resource.Tags, error)) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		t, err := findTagged(tx, call, arn)
		if err != nil {
			return err
		}
		tags, err := f(t.tags)
		if err != nil {
			return err
		}
		t.put(tags)
		return nil
	})
}

// A tagged is something with tags, and how to write others to it.
type tagged struct {
	tags resource.Tags
	put  func(resource.Tags)
}

// findTagged finds what has an ARN, in the caller's account and region.
func findTagged(tx *store.Tx, call awsapi.Call, id string) (tagged, error) {
	p := strings.SplitN(id, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] != "eks" || !strings.Contains(p[5], "/") {
		return tagged{}, badRequest("The resource ARN is not valid: " + id)
	}
	if p[3] == call.Region && p[4] == call.Account {
		if c, ok := tx.Clusters.Get(id); ok {
			return tagged{c.Spec.Tags, func(t resource.Tags) { c.Spec.Tags = t; tx.Clusters.Put(id, c) }}, nil
		}
		if a, ok := tx.Addons.Get(id); ok {
			return tagged{a.Spec.Tags, func(t resource.Tags) { a.Spec.Tags = t; tx.Addons.Put(id, a) }}, nil
		}
		if n, ok := tx.Nodegroups.Get(id); ok {
			return tagged{n.Spec.Tags, func(t resource.Tags) { n.Spec.Tags = t; tx.Nodegroups.Put(id, n) }}, nil
		}
		if a, ok := tx.PodIdentityAssociations.Get(id); ok {
			return tagged{a.Tags, func(t resource.Tags) { a.Tags = t; tx.PodIdentityAssociations.Put(id, a) }}, nil
		}
		if p, ok := tx.IdentityProviders.Get(id); ok {
			return tagged{p.Tags, func(t resource.Tags) { p.Tags = t; tx.IdentityProviders.Put(id, p) }}, nil
		}
		for key, e := range tx.AccessEntries.All() {
			if e.ARN == id {
				return tagged{e.Tags, func(t resource.Tags) { e.Tags = t; tx.AccessEntries.Put(key, e) }}, nil
			}
		}
	}
	return tagged{}, &eks.NotFoundException{Message: new("No resource found for ARN: " + id)}
}

func badRequest(message string) error { return &eks.BadRequestException{Message: &message} }
