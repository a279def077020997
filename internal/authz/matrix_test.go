package authz

import (
	"strings"
	"testing"
)

// TestMatrix tries every combination of what the kinds of policy can say, against rules written down
// one by one as the IAM User Guide states them.
func TestMatrix(t *testing.T) {
	const action, resource = "s3:GetObject", "arn:aws:s3:::b/k"
	says := map[string]string{"allows": allow(action, "*"), "silent": allow("ec2:*", "*"), "denies": deny(action, "*")}
	names := map[string]string{"everybody": "*", "account": home, "role": ops.RoleARN, "session": ops.ARN, "user": ann.ARN}
	callers := map[string]Principal{"user": ann, "session": ops, "root": rootOf}
	limits := []string{"none", "allows", "silent", "denies"}
	cases := 0
	for caller, who := range callers {
		for _, account := range []string{"same", "other"} {
			for _, identity := range limits {
				for _, boundary := range limits {
					for _, session := range limits {
						for _, byResource := range []string{"none", "everybody", "account", "role", "session", "user", "denies"} {
							cases++
							in := Inputs{}
							if identity != "none" {
								in.Identity = sources(t, Identity, says[identity])
							}
							if boundary != "none" {
								in.Boundary = parse(t, Boundary, says[boundary])
							}
							if session != "none" {
								in.Session = sources(t, Session, says[session])
							}
							switch byResource {
							case "none":
							case "denies":
								in.Resource = parse(t, Resource, deny(action, "*", to("*")))
							default:
								in.Resource = parse(t, Resource, allow(action, "*", to(names[byResource])))
							}
							owner := home
							if account == "other" {
								owner = other
							}

							names := byResource == "everybody" || byResource == "account" || byResource == caller || byResource == "role" && caller == "session"
							itself := byResource == "everybody" || byResource == caller || byResource == "account" && caller == "root"
							limited := boundary == "silent" || session == "silent"
							identityAllows := identity == "allows" || caller == "root"
							var want bool
							switch {
							case identity == "denies", boundary == "denies", session == "denies", byResource == "denies":
								want = false // an explicit deny wins
							case account == "other":
								want = names && identityAllows && !limited // both sides
							case itself:
								want = true // granted to the caller itself
							case byResource == "role" && caller == "session":
								want = !limited // granted to its role
							default:
								want = identityAllows && !limited // the account's own policies
							}
							d := Evaluate(in, Request{Principal: who, Action: action, Resources: []string{resource}, ResourceAccount: owner})
							if d.Allowed != want {
								t.Errorf("%s: allowed=%v (%s)", strings.Join([]string{caller, account + " account", "identity " + identity,
									"boundary " + boundary, "session " + session, "resource " + byResource}, ", "), d.Allowed, d.Kind)
							}
						}
					}
				}
			}
		}
	}
	if cases != 3*2*4*4*4*7 {
		t.Errorf("%d cases", cases)
	}
}
