package clusterauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	account = "000000000000"
	arnC1   = "arn:aws:eks:us-west-2:000000000000:cluster/c1"
	arnC2   = "arn:aws:eks:us-west-2:000000000000:cluster/c2"
	front   = "http://127.0.0.1:4566"
)

var home = resource.Home{Account: account, Region: "us-west-2"}

// A world is a store with principals and clusters, and the authenticators over it.
type world struct {
	t       *testing.T
	store   *store.Store
	auth    *Authenticators
	awsAuth map[string]string
	log     *bytes.Buffer
	now     time.Time // that everybody takes it to be
	root    aws.Credentials
	socket  string // of c1
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	root, err := identity.EnsureRoot(t.Context(), st, account)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, log: &bytes.Buffer{}, now: time.Now(), root: aws.Credentials{AccessKeyID: root.ID, SecretAccessKey: root.Secret}}
	aws, err := identity.LoadAWSPolicies()
	if err != nil {
		t.Fatal(err)
	}
	policies := identity.NewPolicies(aws)
	now := func() time.Time { return w.now }
	server, err := awsapi.NewServer(awsapi.Config{
		Keys: identity.NewKeys(st, policies), Authorize: identity.NewAuthorizer(st, policies).Authorize, Log: slog.New(slog.DiscardHandler), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "auth") // a test's own name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.auth = New(Config{
		Store: st, Verify: server.VerifyPresigned, Dir: dir, Now: now, Hosts: []string{"aws.example:8080"},
		AWSAuth: func(cluster string) (map[string]string, bool) {
			if cluster != arnC1 {
				return nil, false
			}
			return w.awsAuth, w.awsAuth != nil
		},
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	w.cluster(arnC1, "c1", "API_AND_CONFIG_MAP")
	w.cluster(arnC2, "c2", "API_AND_CONFIG_MAP")
	if w.socket, err = w.auth.Open(arnC1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.auth.Close(arnC1) })
	return w
}

func (w *world) update(f func(tx *store.Tx)) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cluster(arn, name, mode string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) {
		tx.Clusters.Put(arn, resource.Cluster{
			Home: home, ARN: arn, Name: name, Creator: identity.RootARN(account),
			Spec: resource.ClusterSpec{AuthenticationMode: mode, CreatorAdmin: true, VPC: "vpc-1", Hex: "0123456789ABCDEF0123456789ABCDEF"},
		})
	})
}

func (w *world) change(f func(*resource.Cluster)) {
	w.t.Helper()
	w.update(func(tx *store.Tx) {
		c, _ := tx.Clusters.Get(arnC1)
		f(&c)
		tx.Clusters.Put(arnC1, c)
	})
}

// user makes an IAM user with a key.
func (w *world) user(name string) (u resource.User, creds aws.Credentials) {
	w.t.Helper()
	u = resource.User{Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, Name: name, ID: "AIDA" + name}
	creds = aws.Credentials{AccessKeyID: "AKIA" + name, SecretAccessKey: "secret of " + name}
	w.update(func(tx *store.Tx) {
		tx.Users.Put(u.ARN, u)
		tx.AccessKeys.Put(creds.AccessKeyID, resource.AccessKey{
			Account: account, ID: creds.AccessKeyID, Secret: creds.SecretAccessKey, Principal: u.ARN, Active: true,
		})
	})
	return u, creds
}

// role makes a role; path has slashes at both ends.
func (w *world) role(path, name string) (r resource.Role) {
	w.t.Helper()
	r = resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role" + path + name, Path: path, Name: name, ID: "AROA" + name}
	w.update(func(tx *store.Tx) { tx.Roles.Put(r.ARN, r) })
	return r
}

func (w *world) assume(r resource.Role, session string) aws.Credentials {
	w.t.Helper()
	var s resource.Session
	w.update(func(tx *store.Tx) {
		s = identity.NewSession(tx, r, identity.Grant{Name: session, Lifetime: time.Hour}, w.now)
	})
	return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.Secret, SessionToken: s.Token}
}

// entry lets a principal into c1.
func (w *world) entry(e resource.AccessEntry) {
	w.t.Helper()
	e.Cluster = arnC1
	w.update(func(tx *store.Tx) { tx.AccessEntries.Put(resource.AccessEntryKey(arnC1, e.Principal), e) })
}

// token is what `aws eks get-token` prints, made by AWS's SDK as eksctl does.
func (w *world) token(creds aws.Credentials, cluster, endpoint string) string {
	w.t.Helper()
	client := sts.New(sts.Options{
		Region: "us-west-2", BaseEndpoint: &endpoint,
		Credentials: credentials.StaticCredentialsProvider{Value: creds},
	})
	signed, err := sts.NewPresignClient(client).PresignGetCallerIdentity(w.t.Context(), &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
			smithyhttp.SetHeaderValue("x-k8s-aws-id", cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60")))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return encode(signed.URL)
}

func encode(url string) string {
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(url))
}

// sign presigns any URL, for c1 at any time.
func (w *world) sign(creds aws.Credentials, url string, at time.Time) string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("x-k8s-aws-id", "c1")
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signed, _, err := v4.NewSigner().PresignHTTP(w.t.Context(), creds, r, nothing, "sts", "us-west-2", at)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// ask posts a review to c1's socket.
func (w *world) ask(path string, review any) {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	body, err := json.Marshal(review)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := client.Post("http://socket"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("POST %s answers %s", path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(review); err != nil {
		w.t.Fatal(err)
	}
}

// login returns what c1's API server learns of a token.
func (w *world) login(token string) authentication.TokenReviewStatus {
	w.t.Helper()
	review := authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: token}}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	w.ask("/authenticate", &review)
	if review.APIVersion != "authentication.k8s.io/v1" || review.Kind != "TokenReview" || review.Status.Error != "" {
		w.t.Errorf("the answer is %+v", review)
	}
	return review.Status
}

// as is login with credentials, for c1 over the front door.
func (w *world) as(creds aws.Credentials) authentication.TokenReviewStatus {
	w.t.Helper()
	return w.login(w.token(creds, "c1", front))
}

// can asks c1's authorizer about a user that login has returned.
func (w *world) can(u authentication.UserInfo, a authorization.ResourceAttributes) authorization.SubjectAccessReviewStatus {
	w.t.Helper()
	return w.review(u, authorization.SubjectAccessReviewSpec{ResourceAttributes: &a})
}

func (w *world) review(u authentication.UserInfo, spec authorization.SubjectAccessReviewSpec) authorization.SubjectAccessReviewStatus {
	w.t.Helper()
	spec.User, spec.Groups, spec.UID, spec.Extra = u.Username, u.Groups, u.UID, map[string]authorization.ExtraValue{}
	for k, v := range u.Extra {
		spec.Extra[k] = authorization.ExtraValue(v)
	}
	review := authorization.SubjectAccessReview{Spec: spec}
	review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SubjectAccessReview"
	w.ask("/authorize", &review)
	if review.Status.Denied {
		w.t.Error("an access policy denies nothing")
	}
	return review.Status
}
