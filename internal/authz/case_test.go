package authz

import "testing"

// Condition keys have no case. Where two of a request differ in nothing else, each policy
// sees the one that it spells, and the same one of them each time if it spells neither.
func TestKeysOfOneName(t *testing.T) {
	req := Request{Principal: ann, Action: "ec2:StopInstances", Context: map[string][]string{
		"aws:ResourceTag/team": {"b"}, "aws:ResourceTag/TEAM": {"a"}, "aws:ResourceTag/Team": {"c"},
	}}
	for key, want := range map[string]string{"team": "b", "Team": "c", "TEAM": "a", "tEAM": "a"} {
		p := parse(t, Identity, allow("ec2:StopInstances", "*", `"Condition":{"StringEquals":{"aws:ResourceTag/`+key+`":"`+want+`"}}`))
		for range 50 { // maps have another order each time
			if d := Evaluate(Inputs{Identity: []Source{{Policy: p}}}, req); !d.Allowed {
				t.Fatalf("%s is not %s", key, want)
			}
		}
	}
}
