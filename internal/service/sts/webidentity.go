package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// IssuerKeys are what an issuer of tokens shows to the world.
type IssuerKeys struct {
	JWKS        []byte   // its key set
	Thumbprints []string // SHA-1 of the certificates that came with it, in lower case hex
	Trusted     bool     // whether they are an authority's that this host trusts
}

// tokenSkew is how far an issuer's clock may be ahead of ours.
const tokenSkew = 5 * time.Minute

// AssumeRoleWithWebIdentity gives the holder of an OIDC token credentials of a role. Nobody
// signs the request: the token is the proof. It is verified by the keys of its issuer,
// which has to be registered as a provider in the role's account.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, call awsapi.Call, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	if p := deref(in.ProviderId); p != "" { // OAuth 2.0 access tokens of two consumer sites
		return nil, validation("ProviderId %s is not supported: only OpenID Connect id tokens are.", p)
	}
	want, err := s.newGrant(&sts.AssumeRoleInput{
		RoleSessionName: in.RoleSessionName, Policy: in.Policy, PolicyArns: in.PolicyArns, DurationSeconds: in.DurationSeconds,
	})
	if err != nil {
		return nil, err
	}
	account, err := accountOfRole(deref(in.RoleArn))
	if err != nil {
		return nil, err
	}
	token, err := readToken(deref(in.WebIdentityToken))
	if err != nil {
		return nil, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	provider, err := s.checkToken(ctx, account, token, call.Time)
	if err != nil {
		return nil, err
	}
	want.Provider = provider.ARN
	if err := want.takeClaims(token.claims); err != nil {
		return nil, err
	}
	session, err := s.issue(ctx, call, &want, func(tx *store.Tx) (resource.Role, error) {
		return s.permitToken(tx, call, in, provider, token.claims, want.Grant)
	})
	if err != nil {
		return nil, err
	}
	out := &sts.AssumeRoleWithWebIdentityOutput{
		Credentials:                 describeCredentials(session),
		AssumedRoleUser:             &sts.AssumedRoleUser{Arn: new(session.Principal), AssumedRoleId: new(session.PrincipalID)},
		SubjectFromWebIdentityToken: new(token.claims.Subject),
		Provider:                    new(provider.ARN),
		Audience:                    new(token.claims.party()),
		PackedPolicySize:            packedSize(want.Grant),
	}
	if session.SourceID != "" {
		out.SourceIdentity = new(session.SourceID)
	}
	return out, nil
}

func invalidToken(format string, args ...any) error {
	return &sts.InvalidIdentityTokenException{Message: new(fmt.Sprintf(format, args...))}
}

// accountOfRole is the account in a role's ARN.
func accountOfRole(arn string) (string, error) {
	f := strings.SplitN(arn, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[2] != "iam" || len(f[4]) != 12 || !strings.HasPrefix(f[5], "role/") {
		return "", validation("Request ARN is invalid")
	}
	return f[4], nil
}

// checkToken finds the token's provider in an account and verifies the token by its keys.
func (s *Service) checkToken(ctx context.Context, account string, t webToken, now time.Time) (resource.OIDCProvider, error) {
	c := t.claims
	for name, missing := range map[string]bool{"iss": c.Issuer == "", "sub": c.Subject == "", "aud": len(c.Audience) == 0, "exp": c.Expires == nil, "iat": c.Issued == nil} {
		if missing {
			return resource.OIDCProvider{}, invalidToken("Missing a required claim: %s", name)
		}
	}
	issuer := strings.TrimSuffix(strings.TrimPrefix(c.Issuer, "https://"), "/")
	var p resource.OIDCProvider
	var known bool
	var keys []byte // of a cluster here
	err := s.Store.View(func(tx *store.Tx) error {
		p, known = tx.OIDCProviders.Get("arn:aws:iam::" + account + ":oidc-provider/" + issuer)
		for _, cl := range tx.Clusters.All() {
			if len(cl.Status.JWKS) > 0 && cl.Status.Issuer == c.Issuer {
				keys = cl.Status.JWKS
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return p, err
	case !known:
		return p, invalidToken("No OpenIDConnect provider found in your account for %s", c.Issuer)
	case !now.Before(c.Expires.time()):
		return p, &sts.ExpiredTokenException{Message: new(fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), c.Expires.time().Unix()))}
	case c.Issued.time().After(now.Add(tokenSkew)), c.Before != nil && c.Before.time().After(now.Add(tokenSkew)):
		return p, invalidToken("The token is not valid yet: current date/time %d", now.Unix())
	}
	if keys == nil {
		if keys, err = s.foreignKeys(ctx, c.Issuer, p); err != nil {
			return p, err
		}
	}
	switch err := t.verify(keys); {
	case errors.Is(err, errNoKey):
		return p, invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	case err != nil:
		return p, invalidToken("The ID Token provided has an invalid signature.")
	}
	if !slices.Contains(p.ClientIDs, c.party()) {
		return p, invalidToken("Incorrect token audience")
	}
	return p, nil
}

// party is whom the token is for: the party that asked for it, where the issuer says so.
func (c claims) party() string {
	if c.Party != "" {
		return c.Party
	}
	return c.Audience[0]
}

// foreignKeys asks an issuer that is not one of ours for its keys. Its certificate has to
// be trusted or, if it is not, the one that the provider was registered with.
func (s *Service) foreignKeys(ctx context.Context, issuer string, p resource.OIDCProvider) ([]byte, error) {
	unreachable := &sts.IDPCommunicationErrorException{Message: new("The identity provider could not be reached to verify the incoming identity token")}
	if s.IssuerKeys == nil {
		return nil, unreachable
	}
	found, err := s.IssuerKeys(ctx, issuer)
	if err != nil {
		return nil, unreachable // why is for nobody without an account to know
	}
	if found.Trusted {
		return found.JWKS, nil
	}
	for _, t := range found.Thumbprints {
		if slices.Contains(p.Thumbprints, strings.ToLower(t)) {
			return found.JWKS, nil
		}
	}
	return nil, invalidToken("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
}

// takeClaims adds to a grant the session tags and the source identity that a token carries.
func (g *grant) takeClaims(c claims) error {
	g.SourceID = c.SourceIdentity
	if c.Tags == nil {
		return nil
	}
	for k, v := range c.Tags.Principal {
		if len(v) != 1 {
			return invalidToken("The session tag %s in the token does not have one value.", k)
		}
		if reserved(k) {
			return invalidToken("Tag keys starting with 'aws:' are reserved for system use.")
		}
		if !g.SetTag(k, v[0]) {
			return invalidToken("The session tag %s is in the token twice: its case has no meaning.", k)
		}
	}
	for _, k := range c.Tags.Transitive {
		if !g.HandOn(k) {
			return invalidToken("The transitive tag key %s is not among the tags in the token.", k)
		}
	}
	return g.fits()
}

// permitToken decides by the role's trust policy alone: nobody attaches policies to the holder of a token.
func (s *Service) permitToken(tx *store.Tx, call awsapi.Call, in *sts.AssumeRoleWithWebIdentityInput, p resource.OIDCProvider, c claims, g identity.Grant) (resource.Role, error) {
	const action = "sts:AssumeRoleWithWebIdentity"
	refused := identity.Denial("sts", "Not authorized to perform "+action)
	role, ok := tx.Roles.Get(deref(in.RoleArn))
	if !ok { // AWS does not tell whether it is there
		return role, refused
	}
	if err := s.managed(tx, role.Account, g.PolicyARNs); err != nil {
		return role, err
	}
	trust, err := s.Policies.Compile(identity.Trust(tx, role), authz.Trust)
	if err != nil {
		return role, fmt.Errorf("trust policy of %s: %w", role.ARN, err)
	}
	keys := identity.Context(call)
	for _, k := range []string{"aws:PrincipalType", "aws:userid"} { // of a caller without a token
		delete(keys, k)
	}
	keys["aws:FederatedProvider"] = []string{p.ARN}
	keys[p.URL+":sub"] = []string{c.Subject}
	keys[p.URL+":aud"] = []string{c.party()}
	if c.Party != "" {
		keys[p.URL+":oaud"] = c.Audience
	}
	if len(c.Methods) > 0 {
		keys[p.URL+":amr"] = c.Methods
	}
	if c.Email != "" {
		keys[p.URL+":email"] = []string{c.Email}
	}
	maps.Copy(keys, g.Keys(role))
	for _, a := range g.Actions(action) {
		d := authz.Evaluate(authz.Inputs{Resource: trust, ResourceRequired: true}, authz.Request{
			Principal: authz.Principal{Type: authz.WebIdentity, Provider: p.ARN}, Action: a, Resources: []string{role.ARN}, ResourceAccount: role.Account, Context: keys,
		})
		if !d.Allowed {
			return role, refused
		}
	}
	return role, nil
}
