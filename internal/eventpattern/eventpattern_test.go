package eventpattern

import (
	"strings"
	"testing"
)

const event = `{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","resources":["arn:a","arn:b"],
	"detail":{"state":"running","n":5,"f":5.5,"big":9007199254740993,"ip":"10.0.1.7","none":null,"yes":true,"empty":[],"list":[{"k":"v"},{"k":"w"}],"path":"a/b*c"}}`

func TestMatches(t *testing.T) {
	e, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]bool{
		`{"source":["aws.ec2"]}`: true,
		`{"source":["aws.ec"]}`:  false,
		`{"source":["x","aws.ec2"],"detail-type":["EC2 Instance State-change Notification"]}`: true,
		`{"source":["aws.ec2"],"detail-type":["other"]}`:                                      false,
		`{"resources":["arn:b"]}`:                                          true,
		`{"resources":["arn:c"]}`:                                          false,
		`{"detail":{"state":["running","stopped"]}}`:                       true,
		`{"detail":{"state":[{"prefix":"run"}]}}`:                          true,
		`{"detail":{"state":[{"prefix":{"equals-ignore-case":"RUN"}}]}}`:   true,
		`{"detail":{"state":[{"prefix":"RUN"}]}}`:                          false,
		`{"detail":{"state":[{"suffix":"ing"}]}}`:                          true,
		`{"detail":{"state":[{"equals-ignore-case":"Running"}]}}`:          true,
		`{"detail":{"state":[{"wildcard":"r*n*g"}]}}`:                      true,
		`{"detail":{"state":[{"wildcard":"r*n"}]}}`:                        false,
		`{"detail":{"path":[{"wildcard":"a/b\\*c"}]}}`:                     true,
		`{"detail":{"state":[{"wildcard":"run\\*"}]}}`:                     false,
		`{"detail":{"state":[{"anything-but":"stopped"}]}}`:                true,
		`{"detail":{"state":[{"anything-but":["running","stopped"]}]}}`:    false,
		`{"detail":{"state":[{"anything-but":{"prefix":"run"}}]}}`:         false,
		`{"detail":{"state":[{"anything-but":{"suffix":["x","y"]}}]}}`:     true,
		`{"detail":{"missing":[{"anything-but":"x"}]}}`:                    false,
		`{"detail":{"missing":[{"exists":false}]}}`:                        true,
		`{"detail":{"missing":[{"exists":true}]}}`:                         false,
		`{"detail":{"none":[{"exists":true}]}}`:                            true,
		`{"detail":{"none":[null]}}`:                                       true,
		`{"detail":{"missing":[null]}}`:                                    false,
		`{"detail":{"yes":[true]}}`:                                        true,
		`{"detail":{"yes":["true"]}}`:                                      false,
		`{"detail":{"n":[5]}}`:                                             true,
		`{"detail":{"n":[5.0]}}`:                                           true,
		`{"detail":{"n":["5"]}}`:                                           false,
		`{"detail":{"big":[9007199254740992]}}`:                            false,
		`{"detail":{"n":[{"numeric":[">",4,"<=",5]}]}}`:                    true,
		`{"detail":{"n":[{"numeric":["<",5]}]}}`:                           false,
		`{"detail":{"f":[{"numeric":["=",5.50]}]}}`:                        true,
		`{"detail":{"state":[{"numeric":[">",0]}]}}`:                       false,
		`{"detail":{"ip":[{"cidr":"10.0.0.0/16"}]}}`:                       true,
		`{"detail":{"ip":[{"cidr":"10.1.0.0/16"}]}}`:                       false,
		`{"detail":{"list":{"k":["w"]}}}`:                                  true,
		`{"detail":{"list":{"k":["z"]}}}`:                                  false,
		`{"$or":[{"source":["x"]},{"detail":{"state":["running"]}}]}`:      true,
		`{"$or":[{"source":["x"]},{"source":["y"]}]}`:                      false,
		`{"source":["aws.ec2"],"$or":[{"source":["x"]},{"source":["y"]}]}`: false,
		`{"detail":{"state":{"deeper":["x"]}}}`:                            false,
		`{"detail":{"empty":["x"]}}`:                                       false,
	} {
		p, err := Parse(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := p.Matches(e); got != want {
			t.Errorf("%s: %t", pattern, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for pattern, says := range map[string]string{
		`{`:                                   "unexpected EOF",
		`[]`:                                  "not an object",
		`{}`:                                  "Empty objects",
		`{"a":"b"}`:                           "must be an object or an array",
		`{"a":[]}`:                            "Empty arrays",
		`{"a":[["b"]]}`:                       "Match value must be",
		`{"a":[{"like":"b"}]}`:                "Unrecognized match type like",
		`{"a":[{"prefix":"b","suffix":"c"}]}`: "Only one key",
		`{"a":[{"prefix":1}]}`:                "must be a string",
		`{"a":[{"exists":"yes"}]}`:            "true or false",
		`{"a":[{"numeric":[">"]}]}`:           "numeric match",
		`{"a":[{"numeric":["!",1]}]}`:         "numeric range operator",
		`{"a":[{"numeric":["<","1"]}]}`:       "must be numeric",
		`{"a":[{"cidr":"10.0.0.0"}]}`:         "CIDR",
		`{"a":[{"wildcard":"a**b"}]}`:         "Consecutive wildcard",
		`{"a":[{"wildcard":"a\\b"}]}`:         "escape",
		`{"a":[{"anything-but":[true]}]}`:     "anything but",
		`{"a":[{"anything-but":{"x":"y"}}]}`:  "Unsupported anything-but",
		`{"$or":[{"a":["b"]}]}`:               "at least 2",
		`{"a":["b"]} x`:                       "behind its end",
	} {
		if _, err := Parse(pattern); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"detail":{"n":[{"numeric":[">",4]}],"s":[{"wildcard":"a*b"},{"anything-but":["c"]}]}}`, event)
	f.Fuzz(func(t *testing.T, pattern, event string) {
		p, err := Parse(pattern)
		if err != nil {
			return
		}
		if e, err := Decode(event); err == nil {
			p.Matches(e)
		}
	})
}
