// Package identity knows who signs requests and what they may do: it stands between
// the front door, which verifies signatures, and the records of users, roles and sessions.
//
//	Keys          access key id → secret and principal   (the front door's question)
//	Authorizer    call and input → nil or AWS's denial   (the front door's second question)
//	NewSession    role → temporary credentials           (STS, EKS Auth)
//	Instances     instance → those of its role           (IMDS)
//	Policies      principal → the policies that apply    (Authorizer, STS)
//	EnsureRoot    account → its root access key          (the daemon's start)
//
// What an operation is checked for is a table per service, actions_<service>.go: the
// resources as ARNs, and the condition keys, from the input. The action is
// <service>:<Operation> unless the row says otherwise. What a resource that exists gives
// by itself, its tags above all, is in resourcekeys.go; what else the caller must be
// allowed (iam:PassRole, tags on what is made, service-linked roles) in dependent.go.
//
// All reads are of records in memory. The package parses no policy (package authz
// does), serves no API, and starts nothing: a controller calls PurgeSessions and
// Authorizer.Flush from time to time.
package identity
