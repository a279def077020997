package ec2

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
)

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"*", "", true}, {"*", "abc", true},
		{"a*c", "abbc", true}, {"a*c", "abbd", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"?", "", false},
		{"*b*", "abc", true}, {"*b", "abab", true}, {"a*b*c", "a1b2b3c", true}, {`\*`, "*", true}, {`\*`, "a", false},
		{`a\?*`, "a?bc", true}, {`a\?*`, "abbc", false}, {`\\`, `\`, true}, {"**", "x", true}, {"a**", "a", true}, {"ü?", "üx", true},
	} {
		if got := wildcard(c.pattern, c.s); got != c.want {
			t.Errorf("wildcard(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
	// A pattern made to go back again and again ends.
	if wildcard(strings.Repeat("*a", 200)+"b", strings.Repeat("a", 5000)) {
		t.Error("matches")
	}
}

func TestMatcher(t *testing.T) {
	type thing struct {
		name string
		size []string
		tags []ec2.Tag
	}
	known := fields[thing]{
		"name": func(v thing) []string { return []string{v.name} },
		"size": func(v thing) []string { return v.size },
	}
	ts := []thing{
		{"a", []string{"1", "2"}, []ec2.Tag{{Key: new("Name"), Value: new("x")}}},
		{"b", []string{"2"}, []ec2.Tag{{Key: new("Name"), Value: new("")}, {Key: new("k8s/role"), Value: new("1")}}},
		{"c", nil, nil},
	}
	for _, c := range []struct {
		filters []ec2.Filter
		want    string
	}{
		{nil, "abc"},
		{[]ec2.Filter{{Name: new("name"), Values: []string{"a", "c"}}}, "ac"},
		{[]ec2.Filter{{Name: new("size"), Values: []string{"2"}}}, "ab"},
		{[]ec2.Filter{{Name: new("size"), Values: []string{"2"}}, {Name: new("name"), Values: []string{"b"}}}, "b"},
		{[]ec2.Filter{{Name: new("tag:Name"), Values: []string{""}}}, "b"},
		{[]ec2.Filter{{Name: new("tag:Name"), Values: []string{"*"}}}, "ab"},
		{[]ec2.Filter{{Name: new("tag:k8s/*"), Values: []string{"1"}}}, "b"},
		{[]ec2.Filter{{Name: new("tag-key"), Values: []string{"k8s/role"}}}, "b"},
		{[]ec2.Filter{{Name: new("tag:none"), Values: []string{"*"}}}, ""},
	} {
		match, err := matcher(c.filters, known, func(v thing) []ec2.Tag { return v.tags })
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range ts {
			if match(v) {
				got += v.name
			}
		}
		if got != c.want {
			t.Errorf("%+v: got %s, want %s", c.filters, got, c.want)
		}
	}
	many := make([]string, 201)
	for want, f := range map[string]ec2.Filter{
		"InvalidParameterValue: The filter 'colour' is invalid":                                      {Name: new("colour"), Values: []string{"red"}},
		"InvalidParameterValue: The filter '' is invalid":                                            {Values: []string{"red"}},
		"FilterLimitExceeded: The maximum number of filter values specified on a single call is 200": {Name: new("name"), Values: many},
		"InvalidParameterValue: The filter 'name' must have at least one value":                      {Name: new("name")},
	} {
		var e *awsapi.Error
		if _, err := matcher([]ec2.Filter{f}, known, nil); !errors.As(err, &e) || e.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := matcher([]ec2.Filter{{Name: new("tag:a"), Values: []string{"b"}}}, known, nil); err == nil {
		t.Error("a noun without tags has been filtered by one")
	}
}

// Pages stay right when what they are made of changes between them.
func TestPage(t *testing.T) {
	list := func(from, to int) (out []string) {
		for i := from; i < to; i++ {
			out = append(out, "k"+strconv.Itoa(1000+i))
		}
		return out
	}
	key := func(s string) string { return s }
	first, next, err := page(list(0, 10), key, new(int32(4)), nil, 0)
	if err != nil || !slices.Equal(first, list(0, 4)) || next == nil {
		t.Fatalf("got %v, %v, %v", first, next, err)
	}
	// The last one given out is gone, and one has come before it.
	changed := append([]string{"a"}, slices.Delete(list(0, 10), 3, 4)...)
	second, next, err := page(changed, key, new(int32(4)), next, 0)
	if err != nil || !slices.Equal(second, list(4, 8)) {
		t.Fatalf("got %v, %v", second, err)
	}
	third, next, err := page(changed, key, nil, next, 5)
	if err != nil || !slices.Equal(third, list(8, 10)) || next != nil {
		t.Fatalf("got %v, %v, %v", third, next, err)
	}
	if all, next, err := page(list(0, 10), key, nil, nil, 0); len(all) != 10 || next != nil || err != nil {
		t.Errorf("got %v, %v, %v", all, next, err)
	}
	for _, bad := range []string{"x", "%%%", "a2V5", "AAAAAAAAAAAAAAAA"} {
		if _, _, err := page(list(0, 10), key, nil, &bad, 0); err == nil {
			t.Errorf("%q is taken for a token", bad)
		}
	}
}
