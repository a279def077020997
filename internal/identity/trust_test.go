package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Who is gone or renamed is so in a trust policy however its ARN is spelled there, and once.
func TestTrustToday(t *testing.T) {
	d := open(t)
	const users, sessions = "arn:aws:iam::000000000000:user/", "arn:aws:sts::000000000000:assumed-role/"
	id := func(kind, name string) string { return kind + strings.ToUpper(name) + strings.Repeat("0", 12) }
	policy := func(principals string) string {
		return `{"Version": "2012-10-17", "Statement": {"Effect":"Allow","Principal":{"AWS":` + principals + `},"Action":"sts:AssumeRole",` +
			`"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + users + `bob"}}}}`
	}
	for _, c := range []struct{ name, written, today string }{
		{"as it was", `"` + users + `carol"`, `"` + users + `carol"`},
		{"made anew", `["` + users + `bob", "` + users + `carol"]`, `["` + id("AIDA", "bob") + `", "` + users + `carol"]`},
		{"escaped", `"arn:aws:iam::000000000000:user\/bob"`, `"` + id("AIDA", "bob") + `"`},
		{"each other's names", `["` + users + `x","` + users + `y"]`, `["` + users + `y","` + users + `x"]`},
		{"session of a deleted role", `"` + sessions + `gone/s"`, `"` + id("AROA", "gone") + `:s"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.Update(t, func(tx *store.Tx) {
				add := func(name, id string) {
					tx.Users.Put(users+name, resource.User{Account: account, ARN: users + name, Name: name, ID: id})
				}
				for _, name := range []string{"bob", "carol", "x", "y"} {
					add(name, id("AIDA", name))
				}
				gone := resource.Role{Account: account, ARN: roleARN + "gone", Name: "gone", ID: id("AROA", "gone")}
				tx.Roles.Put(gone.ARN, gone)
				r := resource.Role{Trust: policy(c.written)}
				p, err := authz.Parse([]byte(r.Trust), authz.Trust)
				if err != nil {
					t.Fatal(err)
				}
				if r.TrustIDs, err = identity.TrustIDs(tx, p); err != nil {
					t.Fatal(err)
				}
				tx.Roles.Delete(gone.ARN)
				add("bob", id("AIDA", "another"))
				add("x", id("AIDA", "y"))
				add("y", id("AIDA", "x"))
				got := identity.Trust(tx, r)
				if want := policy(c.today); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				if _, err := authz.Parse([]byte(got), authz.Trust); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A session that is trusted by the id of its role is that one, and no other of the role.
func TestTrustedSession(t *testing.T) {
	const role = "AROA000000000000"
	p, err := authz.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s:s"},"Action":"sts:AssumeRole"}]}`, role), authz.Trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range []string{"s", "s2", "other"} {
		who := authz.Principal{Type: authz.RoleSession, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/r/" + session, RoleARN: roleARN + "r", ID: role + ":" + session}
		d := authz.Evaluate(authz.Inputs{Resource: p, ResourceRequired: true}, authz.Request{Principal: who, Action: "sts:AssumeRole", Resources: []string{roleARN + "x"}, ResourceAccount: account})
		if d.Allowed != (session == "s") {
			t.Errorf("%s is trusted: %v", session, d.Allowed)
		}
	}
}
