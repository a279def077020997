package eks

import (
	"cmp"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
)

// maxPage is how many items a page holds at most, and unless asked for less.
const maxPage = 100

// page cuts a list in ascending order into pages.
func page(items []string, token *string, max *int32) ([]string, *string, error) {
	return pageBy(items, func(s string) string { return s }, cmp.Compare[string], token, max)
}

// pageBy is page for items that are in the order of their keys.
func pageBy[T any](items []T, key func(T) string, order func(a, b string) int, token *string, max *int32) ([]T, *string, error) {
	out, next, ok := awsapi.Page(items, key, order, token, int(or(max, maxPage)))
	if !ok {
		return nil, nil, &eks.InvalidParameterException{Message: new("The nextToken is invalid.")}
	}
	return append([]T{}, out...), next, nil // an empty page is shown as one
}
