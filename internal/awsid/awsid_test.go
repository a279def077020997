package awsid

import (
	"regexp"
	"testing"
)

func TestForms(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{New("vpc"), `^vpc-0[0-9a-f]{16}$`},
		{UUID(), `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{IAM("AROA"), `^AROA[A-Z2-7]{17}$`},
		{IAM("AKIA"), `^AKIA[A-Z2-7]{16}$`},
		{Lower(17), `^[a-z2-7]{17}$`},
		{Secret(40), `^[A-Za-z0-9+/]{40}$`},
		{MAC(), `^02:ec(:[0-9a-f]{2}){4}$`},
		{Hex(5), `^[0-9a-f]{5}$`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.got) {
			t.Errorf("%q does not match %s", c.got, c.want)
		}
	}
	if a, b := New("i"), New("i"); a == b {
		t.Error("ids repeat")
	}
	if a, b := UUID(), UUID(); a == b {
		t.Error("ids repeat")
	}
}
