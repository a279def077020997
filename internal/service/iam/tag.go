package iam

import (
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/resource"
)

const maxTags = 50

// newTags checks the tags that a caller gives.
func newTags(in []iam.Tag) (resource.Tags, error) {
	out := resource.Tags{}
	seen := map[string]bool{}
	for _, t := range in {
		key := deref(t.Key)
		if seen[strings.ToLower(key)] {
			return nil, invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[strings.ToLower(key)] = true
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalidInput("Tag keys starting with 'aws:' are reserved for system use.")
		}
		out[key] = deref(t.Value)
	}
	return out, nil
}

// addTags returns old with more: a key that differs in case only is the same key.
func addTags(old, more resource.Tags, quota string) (resource.Tags, error) {
	out := old.With(nil)
	for k := range more {
		for have := range old {
			if strings.EqualFold(k, have) {
				delete(out, have)
			}
		}
	}
	out = out.With(more)
	if len(out) > maxTags {
		return nil, overQuota(quota, maxTags)
	}
	return out, nil
}

// withoutTags returns old without keys, in any case.
func withoutTags(old resource.Tags, keys []string) resource.Tags {
	out := old.With(nil)
	for have := range old {
		if slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, have) }) {
			delete(out, have)
		}
	}
	return out
}

func describeTags(t resource.Tags) []iam.Tag {
	var out []iam.Tag
	for _, k := range slices.Sorted(maps.Keys(t)) {
		out = append(out, iam.Tag{Key: new(k), Value: new(t[k])})
	}
	return out
}
