package authz

import (
	"strings"
	"unicode/utf8"
)

// A pattern is a compiled string of a policy: literal text, wildcards and policy variables.
// It matches without allocating.
type pattern struct {
	tokens []token
	// literal is the whole text when the pattern has neither wildcard nor variable, the common case.
	literal   string
	isLiteral bool
}

type tokenKind uint8

const (
	literalToken    tokenKind = iota
	anyOneToken               // ?
	anyTokens                 // *
	anyOneInSegment           // ? that stays within a colon-separated segment of an ARN
	anyInSegment              // * that does
	variableToken             // ${key} or ${key, 'default'}
)

type token struct {
	kind       tokenKind
	text       string // of a literal; the default of a variable
	key        string // of a variable
	hasDefault bool
}

// syntax says what is special in a text that is compiled.
type syntax struct {
	wildcards bool
	variables bool
	// arn keeps wildcards inside their colon-separated segment for the first five segments, except a
	// `*` that ends its segment: IAM lets that one match on beyond the colon.
	arn bool
	// strict keeps those last stars inside as well, as ArnLike does.
	strict bool
}

func compile(text string, s syntax) pattern {
	var p pattern
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p.tokens = append(p.tokens, token{kind: literalToken, text: lit.String()})
			lit.Reset()
		}
	}
	colons := 0
	for i := 0; i < len(text); {
		c := text[i]
		inSegment := s.arn && colons < 5
		switch {
		case c == '$' && s.variables:
			t, n, ok := variable(text[i:])
			if !ok {
				lit.WriteByte(c)
				i++
				continue
			}
			if t.kind == literalToken {
				lit.WriteString(t.text)
			} else {
				flush()
				p.tokens = append(p.tokens, t)
			}
			i += n
			continue
		case c == '*' && s.wildcards:
			flush()
			kind := anyTokens
			if inSegment && (s.strict || i+1 < len(text) && text[i+1] != ':') {
				kind = anyInSegment
			}
			// Two stars match what one does; the wider one of the two stays.
			if n := len(p.tokens); n > 0 && (p.tokens[n-1].kind == anyTokens || p.tokens[n-1].kind == anyInSegment) {
				if kind == anyTokens {
					p.tokens[n-1].kind = anyTokens
				}
			} else {
				p.tokens = append(p.tokens, token{kind: kind})
			}
		case c == '?' && s.wildcards:
			flush()
			kind := anyOneToken
			if inSegment {
				kind = anyOneInSegment
			}
			p.tokens = append(p.tokens, token{kind: kind})
		default:
			if c == ':' {
				colons++
			}
			lit.WriteByte(c)
		}
		i++
	}
	flush()
	switch {
	case len(p.tokens) == 0:
		p.isLiteral = true
	case len(p.tokens) == 1 && p.tokens[0].kind == literalToken:
		p.isLiteral, p.literal, p.tokens = true, p.tokens[0].text, nil
	}
	return p
}

// variable reads the policy variable that text starts with and says how many bytes it took.
// ${*}, ${?} and ${$} are the characters themselves.
func variable(text string) (token, int, bool) {
	if !strings.HasPrefix(text, "${") {
		return token{}, 0, false
	}
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return token{}, 0, false
	}
	body := text[2:end]
	if body == "*" || body == "?" || body == "$" {
		return token{kind: literalToken, text: body}, end + 1, true
	}
	if key, rest, found := strings.Cut(body, ","); found {
		rest = strings.TrimSpace(rest)
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
			return token{}, 0, false
		}
		return token{kind: variableToken, key: strings.TrimSpace(key), text: rest[1 : len(rest)-1], hasDefault: true}, end + 1, true
	}
	if body == "" {
		return token{}, 0, false
	}
	return token{kind: variableToken, key: strings.TrimSpace(body)}, end + 1, true
}

// match says whether the whole text matches. With fold, letters match in either case (ASCII).
// A variable without a value and without a default matches nothing.
//
// Leftmost matching with two points to come back to is enough: a star that may cross colons makes all
// earlier choices final, and one that may not is pinned by the colon that ends its segment, so no
// earlier one of its kind could do better.
func (p *pattern) match(text string, fold bool, v *values) bool {
	if p.isLiteral {
		return equal(p.literal, text, fold)
	}
	const none = -1
	wide, wideAt := none, 0     // the token after the last * that crosses colons, and where it may go on
	narrow, narrowAt := none, 0 // the same for the last * after it that does not
	t, i := 0, 0
	for {
		ok := true
		if t == len(p.tokens) {
			if i == len(text) {
				return true
			}
			ok = false
		} else {
			tok := &p.tokens[t]
			switch tok.kind {
			case anyTokens:
				if t == len(p.tokens)-1 {
					return true
				}
				wide, wideAt, narrow = t+1, i, none
				t++
				continue
			case anyInSegment:
				narrow, narrowAt = t+1, i
				t++
				continue
			case anyOneToken, anyOneInSegment:
				if i == len(text) || tok.kind == anyOneInSegment && text[i] == ':' {
					ok = false
					break
				}
				i += width(text[i:])
			default:
				lit := tok.text
				if tok.kind == variableToken {
					value, found := v.variable(tok.key)
					if !found && !tok.hasDefault {
						return false
					}
					if found {
						lit = value
					}
				}
				if len(text)-i < len(lit) || !equal(lit, text[i:i+len(lit)], fold) {
					ok = false
					break
				}
				i += len(lit)
			}
		}
		if ok {
			t++
			continue
		}
		switch {
		case narrow != none && narrowAt < len(text) && text[narrowAt] != ':':
			narrowAt += width(text[narrowAt:])
			t, i = narrow, narrowAt
		case wide != none && wideAt < len(text):
			wideAt += width(text[wideAt:])
			t, i, narrow = wide, wideAt, none
		default:
			return false
		}
	}
}

func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

func equal(a, b string, fold bool) bool {
	if !fold {
		return a == b
	}
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
