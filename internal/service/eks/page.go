package eks

import (
	"cmp"
	"encoding/base64"

	"ekster.dev/ekster/gen/eks"
)

// maxPage is how many items a page holds at most, and unless asked for less.
const maxPage = 100

// page cuts a list in ascending order into pages. A token is the last item of the page
// before, so that items that come and go between two pages move no others.
func page(items []string, token *string, max *int32) ([]string, *string, error) {
	return pageBy(items, func(s string) string { return s }, cmp.Compare[string], token, max)
}

// pageBy is page for items that are in the order of their keys.
func pageBy[T any](items []T, key func(T) string, order func(a, b string) int, token *string, max *int32) ([]T, *string, error) {
	out := []T{} // an empty page is shown as one
	after := ""
	if deref(token) != "" {
		raw, err := base64.URLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, &eks.InvalidParameterException{Message: new("The nextToken is invalid.")}
		}
		after = string(raw)
	}
	most := int(or(max, maxPage))
	for _, item := range items {
		if deref(token) != "" && order(key(item), after) <= 0 {
			continue
		}
		if len(out) == most {
			return out, new(base64.URLEncoding.EncodeToString([]byte(key(out[most-1])))), nil
		}
		out = append(out, item)
	}
	return out, nil, nil
}
