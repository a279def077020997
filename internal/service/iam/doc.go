// Package iam serves the IAM API: users, groups, access keys, roles, instance profiles,
// OIDC providers and the policies that hang on them.
//
// IAM is global: records have no region, and what one call wrote the next one in any
// region sees. Names are unique within an account and a kind whatever their case and
// their path; ARNs have the path:
//
//	arn:aws:iam::<account>:user<path><name>
//	arn:aws:iam::<account>:role<path><name>
//	arn:aws:iam::<account>:instance-profile<path><name>
//	arn:aws:iam::<account>:policy<path><name>
//	arn:aws:iam::<account>:group<path><name>
//	arn:aws:iam::<account>:oidc-provider/<issuer without https://>
//
// Policy documents are checked by package authz when they are given, and come back
// URL-encoded (RFC 3986) where AWS does that. AWS's managed policies are data of package
// iampolicy and are the same in every account.
//
// The package decides nothing about who may do what: package identity does, with what is recorded here.
// It has no login profiles, MFA devices, server certificates or SAML providers.
package iam
