// Package authz decides whether a principal may perform an action, by AWS's policy evaluation logic.
//
// It is a pure function: no I/O, no clock, no knowledge of any service or of the store. Policies are
// compiled once by Parse, which also refuses what IAM refuses, with IAM's texts. Evaluate then decides
// a Request against the policies that apply to it, in this order:
//
//	an explicit deny in any policy                         → denied
//	service control policies, level by level               → each level has to allow
//	a resource policy that grants the caller itself        → allowed, within the same account
//	identity policies                                      → have to allow
//	permissions boundary, session policies                 → have to allow too, when there are any
//	a resource policy, across accounts or when Required    → has to allow too
//
// What a resource policy's grant may bypass depends on whom it names (principal.go, grant):
//
//	the user, the session, or "*"   → nothing on the caller's side limits it but an explicit deny
//	the role of a session           → the boundary and the session policies still limit it
//	the account                     → it only delegates: the identity policies have to allow as well
//
// It does not find policies, principals or condition values: its callers do, and hand them in. It does
// not check that the principals a policy names exist (Policy.Principals lists them for that), nor
// policy sizes and counts.
package authz
