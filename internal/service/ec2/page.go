package ec2

import (
	"sort"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// page returns the part of list that a request asks for, and the token of the next
// one. list has to be sorted by key. limit is the page where none is asked for; 0: everything.
func page[T any](list []T, key func(T) string, max *int32, token *string, limit int) ([]T, *string, error) {
	if max != nil {
		limit = int(*max)
	}
	if limit <= 0 {
		limit = len(list)
	}
	out, next, ok := awsapi.Page(list, key, strings.Compare, token, limit)
	if !ok {
		return nil, nil, fault("InvalidNextToken", "The token '%s' is invalid", *token)
	}
	return out, next, nil
}

// A query is what the Describe operations have in common.
type query struct {
	ids     []string
	filters []ec2.Filter
	max     *int32
	token   *string
}

// A kind is a noun that is described from records.
type kind[R, S any] struct {
	noun     provision.Noun
	table    *store.Table[R]
	home     func(R) resource.Home
	describe func(R) S
	id       func(S) string
	tags     func(S) []ec2.Tag
	fields   fields[S]
}

// list describes the records of home that q asks for, in the order of their ids.
func (k kind[R, S]) list(home resource.Home, q query) ([]S, *string, error) {
	match, err := matcher(q.filters, k.fields, k.tags)
	if err != nil {
		return nil, nil, err
	}
	var out []S
	add := func(r R) {
		if s := k.describe(r); match(s) {
			out = append(out, s)
		}
	}
	if len(q.ids) > 0 {
		records, err := k.byID(home, q.ids)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range records {
			add(r)
		}
		sort.Slice(out, func(i, j int) bool { return k.id(out[i]) < k.id(out[j]) })
	} else {
		for _, r := range k.table.All() {
			if k.home(r) == home {
				add(r)
			}
		}
	}
	return page(out, k.id, q.max, q.token, 0)
}

// byID returns the records with the ids; EC2 answers with all that are missing.
func (k kind[R, S]) byID(home resource.Home, ids []string) ([]R, error) {
	var out []R
	var gone []string
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		r, ok := k.table.Get(id)
		if ok && k.home(r) == home {
			out = append(out, r)
			continue
		}
		if err := k.noun.Check(id); err != nil {
			return nil, err
		}
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		return nil, k.noun.NotFound(gone...)
	}
	return out, nil
}
