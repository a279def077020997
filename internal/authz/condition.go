package authz

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// family is what an operator compares.
type family uint8

const (
	stringFamily family = iota
	likeFamily
	arnFamily
	numericFamily
	dateFamily
	boolFamily
	binaryFamily
	addressFamily
	nullFamily
)

// comparison is which results of comparing request value to policy value satisfy an ordered operator.
type comparison uint8

const (
	less comparison = 1 << iota
	same
	greater
)

type operator struct {
	family  family
	negated bool // satisfied when no policy value matches, and by an absent key
	fold    bool
	order   comparison
}

var operators = map[string]operator{
	"StringEquals":              {family: stringFamily},
	"StringNotEquals":           {family: stringFamily, negated: true},
	"StringEqualsIgnoreCase":    {family: stringFamily, fold: true},
	"StringNotEqualsIgnoreCase": {family: stringFamily, fold: true, negated: true},
	"StringLike":                {family: likeFamily},
	"StringNotLike":             {family: likeFamily, negated: true},
	"ArnEquals":                 {family: arnFamily}, // the same as ArnLike, as AWS documents
	"ArnLike":                   {family: arnFamily},
	"ArnNotEquals":              {family: arnFamily, negated: true},
	"ArnNotLike":                {family: arnFamily, negated: true},
	"NumericEquals":             {family: numericFamily, order: same},
	"NumericNotEquals":          {family: numericFamily, order: same, negated: true},
	"NumericLessThan":           {family: numericFamily, order: less},
	"NumericLessThanEquals":     {family: numericFamily, order: less | same},
	"NumericGreaterThan":        {family: numericFamily, order: greater},
	"NumericGreaterThanEquals":  {family: numericFamily, order: greater | same},
	"DateEquals":                {family: dateFamily, order: same},
	"DateNotEquals":             {family: dateFamily, order: same, negated: true},
	"DateLessThan":              {family: dateFamily, order: less},
	"DateLessThanEquals":        {family: dateFamily, order: less | same},
	"DateGreaterThan":           {family: dateFamily, order: greater},
	"DateGreaterThanEquals":     {family: dateFamily, order: greater | same},
	"Bool":                      {family: boolFamily},
	"BinaryEquals":              {family: binaryFamily},
	"IpAddress":                 {family: addressFamily},
	"NotIpAddress":              {family: addressFamily, negated: true},
	"Null":                      {family: nullFamily},
}

// A quantifier is the set operator before a condition operator.
type quantifier uint8

const (
	plain quantifier = iota
	forAllValues
	forAnyValue
)

// splitOperator reads "ForAllValues:StringLikeIfExists".
func splitOperator(name string) (op operator, q quantifier, ifExists, ok bool) {
	if rest, found := strings.CutPrefix(name, "ForAllValues:"); found {
		name, q = rest, forAllValues
	} else if rest, found := strings.CutPrefix(name, "ForAnyValue:"); found {
		name, q = rest, forAnyValue
	}
	name, ifExists = strings.CutSuffix(name, "IfExists")
	op, ok = operators[name]
	if ok && op.family == nullFamily && ifExists {
		return op, q, false, false
	}
	return op, q, ifExists, ok
}

// conditionSyntax checks the frame of a Condition. An unknown operator is refused only once it has keys.
func conditionSyntax(n *node) bool {
	if n.kind != objectNode {
		return false
	}
	for i := range n.members {
		block := &n.members[i].value
		if block.kind != objectNode {
			return false
		}
		_, _, _, known := splitOperator(n.members[i].key)
		for j := range block.members {
			if _, ok := block.members[j].value.texts(true); !ok || !known {
				return false
			}
		}
	}
	return true
}

// legacyConditions checks the values whose form the operator prescribes.
func legacyConditions(n *node) bool {
	ok := true
	eachCondition(n, func(op operator, _ quantifier, _ bool, _ string, list []string) {
		for _, v := range list {
			if _, valid := compileOperand(op, v, false); !valid {
				ok = false
			}
		}
	})
	return ok
}

func eachCondition(n *node, do func(op operator, q quantifier, ifExists bool, key string, list []string)) {
	for i := range n.members {
		op, q, ifExists, known := splitOperator(n.members[i].key)
		if !known {
			continue
		}
		for _, m := range n.members[i].value.members {
			list, _ := m.value.texts(true)
			do(op, q, ifExists, m.key, list)
		}
	}
}

// A condition is one key under one operator.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	key        string
	operands   []operand
}

// An operand is one value of a condition in the form its operator compares.
type operand struct {
	pattern pattern
	number  float64
	date    time.Time
	prefix  netip.Prefix
	binary  []byte
	text    string
}

func compileConditions(n *node, variables bool) []condition {
	var out []condition
	eachCondition(n, func(op operator, q quantifier, ifExists bool, key string, list []string) {
		c := condition{operator: op, quantifier: q, ifExists: ifExists, key: key}
		for _, v := range list {
			o, _ := compileOperand(op, v, variables)
			c.operands = append(c.operands, o)
		}
		out = append(out, c)
	})
	return out
}

func compileOperand(op operator, text string, variables bool) (o operand, ok bool) {
	ok = true
	var err error
	switch op.family {
	case stringFamily:
		o.pattern = compile(text, syntax{variables: variables})
	case likeFamily:
		o.pattern = compile(text, syntax{wildcards: true, variables: variables})
	case arnFamily:
		o.pattern = compile(text, syntax{wildcards: true, variables: variables, arn: text != "*", strict: true})
	case numericFamily:
		o.number, err = strconv.ParseFloat(text, 64)
		ok = err == nil
	case dateFamily:
		o.date, ok = parseDate(text)
	case addressFamily:
		o.prefix, ok = parsePrefix(text)
	case binaryFamily:
		o.binary, err = base64.StdEncoding.DecodeString(text)
		ok = err == nil
	default:
		o.text = text
	}
	return o, ok
}

// holds says whether the condition is met by the request's values.
func (c *condition) holds(v *values) bool {
	list := v.lookup(c.key)
	if c.family == nullFamily {
		for i := range c.operands {
			if strings.EqualFold(c.operands[i].text, "true") == (len(list) == 0) {
				return true
			}
		}
		return false
	}
	if len(list) == 0 {
		switch {
		case c.ifExists, c.quantifier == forAllValues:
			return true
		case c.quantifier == forAnyValue:
			return false
		}
		return c.negated
	}
	// Without a quantifier a key should have one value. Where it has several, a positive operator takes
	// any and a negated one wants all.
	all := c.quantifier == forAllValues || c.quantifier == plain && c.negated
	for _, value := range list {
		if value == "" && c.quantifier == forAllValues {
			continue // an empty string counts as no value
		}
		if c.meets(value, v) != all {
			return !all
		}
	}
	return all
}

// meets compares one value of the request: it has to match one operand, or none when negated.
func (c *condition) meets(value string, v *values) bool {
	for i := range c.operands {
		if c.compare(&c.operands[i], value, v) {
			return !c.negated
		}
	}
	return c.negated
}

func (c *condition) compare(o *operand, value string, v *values) bool {
	switch c.family {
	case stringFamily, likeFamily, arnFamily:
		return o.pattern.match(value, c.fold, v)
	case numericFamily:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return false
		}
		switch {
		case n < o.number:
			return c.order&less != 0
		case n > o.number:
			return c.order&greater != 0
		}
		return c.order&same != 0
	case dateFamily:
		t, ok := parseDate(value)
		return ok && c.order&[...]comparison{less, same, greater}[t.Compare(o.date)+1] != 0
	case boolFamily:
		return strings.EqualFold(value, o.text)
	case binaryFamily:
		b, err := base64.StdEncoding.DecodeString(value)
		return err == nil && bytes.Equal(b, o.binary)
	case addressFamily:
		a, err := netip.ParseAddr(value)
		return err == nil && o.prefix.Contains(a.Unmap())
	}
	return false
}

var dateLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02", "2006-01", "2006"}

// parseDate reads a W3C date or seconds since 1970. Four digits are a year.
func parseDate(text string) (time.Time, bool) {
	if len(text) != 4 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return time.Unix(n, 0), true
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func parsePrefix(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}
