package wire

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// A Form is a parsed query request: a tree of its dotted names.
type Form struct {
	value    string
	isSet    bool
	read     bool
	children map[string]*Form
}

const (
	maxParams = 20000
	maxDepth  = 32
)

// ParseForm parses an application/x-www-form-urlencoded body or a URL's query.
// Names that begin with X-Amz- belong to the signature and are left out.
func ParseForm(s string) (*Form, error) {
	root := new(Form)
	for params := 0; s != ""; params++ {
		if params == maxParams {
			return nil, syntaxf("The request has too many parameters")
		}
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, syntaxf("The query string is malformed: %s", err)
		}
		if len(name) > 6 && strings.EqualFold(name[:6], "X-Amz-") {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, syntaxf("The query string is malformed: %s", err)
		}
		node := root
		for depth := 0; name != ""; depth++ {
			if depth == maxDepth {
				return nil, syntaxf("The parameter name %q is nested too deeply", name)
			}
			var part string
			part, name, _ = strings.Cut(name, ".")
			child := node.children[part]
			if child == nil {
				child = new(Form)
				if node.children == nil {
					node.children = make(map[string]*Form, 4)
				}
				node.children[part] = child
			}
			node = child
		}
		node.value, node.isSet = value, true
	}
	return root, nil
}

// Get is the value of a name without dots, and marks it as read.
func (f *Form) Get(name string) string {
	c := f.children[name]
	if c == nil {
		return ""
	}
	c.read = true
	return c.value
}

// Unread names a parameter that nothing has asked for, "" if there is none;
// of several the first by name.
func (f *Form) Unread() string {
	var names []string
	for name, c := range f.children {
		switch {
		case c.isSet && !c.read:
			names = append(names, name)
		default:
			if sub := c.Unread(); sub != "" {
				names = append(names, name+"."+sub)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// An element is one member of a list in a form.
type element struct {
	n    int
	form *Form
}

// elements gives the numbered children in order; numbers may have gaps.
func (f *Form) elements(name string) ([]element, error) {
	var list []element
	for key, c := range f.children {
		n, err := strconv.Atoi(key)
		if err != nil || n < 0 {
			continue // an unknown parameter; ec2 says so, query ignores it
		}
		list = append(list, element{n, c})
	}
	slices.SortFunc(list, func(a, b element) int { return a.n - b.n })
	for i := 1; i < len(list); i++ {
		if list[i].n == list[i-1].n {
			return nil, syntaxf("The parameter %s.%d is given twice", name, list[i].n)
		}
	}
	return list, nil
}

// A Dialect is one of the two ways of naming parameters.
type Dialect bool

// The dialects.
const (
	Query Dialect = false
	EC2   Dialect = true
)

func (d Dialect) name(m *schema.Member) string {
	if d == Query {
		return m.WireName()
	}
	if m.Query != "" {
		return m.Query
	}
	n := m.WireName()
	return strings.ToUpper(n[:1]) + n[1:]
}
