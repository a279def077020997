package authz

import (
	"testing"
	"unicode/utf8"
)

func TestPattern(t *testing.T) {
	vars := &values{second: map[string][]string{
		"aws:username":          {"ann*"},
		"aws:PrincipalTag/team": {"blue"},
		"multi":                 {"a", "b"},
	}}
	plain := syntax{wildcards: true, variables: true}
	arn := syntax{wildcards: true, variables: true, arn: true}
	strict := syntax{wildcards: true, variables: true, arn: true, strict: true}
	for _, c := range []struct {
		name, pattern, text string
		s                   syntax
		want                bool
	}{
		{"literal", "abc", "abc", plain, true},
		{"literal, longer text", "abc", "abcd", plain, false},
		{"empty matches empty", "", "", plain, true},
		{"empty matches nothing else", "", "a", plain, false},
		{"star alone", "*", "anything:at/all", plain, true},
		{"star matches empty", "a*", "a", plain, true},
		{"star in the middle", "a*c", "abbbc", plain, true},
		{"star takes the last chance", "a*bc", "abcbbc", plain, true},
		{"two stars", "*a*b", "xxaxxbxxb", plain, true},
		{"two stars, no end", "*a*b", "xxaxxbxxc", plain, false},
		{"star star", "a**b", "axb", plain, true},
		{"question mark", "a?c", "abc", plain, true},
		{"question mark needs one", "a?c", "ac", plain, false},
		{"question mark takes a rune", "a?c", "aéc", plain, true},
		{"star then question mark and runes", "*??", "€", plain, false},
		{"case counts", "Abc", "abc", plain, false},
		{"variable", "home/${aws:username}/x", "home/ann*/x", plain, true},
		{"a variable's star is itself", "home/${aws:username}/x", "home/annie/x", plain, false},
		{"variable after a star", "*/${aws:username}", "a/b/ann*", plain, true},
		{"tag variable, key in any case", "${aws:principaltag/Team}", "blue", plain, true},
		{"no value", "${aws:userid}", "", plain, false},
		{"no value, default", "${aws:userid, 'nobody'}", "nobody", plain, true},
		{"value beats default", "${aws:PrincipalTag/team, 'red'}", "red", plain, false},
		{"several values are no value", "${multi}", "a", plain, false},
		{"several values, default", "${multi, 'd'}", "d", plain, true},
		{"escaped star", "a${*}b", "a*b", plain, true},
		{"escaped star is no wildcard", "a${*}b", "axb", plain, false},
		{"escaped question mark", "${?}", "x", plain, false},
		{"escaped dollar", "${$}{aws:username}", "${aws:username}", plain, true},
		{"open variable is text", "${aws:username", "${aws:username", plain, true},
		{"variables off", "${aws:username}", "ann*", syntax{wildcards: true}, false},
		{"variables off: text", "${aws:username}", "${aws:username}", syntax{wildcards: true}, true},

		{"arn, star in the resource", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a:b", arn, true},
		{"arn, star inside the resource crosses", "arn:aws:logs:r:1:log-group:*:x", "arn:aws:logs:r:1:log-group:a:b:x", arn, true},
		{"arn, star as a segment", "arn:aws:eks:*:1:cluster/c", "arn:aws:eks:eu-west-1:1:cluster/c", arn, true},
		{"arn, last star of a segment crosses", "arn:aws:eks:*/c", "arn:aws:eks:eu-west-1:1:cluster/c", arn, false},
		{"arn, star that ends a segment crosses", "arn:aws:eks:*:cluster/c", "arn:aws:eks:eu-west-1:1:cluster/c", arn, true},
		{"arn, star in a segment stays", "arn:aws:eks:eu-*-1:1:x", "arn:aws:eks:eu-a:b-1:1:x", arn, false},
		{"arn, star in a segment", "arn:aws:eks:eu-*-1:1:x", "arn:aws:eks:eu-west-1:1:x", arn, true},
		{"arn, narrow star falls back to the wide one", "arn:*:e*s:1:x", "arn:aws:eks:efs:1:x", arn, true},
		{"arn, question mark is no colon", "arn:aws:iam?:1:x", "arn:aws:iam::1:x", arn, false},
		{"strict, star per segment", "arn:aws:s3:*:*:b", "arn:aws:s3:::b", strict, true},
		{"strict, star does not cross", "arn:aws:*:b", "arn:aws:s3:::b", strict, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compile(c.pattern, c.s)
			if got := p.match(c.text, false, vars); got != c.want {
				t.Errorf("%q matches %q: %v", c.pattern, c.text, got)
			}
		})
	}
}

func TestPatternFold(t *testing.T) {
	p := compile("eks:describe*", syntax{wildcards: true})
	if !p.match("EKS:DescribeCluster", true, nil) || p.match("EKS:DescribeCluster", false, nil) {
		t.Error("fold ignores the case of letters, and only fold does")
	}
}

// slowMatch is the obvious matcher: it tries everything a wildcard may stand for.
func slowMatch(pattern, text string, colons int, s syntax) bool {
	if pattern == "" {
		return text == ""
	}
	inSegment := s.arn && colons < 5
	switch pattern[0] {
	case '*':
		for rest := text; ; {
			if slowMatch(pattern[1:], rest, colons, s) {
				return true
			}
			narrow := inSegment && (s.strict || len(pattern) > 1 && pattern[1] != ':')
			if rest == "" || narrow && rest[0] == ':' {
				return false
			}
			_, n := utf8.DecodeRuneInString(rest)
			rest = rest[n:]
		}
	case '?':
		if text == "" || inSegment && text[0] == ':' {
			return false
		}
		_, n := utf8.DecodeRuneInString(text)
		return slowMatch(pattern[1:], text[n:], colons, s)
	}
	if text == "" || text[0] != pattern[0] {
		return false
	}
	if pattern[0] == ':' {
		colons++
	}
	return slowMatch(pattern[1:], text[1:], colons, s)
}

func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"a*b?c", "aXXbYc"}, {"arn:*:e*s:1:x", "arn:aws:eks:efs:1:x"}, {"*:a*b*c:*d", "x:y:aabbcc:dd"},
		{"*a?:*b", "::a::b"}, {"*??", "€é"}, {"a*:b*:c*d:*e*f", "a1:b2:c:c3d:x:yezf"}, {"**a*?", "aaa"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		checkAgainstSlow(t, pattern, text)
		// The same with few letters, which meet far more often.
		checkAgainstSlow(t, dense(pattern, "ab:*?*:"), dense(text, "ab:ba::"))
	})
}

func dense(s, alphabet string) string {
	b := []byte(s)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

func checkAgainstSlow(t *testing.T, pattern, text string) {
	t.Helper()
	if len(pattern) > 24 || len(text) > 32 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
		return
	}
	stars := 0
	for _, c := range pattern {
		if c == '*' {
			stars++
		}
	}
	if stars > 6 {
		return // too slow for the obvious matcher
	}
	for _, s := range []syntax{{wildcards: true}, {wildcards: true, arn: true}, {wildcards: true, arn: true, strict: true}} {
		p := compile(pattern, s)
		if got, want := p.match(text, false, nil), slowMatch(pattern, text, 0, s); got != want {
			t.Errorf("%+v: %q matches %q: %v, the obvious matcher says %v", s, pattern, text, got, want)
		}
	}
}
