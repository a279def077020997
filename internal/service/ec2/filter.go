package ec2

import (
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/ec2"
)

// maxFilterValues is how many values one call may give in all.
const maxFilterValues = 200

// fields say what a noun's filters look at: name → the values that a shape has for it.
// A filter matches if one of its values does.
type fields[T any] map[string]func(T) []string

// A filter is one compiled filter.
type filter[T any] struct {
	values func(T) []string
	wants  []string
}

// matcher compiles a request's filters. All of them have to match. tags may be nil,
// for nouns without any.
func matcher[T any](in []ec2.Filter, known fields[T], tags func(T) []ec2.Tag) (func(T) bool, error) {
	var filters []filter[T]
	total := 0
	for _, f := range in {
		name := deref(f.Name)
		values, ok := known[name]
		if key, isTag := strings.CutPrefix(name, "tag:"); isTag && tags != nil {
			values, ok = tagValues(key, tags), true
		} else if name == "tag-key" && tags != nil {
			values, ok = tagKeys(tags), true
		} else if name == "tag-value" && tags != nil {
			values, ok = tagValues("*", tags), true
		}
		if !ok {
			return nil, fault("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if len(f.Values) == 0 {
			return nil, fault("InvalidParameterValue", "The filter '%s' must have at least one value", name)
		}
		total += len(f.Values)
		filters = append(filters, filter[T]{values, f.Values})
	}
	if total > maxFilterValues {
		return nil, fault("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	return func(v T) bool {
		for _, f := range filters {
			if !f.match(v) {
				return false
			}
		}
		return true
	}, nil
}

func (f filter[T]) match(v T) bool {
	have := f.values(v)
	for _, want := range f.wants {
		for _, h := range have {
			if wildcard(want, h) {
				return true
			}
		}
	}
	return false
}

func tagKeys[T any](tags func(T) []ec2.Tag) func(T) []string {
	return func(v T) (out []string) {
		for _, t := range tags(v) {
			out = append(out, deref(t.Key))
		}
		return out
	}
}

// tagValues are the values of the tags whose key matches: EC2 takes wildcards there too.
func tagValues[T any](key string, tags func(T) []ec2.Tag) func(T) []string {
	return func(v T) (out []string) {
		for _, t := range tags(v) {
			if wildcard(key, deref(t.Key)) {
				out = append(out, deref(t.Value))
			}
		}
		return out
	}
}

// wildcard says whether s matches pattern, in which * stands for any text, ? for one
// character, and \ takes the meaning of what follows it. Case counts.
func wildcard(pattern, s string) bool {
	if !strings.ContainsAny(pattern, `*?\`) {
		return pattern == s
	}
	// Go back to the last * where it does not go on: linear in practice, and a caller
	// cannot make it exponential.
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
			continue
		case p < len(pattern) && pattern[p] == '?':
			p, i = p+1, i+1
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == s[i]:
			p, i = p+2, i+1
			continue
		case p < len(pattern) && pattern[p] != '\\' && pattern[p] == s[i]:
			p, i = p+1, i+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// The forms in which filters see members of shapes.

func text(p *string) []string {
	if p == nil {
		return nil
	}
	return []string{*p}
}

func flag(p *bool) []string { return []string{strconv.FormatBool(is(p))} }

func integer[N int32 | int64](p *N) []string {
	if p == nil {
		return nil
	}
	return []string{strconv.FormatInt(int64(*p), 10)}
}

// always is a value that every one of T has.
func always[T any](values ...string) func(T) []string {
	return func(T) []string { return values }
}

// each collects what f gives of the elements of a list.
func each[E any](list []E, f func(E) []string) (out []string) {
	for _, e := range list {
		out = append(out, f(e)...)
	}
	return out
}
