package authz

import "testing"

// TestConditions has a row for each rule of "IAM JSON policy elements: Condition operators" and of
// "Single-valued vs. multivalued context keys" in the IAM User Guide.
func TestConditions(t *testing.T) {
	none := []string(nil)
	is := func(v ...string) []string { return v }
	for _, c := range []struct {
		name, condition string // the key is a:k
		values          []string
		want            bool
	}{
		{"StringEquals", `"StringEquals":{"a:k":"v"}`, is("v"), true},
		{"StringEquals, case", `"StringEquals":{"a:k":"V"}`, is("v"), false},
		{"StringEquals, one of two", `"StringEquals":{"a:k":["u","v"]}`, is("v"), true},
		{"StringEquals, star is text", `"StringEquals":{"a:k":"v*"}`, is("vv"), false},
		{"StringEquals, absent", `"StringEquals":{"a:k":"v"}`, none, false},
		{"StringEquals, key in any case", `"StringEquals":{"A:K":"v"}`, is("v"), true},
		{"StringNotEquals", `"StringNotEquals":{"a:k":"v"}`, is("w"), true},
		{"StringNotEquals, equal", `"StringNotEquals":{"a:k":"v"}`, is("v"), false},
		{"StringNotEquals, one of two equal", `"StringNotEquals":{"a:k":["u","v"]}`, is("v"), false},
		{"StringNotEquals, absent", `"StringNotEquals":{"a:k":"v"}`, none, true},
		{"StringEqualsIgnoreCase", `"StringEqualsIgnoreCase":{"a:k":"V"}`, is("v"), true},
		{"StringNotEqualsIgnoreCase", `"StringNotEqualsIgnoreCase":{"a:k":"V"}`, is("v"), false},
		{"StringLike", `"StringLike":{"a:k":"system:serviceaccount:*:sa?"}`, is("system:serviceaccount:ns:sa1"), true},
		{"StringLike, star in variable syntax", `"StringLike":{"a:k":"${*}x"}`, is("*x"), true},
		{"StringLike, star in variable syntax is no wildcard", `"StringLike":{"a:k":"${*}x"}`, is("yx"), false},
		{"StringLike, absent", `"StringLike":{"a:k":"*"}`, none, false},
		{"StringNotLike", `"StringNotLike":{"a:k":"v*"}`, is("w"), true},
		{"StringNotLike, alike", `"StringNotLike":{"a:k":"v*"}`, is("vv"), false},
		{"StringNotLike, absent", `"StringNotLike":{"a:k":"v*"}`, none, true},

		{"NumericEquals", `"NumericEquals":{"a:k":"10"}`, is("10.0"), true},
		{"NumericNotEquals", `"NumericNotEquals":{"a:k":"10"}`, is("10"), false},
		{"NumericNotEquals, absent", `"NumericNotEquals":{"a:k":"10"}`, none, true},
		{"NumericLessThan", `"NumericLessThan":{"a:k":10}`, is("9"), true},
		{"NumericLessThan, equal", `"NumericLessThan":{"a:k":10}`, is("10"), false},
		{"NumericLessThanEquals", `"NumericLessThanEquals":{"a:k":"10"}`, is("10"), true},
		{"NumericGreaterThan", `"NumericGreaterThan":{"a:k":"10"}`, is("10"), false},
		{"NumericGreaterThan, negative", `"NumericGreaterThan":{"a:k":"-5"}`, is("-4.5"), true},
		{"NumericGreaterThanEquals", `"NumericGreaterThanEquals":{"a:k":"10"}`, is("10"), true},
		{"Numeric, no number", `"NumericLessThan":{"a:k":"10"}`, is("x"), false},

		{"DateLessThan", `"DateLessThan":{"a:k":"2020-01-01T00:00:01Z"}`, is("2020-01-01T00:00:00Z"), true},
		{"DateLessThan, absent", `"DateLessThan":{"a:k":"2020-01-01T00:00:00Z"}`, none, false},
		{"DateGreaterThan, other zone", `"DateGreaterThan":{"a:k":"2020-01-01T01:00:00+02:00"}`, is("2019-12-31T23:30:00Z"), true},
		{"DateGreaterThanEquals, epoch", `"DateGreaterThanEquals":{"a:k":"1577836800"}`, is("2020-01-01T00:00:00Z"), true},
		{"DateLessThanEquals, day", `"DateLessThanEquals":{"a:k":"2020-01-01"}`, is("2020-01-01T00:00:00Z"), true},
		{"DateEquals", `"DateEquals":{"a:k":"2020-01-01T00:00:00Z"}`, is("1577836800"), true},
		{"DateNotEquals", `"DateNotEquals":{"a:k":"2020-01-01T00:00:00Z"}`, is("1577836801"), true},

		{"Bool", `"Bool":{"a:k":"true"}`, is("true"), true},
		{"Bool, JSON value", `"Bool":{"a:k":true}`, is("true"), true},
		{"Bool, false", `"Bool":{"a:k":"true"}`, is("false"), false},
		{"Bool, absent", `"Bool":{"a:k":"false"}`, none, false},
		{"BoolIfExists, absent", `"BoolIfExists":{"a:k":"false"}`, none, true},
		{"BinaryEquals", `"BinaryEquals":{"a:k":"QmluYXJ5"}`, is("QmluYXJ5"), true},
		{"BinaryEquals, other", `"BinaryEquals":{"a:k":"QmluYXJ5"}`, is("QQ=="), false},

		{"IpAddress", `"IpAddress":{"a:k":"10.1.0.0/16"}`, is("10.1.2.3"), true},
		{"IpAddress, outside", `"IpAddress":{"a:k":"10.1.0.0/16"}`, is("10.2.0.1"), false},
		{"IpAddress, single", `"IpAddress":{"a:k":"10.1.2.3"}`, is("10.1.2.3"), true},
		{"IpAddress, v6", `"IpAddress":{"a:k":"2001:db8::/32"}`, is("2001:db8::1"), true},
		{"IpAddress, v4 in v6", `"IpAddress":{"a:k":"10.1.0.0/16"}`, is("::ffff:10.1.2.3"), true},
		{"IpAddress, absent", `"IpAddress":{"a:k":"0.0.0.0/0"}`, none, false},
		{"NotIpAddress", `"NotIpAddress":{"a:k":["10.0.0.0/8","192.168.0.0/16"]}`, is("172.16.0.1"), true},
		{"NotIpAddress, inside one", `"NotIpAddress":{"a:k":["10.0.0.0/8","192.168.0.0/16"]}`, is("192.168.1.1"), false},
		{"NotIpAddress, absent", `"NotIpAddress":{"a:k":"10.0.0.0/8"}`, none, true},

		{"ArnEquals", `"ArnEquals":{"a:k":"arn:aws:sns:r:1:t"}`, is("arn:aws:sns:r:1:t"), true},
		{"ArnEquals takes wildcards", `"ArnEquals":{"a:k":"arn:aws:iam::1:role/*"}`, is("arn:aws:iam::1:role/a/b"), true},
		{"ArnLike, components", `"ArnLike":{"a:k":"arn:aws:s3:*:*:b"}`, is("arn:aws:s3:::b"), true},
		{"ArnLike, component for component", `"ArnLike":{"a:k":"arn:aws:*:b"}`, is("arn:aws:s3:::b"), false},
		{"ArnLike, star", `"ArnLike":{"a:k":"*"}`, is("arn:aws:s3:::b"), true},
		{"ArnNotEquals", `"ArnNotEquals":{"a:k":"arn:aws:sns:r:1:t"}`, is("arn:aws:sns:r:1:u"), true},
		{"ArnNotLike", `"ArnNotLike":{"a:k":"arn:aws:sns:r:1:*"}`, is("arn:aws:sns:r:1:u"), false},
		{"ArnNotLike, absent", `"ArnNotLike":{"a:k":"arn:aws:sns:r:1:*"}`, none, true},

		{"Null true, absent", `"Null":{"a:k":"true"}`, none, true},
		{"Null true, there", `"Null":{"a:k":"true"}`, is("v"), false},
		{"Null false, there", `"Null":{"a:k":"false"}`, is("v"), true},
		{"Null false, absent", `"Null":{"a:k":false}`, none, false},
		{"an empty list is absent", `"Null":{"a:k":"true"}`, []string{}, true},
		{"an empty value is there", `"Null":{"a:k":"false"}`, is(""), true},

		{"IfExists, absent", `"StringEqualsIfExists":{"a:k":"v"}`, none, true},
		{"IfExists, equal", `"StringEqualsIfExists":{"a:k":"v"}`, is("v"), true},
		{"IfExists, different", `"StringEqualsIfExists":{"a:k":"v"}`, is("w"), false},
		{"negated IfExists, absent", `"StringNotEqualsIfExists":{"a:k":"v"}`, none, true},
		{"NumericIfExists, absent", `"NumericLessThanIfExists":{"a:k":"1"}`, none, true},

		{"ForAllValues, all", `"ForAllValues:StringEquals":{"a:k":["u","v","w"]}`, is("u", "v"), true},
		{"ForAllValues, one not", `"ForAllValues:StringEquals":{"a:k":["u","v"]}`, is("u", "x"), false},
		{"ForAllValues, absent", `"ForAllValues:StringEquals":{"a:k":"u"}`, none, true},
		{"ForAllValues, empty string", `"ForAllValues:StringEquals":{"a:k":"u"}`, is(""), true},
		{"ForAllValues like", `"ForAllValues:StringLike":{"a:k":"team-*"}`, is("team-a", "team-b"), true},
		{"ForAllValues negated, none equal", `"ForAllValues:StringNotEquals":{"a:k":["u","v"]}`, is("x", "y"), true},
		{"ForAllValues negated, one equal", `"ForAllValues:StringNotEquals":{"a:k":["u","v"]}`, is("x", "v"), false},
		{"ForAnyValue, one", `"ForAnyValue:StringEquals":{"a:k":["u","v"]}`, is("x", "v"), true},
		{"ForAnyValue, none", `"ForAnyValue:StringEquals":{"a:k":["u","v"]}`, is("x", "y"), false},
		{"ForAnyValue, absent", `"ForAnyValue:StringEquals":{"a:k":"u"}`, none, false},
		{"ForAnyValue IfExists, absent", `"ForAnyValue:StringEqualsIfExists":{"a:k":"u"}`, none, true},
		{"ForAnyValue negated, one differs", `"ForAnyValue:StringNotEquals":{"a:k":["u","v"]}`, is("u", "x"), true},
		{"ForAnyValue negated, all equal", `"ForAnyValue:StringNotEquals":{"a:k":["u","v"]}`, is("u", "v"), false},
		{"ForAnyValue negated, absent", `"ForAnyValue:StringNotLike":{"a:k":"u"}`, none, false},
		{"several values, plain", `"StringEquals":{"a:k":"v"}`, is("u", "v"), true},
		{"several values, plain negated", `"StringNotEquals":{"a:k":"v"}`, is("u", "v"), false},
		{"no values in the policy", `"StringEquals":{"a:k":[]}`, is("v"), false},
		{"no values in the policy, negated", `"StringNotEquals":{"a:k":[]}`, is("v"), true},

		{"variable", `"StringEquals":{"a:k":"${a:user}"}`, is("ann"), true},
		{"variable in a pattern", `"StringLike":{"a:k":"home/${a:user}/*"}`, is("home/ann/x"), true},
		{"variable with default", `"StringEquals":{"a:k":"${a:none, 'd'}"}`, is("d"), true},
		{"variable without value", `"StringEquals":{"a:k":"${a:none}"}`, is(""), false},
		{"variable without value, negated", `"StringNotEquals":{"a:k":"${a:none}"}`, is("v"), true},
		{"variable in an ARN", `"ArnLike":{"a:k":"arn:aws:iam::1:user/${a:user}"}`, is("arn:aws:iam::1:user/ann"), true},
		{"no variable in other operators", `"Bool":{"a:k":"${a:user}"}`, is("ann"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, Identity, allow("*", "*", `"Condition":{`+c.condition+`}`))
			ctx := map[string][]string{"a:user": {"ann"}, "a:other": {"x"}}
			if c.values != nil {
				ctx["a:k"] = c.values
			}
			d := Evaluate(Inputs{Identity: []Source{{"p", p}}}, Request{Principal: ann, Action: "s3:GetObject", Context: ctx})
			if d.Allowed != c.want {
				t.Errorf("%s with %q holds: %v", c.condition, c.values, d.Allowed)
			}
		})
	}
}
