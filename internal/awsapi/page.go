package awsapi

import (
	"encoding/base64"
	"sort"
	"strings"
)

// tokenPrefix tells our tokens from other base64, should a later version know other ones.
const tokenPrefix = "ekster1:"

// Page is the part of items that a request with this token asks for, most of them at most, and the
// token of the next part, nil if there is none. It is false for a token that Page has not made.
//
// Items are in the order of their keys, which are unique. A token names the last key given out
// and not a position, so that nothing is shown twice or left out when items come and go
// between two pages.
func Page[T any](items []T, key func(T) string, order func(a, b string) int, token *string, most int) (page []T, next *string, ok bool) {
	if token != nil && *token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(*token)
		last, ours := strings.CutPrefix(string(raw), tokenPrefix)
		if err != nil || !ours {
			return nil, nil, false
		}
		items = items[sort.Search(len(items), func(i int) bool { return order(key(items[i]), last) > 0 }):]
	}
	if len(items) <= most {
		return items, nil, true
	}
	items = items[:most]
	return items, new(base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + key(items[most-1])))), true
}
