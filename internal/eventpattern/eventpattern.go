// Package eventpattern decides whether an event matches an event pattern of EventBridge:
//
//	{"source": ["aws.ec2"], "detail": {"state": ["running", {"prefix": "st"}]}}
//
// A pattern is an object whose leaves are lists. A field of the event matches if it, or one of
// its elements where it is a list, meets one entry of the pattern's list; an event matches if all fields
// of the pattern do, and "$or" if one of its patterns does. Entries are values, compared as they are written
// (1 and 1.0 differ from "1", not from each other), and the operators prefix, suffix, equals-ignore-case,
// wildcard, anything-but, numeric, cidr and exists.
// See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
//
// It knows no rules and no buses, and does not keep patterns.
package eventpattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// A Pattern is a parsed pattern. It is safe for concurrent use.
type Pattern struct{ root object }

type (
	// object is met by a value all of whose named fields are met.
	object struct {
		fields map[string]node
		or     []object
	}
	// node is what a field of a pattern says: a list of matchers, or what holds of the fields below.
	node struct {
		list  []matcher
		below *object
	}
	// A matcher decides one value; absent says that the event does not have the field.
	matcher func(value any, absent bool) bool
)

// Parse reads a pattern. An error says what is wrong with it, for the end of EventBridge's sentence
// "Event pattern is not valid. Reason: …".
func Parse(text string) (*Pattern, error) {
	v, err := Decode(text)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("Filter is not an object")
	}
	root, err := parseObject(m)
	if err != nil {
		return nil, err
	}
	return &Pattern{root}, nil
}

// Decode reads JSON with its numbers as they are written.
func Decode(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is something behind its end")
	}
	return v, nil
}

// Matches says whether an event, as Decode returns it, matches.
func (p *Pattern) Matches(event any) bool { return p.root.holds(event) }

func parseObject(m map[string]any) (object, error) {
	o := object{fields: map[string]node{}}
	if len(m) == 0 {
		return o, fmt.Errorf("Empty objects are not allowed")
	}
	for key, v := range m {
		var n node
		var err error
		switch v := v.(type) {
		case map[string]any:
			var below object
			below, err = parseObject(v)
			n.below = &below
		case []any:
			if key == "$or" {
				if o.or, err = parseOr(v); err != nil {
					return o, err
				}
				continue
			}
			n.list, err = parseList(key, v)
		default:
			err = fmt.Errorf("%q must be an object or an array", key)
		}
		if err != nil {
			return o, err
		}
		o.fields[key] = n
	}
	return o, nil
}

func parseOr(list []any) (out []object, err error) {
	if len(list) < 2 {
		return nil, fmt.Errorf("There must have at least 2 Objects in $or relationship.")
	}
	for _, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("Only JSON object is allowed in array of $or relationship.")
		}
		o, err := parseObject(m)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func parseList(key string, list []any) (out []matcher, err error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("Empty arrays are not allowed")
	}
	for _, v := range list {
		switch v := v.(type) {
		case map[string]any:
			m, err := parseOperator(v)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", key, err)
			}
			out = append(out, m)
		case []any:
			return nil, fmt.Errorf("%q: Match value must be String, number, true, false, or null", key)
		default:
			out = append(out, func(value any, absent bool) bool { return !absent && same(value, v) })
		}
	}
	return out, nil
}

func (o *object) holds(value any) bool {
	if list, ok := value.([]any); ok { // of objects: one of them has to do
		for _, v := range list {
			if o.holds(v) {
				return true
			}
		}
		return false
	}
	m, _ := value.(map[string]any)
	for key, n := range o.fields {
		v, has := m[key]
		if n.below != nil {
			if !n.below.holds(v) {
				return false
			}
			continue
		}
		if !meetsOne(n.list, v, !has) {
			return false
		}
	}
	if len(o.or) == 0 {
		return true
	}
	for i := range o.or {
		if o.or[i].holds(value) {
			return true
		}
	}
	return false
}

func meetsOne(list []matcher, value any, absent bool) bool {
	values := []any{value}
	if l, ok := value.([]any); ok && len(l) > 0 {
		values = l
	}
	for _, m := range list {
		for _, v := range values {
			if m(v, absent) {
				return true
			}
		}
	}
	return false
}

// same compares two values of JSON, which are no lists or objects.
func same(a, b any) bool {
	x, xIs := a.(json.Number)
	y, yIs := b.(json.Number)
	if xIs && yIs {
		return compare(x, y) == 0
	}
	switch a.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// text returns the string that an operator works on.
func text(f func(s string) bool) matcher {
	return func(v any, absent bool) bool {
		s, ok := v.(string)
		return ok && !absent && f(s)
	}
}

func inPrefix(p netip.Prefix) matcher {
	return text(func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && p.Contains(a)
	})
}

// wildcard says whether s matches a pattern in which * stands for any characters, and \* and \\ for
// themselves.
func wildcard(pattern string) (func(s string) bool, error) {
	var parts [][]byte
	part := []byte{}
	star := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			if i++; i == len(pattern) || pattern[i] != '*' && pattern[i] != '\\' {
				return nil, fmt.Errorf("Invalid escape character at pos %d", i-1)
			}
			part, star = append(part, pattern[i]), false
		case c == '*' && star:
			return nil, fmt.Errorf("Consecutive wildcard characters at pos %d", i-1)
		case c == '*':
			parts, part, star = append(parts, part), []byte{}, true
		default:
			part, star = append(part, c), false
		}
	}
	parts = append(parts, part)
	return func(s string) bool {
		rest := []byte(s)
		if len(parts) == 1 {
			return bytes.Equal(rest, parts[0])
		}
		last := parts[len(parts)-1]
		if !bytes.HasPrefix(rest, parts[0]) {
			return false
		}
		rest = rest[len(parts[0]):]
		for _, p := range parts[1 : len(parts)-1] {
			i := bytes.Index(rest, p)
			if i < 0 {
				return false
			}
			rest = rest[i+len(p):]
		}
		return bytes.HasSuffix(rest, last)
	}, nil
}
