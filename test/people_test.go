package test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	authentication "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"ekster.dev/ekster/internal/pki"
	"ekster.dev/ekster/test/lab"
)

// An issuer is a small OIDC issuer of somebody else's, on https with a certificate that only
// bundle's readers trust.
type issuer struct {
	url, bundle string
	key         *rsa.PrivateKey
	id          string
}

func newIssuer(t *testing.T) *issuer { return newIssuerAt(t, "127.0.0.1") }

// newIssuerAt is one at another address of this host.
func newIssuerAt(t *testing.T, address string) *issuer {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(address, "0"))
	no(t, err)
	dir := t.TempDir()
	key, err := pki.EnsureRSAKey(dir, "issuer")
	no(t, err)
	set, err := pki.JWKS(&key.PublicKey)
	no(t, err)
	i := &issuer{key: key, bundle: filepath.Join(dir, "bundle.pem")}
	i.id, err = pki.KeyID(&key.PublicKey)
	no(t, err)
	mux := http.NewServeMux()
	s := httptest.NewUnstartedServer(mux)
	no(t, s.Listener.Close())
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
	i.url = s.URL
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.url, "jwks_uri": i.url + "/jwks", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	no(t, os.WriteFile(i.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644))
	return i
}

// token is an id token.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		no(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	all := map[string]any{"iss": i.url, "sub": "jane", "aud": "kubernetes", "groups": []string{"devs"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	signed := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": i.id}) + "." + part(all)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	no(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// check associates the issuer, comes with its tokens, and disassociates it, all of it while
// one watch stays open on one API server.
func (i *issuer) check(t *testing.T, d *lab.Daemon, p *pods) {
	ctx := t.Context()
	before, err := d.PlanePID(ctx, clusterName)
	no(t, err)
	open, err := p.kube.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	no(t, err)
	defer open.Stop()
	who := func(claims map[string]any) (string, []string, error) {
		k, err := p.cloud.KubeWithToken(p.cluster, i.token(t, claims))
		no(t, err)
		me, err := k.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", nil, err
		}
		return me.Status.UserInfo.Username, me.Status.UserInfo.Groups, nil
	}
	if _, _, err := who(nil); !apierrors.IsUnauthorized(err) {
		t.Errorf("before the association: %v", err)
	}
	out, err := p.cloud.EKS.AssociateIdentityProviderConfig(ctx, &eks.AssociateIdentityProviderConfigInput{
		ClusterName: new(clusterName), Oidc: &types.OidcIdentityProviderConfigRequest{
			IdentityProviderConfigName: new("people"), IssuerUrl: &i.url, ClientId: new("kubernetes"), GroupsClaim: new("groups"), GroupsPrefix: new("oidc:"),
			RequiredClaims: map[string]string{"tenant": "a"},
		},
	})
	no(t, err)
	i.await(t, p, *out.Update.Id)
	good := map[string]any{"tenant": "a"}
	name, groups, err := who(good)
	if err != nil || name != i.url+"#jane" || len(groups) == 0 || groups[0] != "oidc:devs" {
		t.Errorf("%s of %v, %v", name, groups, err)
	}
	for what, claims := range map[string]map[string]any{
		"another tenant": {"tenant": "b"}, "no tenant": nil, "another audience": {"tenant": "a", "aud": "x"},
		"an expired token": {"tenant": "a", "exp": time.Now().Add(-time.Hour).Unix()},
	} {
		if _, _, err := who(claims); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, err := p.cloud.EKS.DisassociateIdentityProviderConfig(ctx, &eks.DisassociateIdentityProviderConfigInput{
		ClusterName: new(clusterName), IdentityProviderConfig: &types.IdentityProviderConfig{Type: new("oidc"), Name: new("people")},
	})
	no(t, err)
	i.await(t, p, *gone.Update.Id)
	// A token that was accepted is not looked at again for a second.
	awaitError(t, "the issuer's tokens to be refused", func(context.Context) error { _, _, err := who(good); return err }, apierrors.IsUnauthorized)

	after, err := d.PlanePID(ctx, clusterName)
	if err != nil || after != before {
		t.Errorf("the control plane was process %d and is %d, %v", before, after, err)
	}
	made, err := p.kube.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "afterwards-"}}, metav1.CreateOptions{})
	no(t, err)
	arrives(t, open, made.Name)
}

// arrives waits until a watch tells of an object: so it is the connection that it was, and alive.
func arrives(t *testing.T, w watch.Interface, name string) {
	t.Helper()
	limit := time.NewTimer(15 * time.Second)
	defer limit.Stop()
	for {
		select {
		case e, open := <-w.ResultChan():
			if !open {
				t.Error("a watch was cut off")
				return
			}
			if o, ok := e.Object.(metav1.Object); ok && o.GetName() == name {
				return
			}
		case <-limit.C:
			t.Errorf("a watch does not tell of %s", name)
			return
		}
	}
}

func (i *issuer) await(t *testing.T, p *pods, update string) {
	t.Helper()
	no(t, lab.Until(t.Context(), 30*time.Second, "update "+update, func(ctx context.Context) (bool, string, error) {
		u, err := p.cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(clusterName), UpdateId: &update})
		if err != nil {
			return false, "", err
		}
		return u.Update.Status == types.UpdateStatusSuccessful, string(u.Update.Status), nil
	}))
}
