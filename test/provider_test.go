package test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	authentication "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"ekster.dev/ekster/test/lab"
)

// A provider is a third party's OIDC provider in a process of its own: zitadel's, which test/oidc
// makes a program of. (Dex has had no release that is a Go module.)
type provider struct {
	url, redirect, bundle string
	http                  *http.Client
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	program := filepath.Join("..", "bin", "test-oidc")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("hack/make-root-tests.sh e2e builds it: %v", err)
	}
	c := exec.CommandContext(context.Background(), program)
	c.Stderr = t.Output()
	in, err := c.StdinPipe()
	no(t, err)
	out, err := c.StdoutPipe()
	no(t, err)
	no(t, c.Start())
	t.Cleanup(func() {
		in.Close() // that is how it is told
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	no(t, err)
	var said struct{ Issuer, Redirect, Certificate string }
	no(t, json.Unmarshal(line, &said))
	p := &provider{url: said.Issuer, redirect: said.Redirect, bundle: filepath.Join(t.TempDir(), "bundle.pem")}
	no(t, os.WriteFile(p.bundle, []byte(said.Certificate), 0o644))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(said.Certificate))
	p.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
}

// token logs a person in, as a browser and kubelogin would, and returns the id token: authorization
// request, login page, code, token.
func (p *provider) token(t *testing.T, client, person string) string {
	t.Helper()
	query := url.Values{"client_id": {client}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {p.redirect}, "state": {"s"}}
	page := p.sent(t, func() (*http.Response, error) { return p.http.Get(p.url + "/auth?" + query.Encode()) })
	back := p.sent(t, func() (*http.Response, error) {
		return p.http.PostForm(p.url+page.Path, url.Values{"username": {person}, "password": {"secret"}, "id": {page.Query().Get("authRequestID")}})
	})
	done := p.sent(t, func() (*http.Response, error) { return p.http.Get(back.String()) })
	form := url.Values{"grant_type": {"authorization_code"}, "code": {done.Query().Get("code")}, "redirect_uri": {p.redirect}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/oauth/token", strings.NewReader(form.Encode()))
	no(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, "secret")
	res, err := p.http.Do(req)
	no(t, err)
	defer res.Body.Close()
	var got struct {
		IDToken string `json:"id_token"`
	}
	no(t, json.NewDecoder(res.Body).Decode(&got))
	if got.IDToken == "" {
		t.Fatalf("%s gets no token for %s: %s", person, client, res.Status)
	}
	return got.IDToken
}

// sent is where an answer sends the browser.
func (p *provider) sent(t *testing.T, ask func() (*http.Response, error)) *url.URL {
	t.Helper()
	res, err := ask()
	no(t, err)
	defer res.Body.Close()
	to, err := res.Location()
	no(t, err)
	return to
}

// check associates the issuer, comes with its tokens, and disassociates it, all of it while
// one watch stays open on one API server.
func (p *provider) check(t *testing.T, d *lab.Daemon, o *pods) {
	ctx := t.Context()
	before, err := d.PlanePID(ctx, clusterName)
	no(t, err)
	open, err := o.kube.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	no(t, err)
	defer open.Stop()
	with := func(token string) (string, []string, error) {
		k, err := o.cloud.KubeWithToken(o.cluster, token)
		no(t, err)
		me, err := k.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", nil, err
		}
		return me.Status.UserInfo.Username, me.Status.UserInfo.Groups, nil
	}
	jane := p.token(t, "kubernetes", "jane")
	if _, _, err := with(jane); !apierrors.IsUnauthorized(err) {
		t.Errorf("before the association: %v", err)
	}
	out, err := o.cloud.EKS.AssociateIdentityProviderConfig(ctx, &eks.AssociateIdentityProviderConfigInput{
		ClusterName: new(clusterName), Oidc: &types.OidcIdentityProviderConfigRequest{
			IdentityProviderConfigName: new("people"), IssuerUrl: &p.url, ClientId: new("kubernetes"), GroupsClaim: new("groups"), GroupsPrefix: new("oidc:"),
			RequiredClaims: map[string]string{"tenant": "a"},
		},
	})
	no(t, err)
	p.await(t, o, *out.Update.Id)
	name, groups, err := with(jane)
	if err != nil || name != p.url+"#jane" || len(groups) == 0 || groups[0] != "oidc:devs" {
		t.Errorf("%s of %v, %v", name, groups, err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	no(t, err)
	forger := issuer{url: p.url, key: key, id: "key"}
	for what, token := range map[string]string{
		"another tenant": p.token(t, "kubernetes", "joe"), "no tenant": p.token(t, "kubernetes", "jim"), "another audience": p.token(t, "other", "jane"),
		"a forged token": forger.token(t, map[string]any{"tenant": "a"}), "half a token": jane[:len(jane)/2],
	} {
		if _, _, err := with(token); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, err := o.cloud.EKS.DisassociateIdentityProviderConfig(ctx, &eks.DisassociateIdentityProviderConfigInput{
		ClusterName: new(clusterName), IdentityProviderConfig: &types.IdentityProviderConfig{Type: new("oidc"), Name: new("people")},
	})
	no(t, err)
	p.await(t, o, *gone.Update.Id)
	// A token that was accepted is not looked at again for a second.
	awaitError(t, "the issuer's tokens to be refused", func(context.Context) error { _, _, err := with(jane); return err }, apierrors.IsUnauthorized)

	after, err := d.PlanePID(ctx, clusterName)
	if err != nil || after != before {
		t.Errorf("the control plane was process %d and is %d, %v", before, after, err)
	}
	made, err := o.kube.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "afterwards-"}}, metav1.CreateOptions{})
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

func (*provider) await(t *testing.T, o *pods, update string) {
	t.Helper()
	no(t, lab.Until(t.Context(), 30*time.Second, "update "+update, func(ctx context.Context) (bool, string, error) {
		u, err := o.cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(clusterName), UpdateId: &update})
		if err != nil {
			return false, "", err
		}
		return u.Update.Status == types.UpdateStatusSuccessful, string(u.Update.Status), nil
	}))
}
