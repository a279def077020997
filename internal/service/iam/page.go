package iam

import (
	"encoding/base64"
	"sort"
)

// defaultPage is how many items IAM lists at a time when it is not told.
const defaultPage = 100

// A cut says where a page ends.
type cut struct {
	truncated *bool
	marker    *string
}

// page cuts a list into pages. It sorts the list by key, which has to be unique; a marker is the
// key of the last item of the page before, so that what comes and goes between two pages
// neither repeats nor hides another item.
func page[T any](items []T, key func(T) string, marker *string, max *int32) ([]T, cut, error) {
	sort.SliceStable(items, func(i, j int) bool { return key(items[i]) < key(items[j]) })
	if marker != nil {
		after, err := base64.URLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, cut{}, validation("Invalid Marker.")
		}
		n := sort.Search(len(items), func(i int) bool { return key(items[i]) > string(after) })
		items = items[n:]
	}
	n := defaultPage
	if max != nil && *max > 0 {
		n = int(*max)
	}
	if len(items) <= n {
		return items, cut{truncated: new(false)}, nil
	}
	items = items[:n]
	last := base64.URLEncoding.EncodeToString([]byte(key(items[n-1])))
	return items, cut{truncated: new(true), marker: &last}, nil
}
