package sts_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"

	geniam "ekster.dev/ekster/gen/iam"
	gensts "ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/iam"
	"ekster.dev/ekster/internal/service/sts"
	"ekster.dev/ekster/internal/store"
)

const (
	issuer        = "https://127.64.0.1/id/ABCDEF0123456789ABCDEF0123456789"
	foreignIssuer = "https://127.0.0.9/idp"
	thumb         = "0123456789012345678901234567890123456789"
)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// An idp signs tokens.
type idp struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &idp{r, e}
}

func (p *idp) jwks() []byte {
	point, err := p.ec.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	raw, err := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": b64(p.rsa.N.Bytes()), "e": b64(big.NewInt(int64(p.rsa.E)).Bytes())},
		{"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	}})
	if err != nil {
		panic(err)
	}
	return raw
}

// token signs claims, with alg and kid of the header as they are given.
func (p *idp) token(t *testing.T, alg, kid string, claims map[string]any) string {
	t.Helper()
	parts := make([]string, 2)
	for i, v := range []any{map[string]string{"alg": alg, "kid": kid, "typ": "JWT"}, claims} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = b64(raw)
	}
	signed := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch alg {
	case "RS256":
		signature, err = rsa.SignPKCS1v15(rand.Reader, p.rsa, crypto.SHA256, sum[:])
	case "ES256":
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, p.ec, sum[:]); err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case "HS256": // with the public key as the secret: what a careless verifier takes
		h := hmac.New(sha256.New, p.rsa.N.Bytes())
		h.Write([]byte(signed))
		signature = h.Sum(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(signature)
}

func podClaims(more map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": issuer, "sub": "system:serviceaccount:apps:web", "aud": []string{"sts.amazonaws.com"}, "iat": now, "nbf": now, "exp": now + 3600}
	maps.Copy(c, more)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

// openWeb has a cluster with an issuer, a provider for it, one for a foreign issuer, and a role for the pods of one service account.
func openWeb(t *testing.T, p *idp, foreign func(context.Context, string) (sts.IssuerKeys, error)) *identitytest.Door {
	t.Helper()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{
			gensts.Service(sts.New(sts.Config{Store: d.Store, Policies: d.Policies, IssuerKeys: foreign})),
			geniam.Service(iam.New(d.Store, d.Managed)),
		}
	})
	host := strings.TrimPrefix(issuer, "https://")
	d.Update(t, func(tx *store.Tx) {
		tx.Clusters.Put("c", resource.Cluster{ARN: "c", Status: resource.ClusterStatus{JWKS: p.jwks(), Issuer: issuer}})
		put := func(name, url, condition string) {
			r := resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role/" + name, Name: name, Path: "/", ID: "AROA" + strings.ToUpper(name), MaxSession: 3600,
				Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/` + url + `"},` +
					`"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{` + condition + `}}}]}`}
			tx.Roles.Put(r.ARN, r)
		}
		put("pod", host, `"`+host+`:sub":"system:serviceaccount:apps:web","`+host+`:aud":"sts.amazonaws.com"`)
		put("foreign", "127.0.0.9/idp", `"127.0.0.9/idp:aud":"app"`)
	})
	api := sdkiam.NewFromConfig(d.AsRoot())
	for url, client := range map[string]string{issuer: "sts.amazonaws.com", foreignIssuer: "app"} {
		_, err := api.CreateOpenIDConnectProvider(t.Context(), &sdkiam.CreateOpenIDConnectProviderInput{Url: &url, ClientIDList: []string{client}, ThumbprintList: []string{thumb}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func assumeWeb(t *testing.T, d *identitytest.Door, role, token string) (*sdk.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	return sdk.NewFromConfig(d.As("none", "none", "")).AssumeRoleWithWebIdentity(t.Context(), &sdk.AssumeRoleWithWebIdentityInput{
		RoleArn: &role, RoleSessionName: aws.String("web"), WebIdentityToken: &token,
	})
}

const podRole = "arn:aws:iam::" + account + ":role/pod"

func TestWebIdentity(t *testing.T) {
	p, stranger := newIDP(t), newIDP(t)
	d := openWeb(t, p, nil)
	now := time.Now().Unix()
	const no = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	for _, c := range []struct {
		name, role, token string
		code, message     string
	}{
		{name: "a pod's token", token: p.token(t, "RS256", "r", podClaims(nil))},
		{name: "without a key id", token: p.token(t, "RS256", "", podClaims(nil))},
		{name: "elliptic", token: p.token(t, "ES256", "e", podClaims(nil))},
		{name: "session tags", token: p.token(t, "RS256", "r", podClaims(map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"a"}}}}))},
		{name: "wrong service account", token: p.token(t, "RS256", "r", podClaims(map[string]any{"sub": "system:serviceaccount:apps:wbe"})), code: "AccessDenied", message: no},
		{name: "wrong namespace", token: p.token(t, "RS256", "r", podClaims(map[string]any{"sub": "system:serviceaccount:app:web"})), code: "AccessDenied", message: no},
		{name: "no such role", role: podRole + "s", token: p.token(t, "RS256", "r", podClaims(nil)), code: "AccessDenied", message: no},
		{name: "another account's role", role: "arn:aws:iam::111111111111:role/pod", token: p.token(t, "RS256", "r", podClaims(nil)),
			code: "InvalidIdentityToken", message: "No OpenIDConnect provider found in your account for " + issuer},
		{name: "no role", role: "pod-role-of-somebody", token: p.token(t, "RS256", "r", podClaims(nil)), code: "ValidationError", message: "Request ARN is invalid"},
		{name: "wrong audience", token: p.token(t, "RS256", "r", podClaims(map[string]any{"aud": "vault"})), code: "InvalidIdentityToken", message: "Incorrect token audience"},
		{name: "no provider", token: p.token(t, "RS256", "r", podClaims(map[string]any{"iss": "https://127.64.0.1/id/0"})),
			code: "InvalidIdentityToken", message: "No OpenIDConnect provider found in your account for https://127.64.0.1/id/0"},
		{name: "expired", token: p.token(t, "RS256", "r", podClaims(map[string]any{"exp": now - 1})), code: "ExpiredTokenException"},
		{name: "of tomorrow", token: p.token(t, "RS256", "r", podClaims(map[string]any{"nbf": now + 86400})), code: "InvalidIdentityToken"},
		{name: "no subject", token: p.token(t, "RS256", "r", podClaims(map[string]any{"sub": nil})), code: "InvalidIdentityToken", message: "Missing a required claim: sub"},
		{name: "a stranger's key", token: stranger.token(t, "RS256", "r", podClaims(nil)), code: "InvalidIdentityToken", message: "The ID Token provided has an invalid signature."},
		{name: "an unknown key", token: p.token(t, "RS256", "x", podClaims(nil)), code: "InvalidIdentityToken",
			message: "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"},
		{name: "no signature", token: p.token(t, "none", "r", podClaims(nil)), code: "InvalidIdentityToken", message: "The ID Token provided has an invalid signature."},
		{name: "the public key as a secret", token: p.token(t, "HS256", "r", podClaims(nil)), code: "InvalidIdentityToken", message: "The ID Token provided has an invalid signature."},
		{name: "no token", token: "abcdef", code: "InvalidIdentityToken", message: "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"},
		{name: "an issuer that nobody reaches", role: "arn:aws:iam::" + account + ":role/foreign", token: p.token(t, "RS256", "r", podClaims(map[string]any{"iss": foreignIssuer, "aud": "app"})),
			code: "IDPCommunicationError", message: "The identity provider could not be reached to verify the incoming identity token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			role := podRole
			if c.role != "" {
				role = c.role
			}
			out, err := assumeWeb(t, d, role, c.token)
			if c.code != "" {
				failsWith(t, err, c.code, c.message)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			who, err := sdk.NewFromConfig(d.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
			if err != nil || *who.Arn != "arn:aws:sts::"+account+":assumed-role/pod/web" {
				t.Errorf("it is %v, %v", who, err)
			}
			if *out.SubjectFromWebIdentityToken != "system:serviceaccount:apps:web" || *out.Audience != "sts.amazonaws.com" {
				t.Errorf("got %+v", out)
			}
		})
	}
}

// failsWith checks an error's code, and its message unless that is "".
func failsWith(t *testing.T, err error, code, message string) {
	t.Helper()
	if message != "" {
		fails(t, err, code, message)
		return
	}
	if err == nil || !strings.Contains(err.Error(), code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// Deleting the provider, or its client id, ends what it allowed.
func TestWebIdentityProviderChanges(t *testing.T) {
	p := newIDP(t)
	d := openWeb(t, p, nil)
	api, arn := sdkiam.NewFromConfig(d.AsRoot()), "arn:aws:iam::"+account+":oidc-provider/"+strings.TrimPrefix(issuer, "https://")
	token := p.token(t, "RS256", "r", podClaims(nil))
	if _, err := api.RemoveClientIDFromOpenIDConnectProvider(t.Context(), &sdkiam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: aws.String("sts.amazonaws.com")}); err != nil {
		t.Fatal(err)
	}
	_, err := assumeWeb(t, d, podRole, token)
	failsWith(t, err, "InvalidIdentityToken", "Incorrect token audience")
	if _, err := api.AddClientIDToOpenIDConnectProvider(t.Context(), &sdkiam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: aws.String("sts.amazonaws.com")}); err != nil {
		t.Fatal(err)
	}
	if _, err := assumeWeb(t, d, podRole, token); err != nil {
		t.Error(err)
	}
	if _, err := api.DeleteOpenIDConnectProvider(t.Context(), &sdkiam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}); err != nil {
		t.Fatal(err)
	}
	_, err = assumeWeb(t, d, podRole, token)
	failsWith(t, err, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for "+issuer)
}

// A foreign issuer is asked for its keys, and believed if its certificate is trusted or the registered one.
func TestWebIdentityForeignIssuer(t *testing.T) {
	p := newIDP(t)
	print, reachable, trusted := thumb, true, false
	d := openWeb(t, p, func(_ context.Context, url string) (sts.IssuerKeys, error) {
		if !reachable || url != foreignIssuer {
			return sts.IssuerKeys{}, errors.New("no route")
		}
		return sts.IssuerKeys{JWKS: p.jwks(), Thumbprints: []string{"ffff", strings.ToUpper(print)}, Trusted: trusted}, nil
	})
	token := p.token(t, "RS256", "r", podClaims(map[string]any{"iss": foreignIssuer, "aud": "app"}))
	const role = "arn:aws:iam::" + account + ":role/foreign"
	if _, err := assumeWeb(t, d, role, token); err != nil {
		t.Error(err)
	}
	print = "another"
	_, err := assumeWeb(t, d, role, token)
	failsWith(t, err, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
	trusted = true
	if _, err := assumeWeb(t, d, role, token); err != nil {
		t.Errorf("a trusted certificate with another thumbprint: %v", err)
	}
	reachable = false
	_, err = assumeWeb(t, d, role, token)
	failsWith(t, err, "IDPCommunicationError", "")
}
