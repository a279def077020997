package ec2

import (
	"encoding/base64"
	"sort"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// tokenPrefix tells our paging tokens from anything else, and one form from the next.
const tokenPrefix = "ekster1:"

// page returns the part of list that a request asks for, and the token of the next
// one. list has to be sorted by key. A token names the last key given out, and not a
// position, so that nothing is shown twice or left out when records come and go
// between two pages. limit is the page where none is asked for; 0: everything.
func page[T any](list []T, key func(T) string, max *int32, token *string, limit int) ([]T, *string, error) {
	if deref(token) != "" {
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(raw) < len(tokenPrefix) || string(raw[:len(tokenPrefix)]) != tokenPrefix {
			return nil, nil, fault("InvalidNextToken", "The token '%s' is invalid", *token)
		}
		last := string(raw[len(tokenPrefix):])
		list = list[sort.Search(len(list), func(i int) bool { return key(list[i]) > last }):]
	}
	if max != nil {
		limit = int(*max)
	}
	if limit <= 0 || len(list) <= limit {
		return list, nil, nil
	}
	list = list[:limit]
	next := base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + key(list[limit-1])))
	return list, &next, nil
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
