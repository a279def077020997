package eventpattern

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
)

// parseOperator reads {"operator": operand}.
func parseOperator(m map[string]any) (matcher, error) {
	if len(m) != 1 {
		return nil, fmt.Errorf("Only one key allowed in match expression")
	}
	for name, operand := range m {
		switch name {
		case "anything-but":
			return parseAnythingBut(operand)
		case "exists":
			want, ok := operand.(bool)
			if !ok {
				return nil, fmt.Errorf("exists match pattern must be either true or false.")
			}
			return func(_ any, absent bool) bool { return absent != want }, nil
		case "numeric":
			return parseNumeric(operand)
		case "cidr":
			s, _ := operand.(string)
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("Malformed CIDR, one '/' required")
			}
			return inPrefix(p.Masked()), nil
		case "prefix", "suffix", "equals-ignore-case", "wildcard":
			f, err := parseText(name, operand)
			if err != nil {
				return nil, err
			}
			return text(f), nil
		default:
			return nil, fmt.Errorf("Unrecognized match type %s", name)
		}
	}
	panic("unreachable: the map has one key")
}

// parseText reads an operator on strings. A prefix or suffix may be {"equals-ignore-case": "…"}.
func parseText(name string, operand any) (func(string) bool, error) {
	fold := false
	if m, ok := operand.(map[string]any); ok && (name == "prefix" || name == "suffix") {
		if operand, fold = m["equals-ignore-case"], true; len(m) != 1 || operand == nil {
			return nil, fmt.Errorf("Unsupported anything-but pattern")
		}
	}
	s, ok := operand.(string)
	if !ok {
		return nil, fmt.Errorf("%s match pattern must be a string", name)
	}
	if fold {
		s = strings.ToLower(s)
	}
	folded := func(v string) string {
		if fold {
			return strings.ToLower(v)
		}
		return v
	}
	switch name {
	case "prefix":
		return func(v string) bool { return strings.HasPrefix(folded(v), s) }, nil
	case "suffix":
		return func(v string) bool { return strings.HasSuffix(folded(v), s) }, nil
	case "wildcard":
		return wildcard(s)
	}
	return func(v string) bool { return strings.EqualFold(v, s) }, nil
}

// parseAnythingBut reads what a field must be there for and not be: a value, a list of
// them, or an operator on strings with one operand or a list.
func parseAnythingBut(operand any) (matcher, error) {
	var not []matcher
	add := func(v any) error {
		switch v.(type) {
		case string, json.Number:
			not = append(not, func(value any, _ bool) bool { return same(value, v) })
			return nil
		}
		return fmt.Errorf("Inside anything but list, start|null|boolean is not supported.")
	}
	switch operand := operand.(type) {
	case []any:
		if len(operand) == 0 {
			return nil, fmt.Errorf("Empty arrays are not allowed")
		}
		for _, v := range operand {
			if err := add(v); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if len(operand) != 1 {
			return nil, fmt.Errorf("Only one key allowed in match expression")
		}
		for name, v := range operand {
			switch name {
			case "prefix", "suffix", "equals-ignore-case", "wildcard":
			default:
				return nil, fmt.Errorf("Unsupported anything-but pattern: %s", name)
			}
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, v := range list {
				f, err := parseText(name, v)
				if err != nil {
					return nil, err
				}
				not = append(not, text(f))
			}
		}
	default:
		if err := add(operand); err != nil {
			return nil, err
		}
	}
	return func(value any, absent bool) bool {
		if absent {
			return false
		}
		for _, m := range not {
			if m(value, false) {
				return false
			}
		}
		return true
	}, nil
}

// parseNumeric reads ["<", 5], [">", 0, "<=", 5] and the like.
func parseNumeric(operand any) (matcher, error) {
	list, ok := operand.([]any)
	if !ok || len(list) == 0 || len(list) > 4 || len(list)%2 != 0 {
		return nil, fmt.Errorf("Invalid member in numeric match")
	}
	type bound struct {
		op string
		n  json.Number
	}
	var bounds []bound
	for i := 0; i < len(list); i += 2 {
		op, _ := list[i].(string)
		n, ok := list[i+1].(json.Number)
		switch op {
		case "=", "<", "<=", ">", ">=":
		default:
			return nil, fmt.Errorf("Unrecognized numeric range operator: %v", list[i])
		}
		if !ok {
			return nil, fmt.Errorf("Value of %s must be numeric", op)
		}
		bounds = append(bounds, bound{op, n})
	}
	return func(value any, absent bool) bool {
		n, ok := value.(json.Number)
		if !ok || absent {
			return false
		}
		for _, b := range bounds {
			c := compare(n, b.n)
			holds := map[string]bool{"=": c == 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}
			if !holds[b.op] {
				return false
			}
		}
		return true
	}, nil
}

// compare compares two numbers exactly: as floats, ids of more than 53 bits would be the same. Numbers
// with huge exponents are not expanded; no event of AWS has one.
func compare(a, b json.Number) int {
	x, xOK := exact(a)
	y, yOK := exact(b)
	if !xOK || !yOK {
		return strings.Compare(string(a), string(b))
	}
	return x.Cmp(y)
}

func exact(n json.Number) (*big.Rat, bool) {
	if _, e, ok := strings.Cut(strings.ToLower(string(n)), "e"); ok && len(e) > 3 {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}
