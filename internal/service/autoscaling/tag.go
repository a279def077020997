package autoscaling

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	groupType = "auto-scaling-group"
	maxTags   = 50
)

// CreateOrUpdateTags tags groups. New instances inherit the tags that say so; those that
// are there keep theirs.
func (s *Service) CreateOrUpdateTags(ctx context.Context, call awsapi.Call, in *autoscaling.CreateOrUpdateTagsInput) (*autoscaling.CreateOrUpdateTagsOutput, error) {
	return nil, s.eachTagged(ctx, call, in.Tags, func(g *resource.AutoScalingGroup, t autoscaling.Tag) (err error) {
		g.Spec.Tags, err = addTags(g.Spec.Tags, g.Name, []autoscaling.Tag{t}, false)
		return err
	})
}

// DeleteTags takes tags off groups. Those that are not there are no error.
func (s *Service) DeleteTags(ctx context.Context, call awsapi.Call, in *autoscaling.DeleteTagsInput) (*autoscaling.DeleteTagsOutput, error) {
	return nil, s.eachTagged(ctx, call, in.Tags, func(g *resource.AutoScalingGroup, t autoscaling.Tag) error {
		g.Spec.Tags = slices.DeleteFunc(slices.Clone(g.Spec.Tags), func(have resource.AutoScalingTag) bool {
			return have.Key == deref(t.Key) && (t.Value == nil || *t.Value == "" || have.Value == *t.Value)
		})
		return nil
	})
}

func (s *Service) eachTagged(ctx context.Context, call awsapi.Call, tags []autoscaling.Tag, f func(*resource.AutoScalingGroup, autoscaling.Tag) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		for _, t := range tags {
			if t.ResourceId == nil {
				return validation("Each tag must have an associated resource identifier.")
			}
			if deref(t.ResourceType) != groupType {
				return validation("Invalid resource type %s. Valid resource types are: %s", deref(t.ResourceType), groupType)
			}
			g, err := findGroup(tx, call, *t.ResourceId)
			if err != nil {
				return err
			}
			if err := f(&g, t); err != nil {
				return err
			}
			tx.AutoScalingGroups.Put(g.ARN, g)
		}
		return nil
	})
}

// addTags returns have with more. With fresh, for a new group, no key may come twice.
func addTags(have []resource.AutoScalingTag, group string, more []autoscaling.Tag, fresh bool) ([]resource.AutoScalingTag, error) {
	out := slices.Clone(have)
	for _, t := range more {
		if id := t.ResourceId; id != nil && *id != "" && *id != group {
			return nil, validation("The tag resource ID %s is not the name of the group %s.", *id, group)
		}
		tag := resource.AutoScalingTag{Key: deref(t.Key), Value: deref(t.Value), Propagate: deref(t.PropagateAtLaunch)}
		if strings.HasPrefix(strings.ToLower(tag.Key), "aws:") {
			return nil, validation("Tag keys may not start with the reserved prefix aws:. Tag key: %s", tag.Key)
		}
		at := slices.IndexFunc(out, func(o resource.AutoScalingTag) bool { return o.Key == tag.Key })
		switch {
		case at < 0:
			out = append(out, tag)
		case fresh:
			return nil, validation("Duplicate tag keys found: %s", tag.Key)
		default:
			out[at] = tag
		}
	}
	if len(out) > maxTags {
		return nil, &autoscaling.LimitExceededFault{Message: new("The maximum number of tags for a group is " + strconv.Itoa(maxTags) + ".")}
	}
	slices.SortFunc(out, func(a, b resource.AutoScalingTag) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// DescribeTags lists the tags of groups.
func (s *Service) DescribeTags(_ context.Context, call awsapi.Call, in *autoscaling.DescribeTagsInput) (*autoscaling.DescribeTagsOutput, error) {
	for _, f := range in.Filters {
		if !slices.Contains([]string{groupType, "key", "value", "propagate-at-launch"}, deref(f.Name)) {
			return nil, validation("Filter type %s is not correct. Allowed Filter types are: auto-scaling-group key value propagate-at-launch", deref(f.Name))
		}
	}
	out := &autoscaling.DescribeTagsOutput{Tags: []autoscaling.TagDescription{}}
	err := s.store.View(func(tx *store.Tx) error {
		var all []autoscaling.TagDescription
		for _, g := range tx.AutoScalingGroups.All() {
			if g.Home != home(call) {
				continue
			}
			for _, t := range describeTags(g) {
				if matchesTag(in.Filters, t) {
					all = append(all, t)
				}
			}
		}
		key := func(t autoscaling.TagDescription) string { return *t.ResourceId + "\x00" + *t.Key }
		slices.SortFunc(all, func(a, b autoscaling.TagDescription) int { return strings.Compare(key(a), key(b)) })
		var err error
		all, out.NextToken, err = page(all, key, ascending, in.NextToken, in.MaxRecords, maxGroups)
		out.Tags = append(out.Tags, all...)
		return err
	})
	return out, err
}

func matchesTag(filters []autoscaling.Filter, t autoscaling.TagDescription) bool {
	for _, f := range filters {
		var have string
		switch deref(f.Name) {
		case groupType:
			have = *t.ResourceId
		case "key":
			have = *t.Key
		case "value":
			have = *t.Value
		case "propagate-at-launch":
			have = strconv.FormatBool(*t.PropagateAtLaunch)
		}
		if !slices.Contains(f.Values, have) {
			return false
		}
	}
	return true
}

func describeTags(g resource.AutoScalingGroup) []autoscaling.TagDescription {
	out := []autoscaling.TagDescription{}
	for _, t := range g.Spec.Tags {
		out = append(out, autoscaling.TagDescription{
			ResourceId:        new(g.Name),
			ResourceType:      new(groupType),
			Key:               new(t.Key),
			Value:             new(t.Value),
			PropagateAtLaunch: new(t.Propagate),
		})
	}
	return out
}

// A tagFilter keeps groups that have a tag; all of a request's have to.
type tagFilter struct {
	match  func(t resource.AutoScalingTag, values []string) bool
	values []string
}

type groupFilters []tagFilter

func tagFilters(in []autoscaling.Filter) (groupFilters, error) {
	var out groupFilters
	for _, f := range in {
		name := deref(f.Name)
		t := tagFilter{values: f.Values}
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			t.match = func(t resource.AutoScalingTag, values []string) bool {
				return t.Key == key && slices.Contains(values, t.Value)
			}
		} else if name == "tag-key" {
			t.match = func(t resource.AutoScalingTag, values []string) bool { return slices.Contains(values, t.Key) }
		} else if name == "tag-value" {
			t.match = func(t resource.AutoScalingTag, values []string) bool { return slices.Contains(values, t.Value) }
		} else {
			return nil, validation("Filter type %s is not correct. Allowed Filter types are: tag-key tag-value tag:<key>", name)
		}
		out = append(out, t)
	}
	return out, nil
}

func (f groupFilters) match(g resource.AutoScalingGroup) bool {
	for _, one := range f {
		if !slices.ContainsFunc(g.Spec.Tags, func(t resource.AutoScalingTag) bool { return one.match(t, one.values) }) {
			return false
		}
	}
	return true
}
