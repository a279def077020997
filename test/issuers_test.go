package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ekster.dev/ekster/test/lab"
)

// TestIssuers gives the holders of other issuers' tokens a role: of one on this machine at
// once, of one beyond it when the daemon was started so that it may ask there.
func TestIssuers(t *testing.T) {
	ctx := t.Context()
	here, there := newIssuer(t), newIssuerAt(t, elsewhereAddress(t))
	d, cloud := newDaemon(t)
	account, err := cloud.Account(ctx)
	no(t, err)
	name := func(i *issuer) string { return strings.TrimPrefix(i.url, "https://") }
	for role, i := range map[string]*issuer{"here": here, "there": there} {
		_, err := cloud.Role(ctx, role, new(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},
			"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:sub":"jane","%s:aud":"app"}}}]}`, account, name(i), name(i), name(i))))
		no(t, err)
	}
	register := func(i *issuer, prints ...string) error {
		_, err := cloud.IAM.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &i.url, ClientIDList: []string{"app"}, ThumbprintList: prints})
		return err
	}
	assume := func(role string, i *issuer, claims map[string]any) (string, error) {
		out, err := cloud.STS.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: new("arn:aws:iam::" + account + ":role/" + role), RoleSessionName: new("jane"), WebIdentityToken: new(i.token(t, claims)),
		})
		if err != nil {
			return "", err
		}
		k := out.Credentials
		who, err := cloud.As(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken).STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		no(t, err)
		return *who.Arn, nil
	}
	app := map[string]any{"aud": "app"}
	refused := func(what, code string, err error) {
		t.Helper()
		if lab.Code(err) != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}

	no(t, register(here)) // the daemon looks up the thumbprint itself
	if arn, err := assume("here", here, app); err != nil || arn != "arn:aws:sts::"+account+":assumed-role/here/jane" {
		t.Errorf("an issuer on this machine: %s, %v", arn, err)
	}
	_, err = assume("here", here, map[string]any{"aud": "another"})
	refused("another audience", "InvalidIdentityToken", err)
	_, err = assume("here", here, map[string]any{"aud": "app", "sub": "joe"})
	refused("another subject", "AccessDenied", err)
	_, err = assume("there", here, app)
	refused("another issuer's role", "AccessDenied", err)

	refused("a thumbprint from beyond this machine", "OpenIdIdpCommunicationError", register(there))
	no(t, register(there, strings.Repeat("0", 40)))
	_, err = assume("there", there, app)
	refused("an issuer beyond this machine", "IDPCommunicationError", err)

	host, _, err := net.SplitHostPort(name(there))
	no(t, err)
	no(t, d.Down(ctx))
	d.Flags = []string{"--allow-issuer", "issuer.example", "--allow-issuer", host}
	no(t, d.Up(ctx))
	_, err = assume("there", there, app)
	refused("a certificate that is not the registered one", "InvalidIdentityToken", err)
	_, err = cloud.IAM.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::" + account + ":oidc-provider/" + name(there))})
	no(t, err)
	no(t, register(there))
	if arn, err := assume("there", there, app); err != nil || arn != "arn:aws:sts::"+account+":assumed-role/there/jane" {
		t.Errorf("an issuer that is allowed: %s, %v", arn, err)
	}
}

// elsewhereAddress is one of this host's that is not a loopback one. What is sent to it stays on the host.
func elsewhereAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	no(t, err)
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this host has no address but loopback ones")
	return ""
}
