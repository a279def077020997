package iam

import (
	"sort"
	"strings"

	"ekster.dev/ekster/internal/awsapi"
)

// defaultPage is how many items IAM lists at a time when it is not told.
const defaultPage = 100

// A cut says where a page ends.
type cut struct {
	truncated *bool
	marker    *string
}

// page cuts a list into pages. It sorts the list by key, which has to be unique.
func page[T any](items []T, key func(T) string, marker *string, max *int32) ([]T, cut, error) {
	sort.SliceStable(items, func(i, j int) bool { return key(items[i]) < key(items[j]) })
	n := defaultPage
	if max != nil && *max > 0 {
		n = int(*max)
	}
	out, next, ok := awsapi.Page(items, key, strings.Compare, marker, n)
	if !ok {
		return nil, cut{}, validation("Invalid Marker.")
	}
	return out, cut{truncated: new(next != nil), marker: next}, nil
}
