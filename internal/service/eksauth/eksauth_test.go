package eksauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	geneksauth "ekster.dev/ekster/gen/eksauth"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/eksauth"
	"ekster.dev/ekster/internal/store"
)

const (
	account = identitytest.Account
	cluster = "arn:aws:eks:us-west-2:" + account + ":cluster/my-cluster"
	issuer  = "https://127.0.0.1/id/ABC"
	iamARN  = "arn:aws:iam::" + account + ":role/"
	node    = "ip-10-0-0-1.us-west-2.compute.internal"
)

// A world is EKS Auth with a cluster, a node in it and a pod on the node.
type world struct {
	*identitytest.Door
	key    *rsa.PrivateKey
	agent  aws.Config // as the node
	review func(token, audience string) (bool, error)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{key: key, review: func(string, string) (bool, error) { return true, nil }}
	w.Door = identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{geneksauth.Service(eksauth.New(eksauth.Config{Store: d.Store, Policies: d.Policies,
			Review: func(_ context.Context, c resource.Cluster, token, audience string) (bool, error) {
				if c.ARN != cluster {
					t.Errorf("cluster %s is asked about a token of %s", c.ARN, cluster)
				}
				return w.review(token, audience)
			}}))}
	})
	keySet, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Update(t, func(tx *store.Tx) {
		tx.Clusters.Put(cluster, resource.Cluster{
			ARN: cluster, Name: "my-cluster", Home: resource.Home{Account: account, Region: identitytest.Region},
			Status: resource.ClusterStatus{State: resource.ClusterActive, Issuer: issuer, JWKS: keySet},
		})
		tx.Nodes.Put(resource.NodeKey(cluster, node), resource.Node{Cluster: cluster, Name: node, Instance: "i-1"})
	})
	w.role(t, "node", `"Service":"ec2.amazonaws.com"`, `"sts:AssumeRole"`, "", "eks-auth:AssumeRoleForPodIdentity", "*")
	w.role(t, "pod", `"Service":"pods.eks.amazonaws.com"`, `["sts:AssumeRole","sts:TagSession"]`, "", "sts:AssumeRole", "*")
	w.agent = w.session(t, "node", "i-1")
	w.associate(t, func(*resource.PodIdentityAssociation) {})
	return w
}

// role makes a role that somebody may assume, under a condition, and that may do one thing.
func (w *world) role(t *testing.T, name, who, how, condition, action, on string) {
	t.Helper()
	if condition != "" {
		condition = `,"Condition":{"StringEquals":` + condition + `}`
	}
	w.Update(t, func(tx *store.Tx) {
		tx.Roles.Put(iamARN+name, resource.Role{
			Account: account, ARN: iamARN + name, Name: name, ID: "AROA" + strings.ToUpper(name), MaxSession: 3600,
			Trust:  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{` + who + `},"Action":` + how + condition + `}]}`,
			Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + on + `"}]}`},
		})
	})
}

// session is what an instance has from the metadata service.
func (w *world) session(t *testing.T, role, instance string) aws.Config {
	t.Helper()
	key := "ASIA" + strings.ToUpper(role) + instance
	w.Update(t, func(tx *store.Tx) {
		r, _ := tx.Roles.Get(iamARN + role)
		tx.Sessions.Put(key, resource.Session{
			Account: account, AccessKeyID: key, Secret: "s", Token: "token", Principal: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + instance,
			PrincipalID: r.ID + ":" + instance, Role: r.ARN, RoleID: r.ID, Name: instance, Instance: instance, Issued: time.Now(), Expires: time.Now().Add(time.Hour),
		})
	})
	return w.As(key, "s", "token")
}

func (w *world) associate(t *testing.T, change func(*resource.PodIdentityAssociation)) {
	t.Helper()
	a := resource.PodIdentityAssociation{ARN: cluster + "/a-1", ID: "a-1", Cluster: cluster, Namespace: "app", ServiceAccount: "web", Role: iamARN + "pod"}
	change(&a)
	w.Update(t, func(tx *store.Tx) { tx.PodIdentityAssociations.Put(a.ARN, a) })
}

// token is the pod's, as the kubelet projects it.
func (w *world) token(t *testing.T, change func(claims, pod map[string]any)) string {
	t.Helper()
	object := func(name string) map[string]string { return map[string]string{"name": name, "uid": name + "-uid"} }
	pod := map[string]any{"namespace": "app", "pod": object("web-1"), "serviceaccount": object("web"), "node": object(node)}
	claims := map[string]any{
		"iss": issuer, "aud": []string{"pods.eks.amazonaws.com"}, "sub": "system:serviceaccount:app:web",
		"exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "kubernetes.io": pod,
	}
	if change != nil {
		change(claims, pod)
	}
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(map[string]string{"alg": "RS256", "kid": "k1"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, w.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// An answer is what EKS Auth says; Type and Message are an error's.
type answer struct {
	Status          int `json:"-"`
	Type            string
	Message         string
	Subject         struct{ Namespace, ServiceAccount string }
	Audience        string
	AssumedRoleUser struct{ Arn, AssumeRoleID string }
	Credentials     struct{ AccessKeyID, SecretAccessKey, SessionToken string }

	PodIdentityAssociation struct{ AssociationArn, AssociationID string }
}

// assume calls the operation as the agent does. There is no Go SDK of this API.
func (w *world) assume(t *testing.T, as aws.Config, name, token string) answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/clusters/"+name+"/assume-role-for-pod-identity", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := as.Credentials.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), "eks-auth", identitytest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out answer
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	out.Status = res.StatusCode
	out.Type, _, _ = strings.Cut(res.Header.Get("X-Amzn-ErrorType"), ":")
	return out
}

// granted is the session that an answer's credentials are of.
func (w *world) granted(t *testing.T, a answer) (s resource.Session) {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("refused: %+v", a)
	}
	_ = w.Store.View(func(tx *store.Tx) error { s, _ = tx.Sessions.Get(a.Credentials.AccessKeyID); return nil })
	return s
}

func TestAssumeRoleForPodIdentity(t *testing.T) {
	w := newWorld(t)
	got := w.assume(t, w.agent, "my-cluster", w.token(t, nil))
	s := w.granted(t, got)
	if !regexp.MustCompile(`^eks-my-cluster-web-1-[0-9a-f-]{36}$`).MatchString(s.Name) {
		t.Errorf("the session's name is %s", s.Name)
	}
	if got.Subject.Namespace != "app" || got.Subject.ServiceAccount != "web" || got.Audience != "pods.eks.amazonaws.com" || got.PodIdentityAssociation.AssociationID != "a-1" ||
		got.AssumedRoleUser.Arn != "arn:aws:sts::"+account+":assumed-role/pod/"+s.Name || got.AssumedRoleUser.AssumeRoleID != "AROAPOD:"+s.Name {
		t.Errorf("answer %+v", got)
	}
	want := map[string]string{
		"eks-cluster-arn": cluster, "eks-cluster-name": "my-cluster", "kubernetes-namespace": "app", "kubernetes-service-account": "web",
		"kubernetes-pod-name": "web-1", "kubernetes-pod-uid": "web-1-uid",
	}
	if !maps.Equal(s.Tags, want) || len(s.Transitive) != 6 || s.Expires.Sub(s.Issued) != 6*time.Hour {
		t.Errorf("session %+v", s)
	}
	// Names longer than a session's may be are cut.
	long := w.granted(t, w.assume(t, w.agent, "my-cluster", w.token(t, func(_, pod map[string]any) {
		pod["pod"] = map[string]string{"name": strings.Repeat("long-", 12), "uid": "u"}
	})))
	if len(long.Name) != 64 {
		t.Errorf("a name of %d characters: %s", len(long.Name), long.Name)
	}
}

func TestAssociationsNarrow(t *testing.T) {
	w := newWorld(t)
	policy := `{"Version":"2012-10-17","Statement":[]}`
	w.associate(t, func(a *resource.PodIdentityAssociation) { a.DisableSessionTags, a.Policy = true, policy })
	if s := w.granted(t, w.assume(t, w.agent, "my-cluster", w.token(t, nil))); len(s.Tags) > 0 || len(s.Policies) != 1 || s.Policies[0] != policy {
		t.Errorf("session %+v", s)
	}
}

func TestTargetRole(t *testing.T) {
	w := newWorld(t)
	const id = "us-west-2/" + account + "/my-cluster/app/web"
	w.associate(t, func(a *resource.PodIdentityAssociation) { a.TargetRole, a.ExternalID = iamARN+"target", id })
	denied := "Unauthorized Exception! EKS does not have permissions to assume the target role."
	refused := func(what string) {
		t.Helper()
		if got := w.assume(t, w.agent, "my-cluster", w.token(t, nil)); got.Status != 400 || got.Type != "AccessDeniedException" || got.Message != denied {
			t.Errorf("%s: %+v", what, got)
		}
	}
	refused("no target role")
	w.role(t, "target", `"AWS":"`+iamARN+`pod"`, `["sts:AssumeRole","sts:TagSession"]`, `{"sts:ExternalId":"other"}`, "s3:*", "*")
	refused("another external id")
	w.role(t, "target", `"AWS":"`+iamARN+`pod"`, `"sts:AssumeRole"`, `{"sts:ExternalId":"`+id+`"}`, "s3:*", "*")
	refused("no permission for the tags that it inherits")
	w.role(t, "target", `"AWS":"`+iamARN+`pod"`, `["sts:AssumeRole","sts:TagSession"]`, `{"sts:ExternalId":"`+id+`","aws:RequestTag/kubernetes-namespace":"app"}`, "s3:*", "*")
	s := w.granted(t, w.assume(t, w.agent, "my-cluster", w.token(t, nil)))
	if s.RoleID != "AROATARGET" || !s.Chained || s.Tags["kubernetes-namespace"] != "app" || s.Expires.Sub(s.Issued) != time.Hour {
		t.Errorf("session %+v", s)
	}
	n := 0
	_ = w.Store.View(func(tx *store.Tx) error {
		for range tx.Sessions.Values(func(s resource.Session) bool { return s.RoleID == "AROAPOD" }) {
			n++
		}
		return nil
	})
	if n > 0 {
		t.Errorf("%d sessions of the role in between are kept", n)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	const invalid = "InvalidTokenException"
	for name, c := range map[string]struct {
		token   func(claims, pod map[string]any)
		cluster string
		code    string
	}{
		"another issuer":   {token: func(c, _ map[string]any) { c["iss"] = issuer + "D" }, code: invalid},
		"another audience": {token: func(c, _ map[string]any) { c["aud"] = "sts.amazonaws.com" }, code: invalid},
		"expired":          {token: func(c, _ map[string]any) { c["exp"] = time.Now().Add(-time.Second).Unix() }, code: "ExpiredTokenException"},
		"too early":        {token: func(c, _ map[string]any) { c["nbf"] = time.Now().Add(time.Hour).Unix() }, code: invalid},
		"of no pod":        {token: func(_, pod map[string]any) { delete(pod, "pod") }, code: invalid},
		"another node":     {token: func(_, pod map[string]any) { pod["node"] = map[string]string{"name": "other"} }, code: "AccessDeniedException"},
		"no association":   {token: func(_, pod map[string]any) { pod["namespace"] = "other" }, code: "ResourceNotFoundException"},
		"no cluster":       {cluster: "other", code: "ResourceNotFoundException"},
	} {
		if c.cluster == "" {
			c.cluster = "my-cluster"
		}
		if got := w.assume(t, w.agent, c.cluster, w.token(t, c.token)); got.Type != c.code || got.Status != map[string]int{"ResourceNotFoundException": 404}[c.code] && got.Status != 400 {
			t.Errorf("%s: %+v, want %s", name, got, c.code)
		}
	}
	good := w.token(t, nil)
	forged := good[:len(good)-8] + "AAAAAAAA"
	if got := w.assume(t, w.agent, "my-cluster", forged); got.Type != invalid {
		t.Errorf("a forged signature: %+v", got)
	}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + good[strings.IndexByte(good, '.'):]
	if got := w.assume(t, w.agent, "my-cluster", unsigned); got.Type != invalid {
		t.Errorf("no signature: %+v", got)
	}
	if got := w.assume(t, w.session(t, "node", "i-2"), "my-cluster", good); got.Type != "AccessDeniedException" {
		t.Errorf("from another node: %+v", got)
	}
	if got := w.assume(t, w.AsRoot(), "my-cluster", good); got.Type != "AccessDeniedException" {
		t.Errorf("from no node: %+v", got)
	}
	// The node's role has to allow the call, and the pod's role has to trust it.
	w.role(t, "pod", `"Service":"pods.eks.amazonaws.com"`, `["sts:AssumeRole","sts:TagSession"]`, `{"aws:RequestTag/kubernetes-namespace":"other"}`, "s3:*", "*")
	if got := w.assume(t, w.agent, "my-cluster", good); got.Type != "AccessDeniedException" || got.Message != "Unauthorized Exception! EKS does not have permissions to assume the associated role." {
		t.Errorf("an untrusting role: %+v", got)
	}
	w.role(t, "node", `"Service":"ec2.amazonaws.com"`, `"sts:AssumeRole"`, "", "s3:*", "*")
	if got := w.assume(t, w.agent, "my-cluster", good); got.Type != "AccessDeniedException" || !strings.Contains(got.Message, "is not authorized to perform: eks-auth:AssumeRoleForPodIdentity on resource: "+cluster) {
		t.Errorf("a node without the permission: %+v", got)
	}
}

// A good signature is not enough: the cluster has to know the token's pod.
func TestReview(t *testing.T) {
	w := newWorld(t)
	good := w.token(t, nil)
	w.review = func(token, audience string) (bool, error) {
		if token != good || audience != "pods.eks.amazonaws.com" {
			t.Errorf("asked about %s for %s", token, audience)
		}
		return false, nil
	}
	if got := w.assume(t, w.agent, "my-cluster", good); got.Status != 400 || got.Type != "InvalidTokenException" {
		t.Errorf("of a pod that is not there: %+v", got)
	}
	w.review = func(string, string) (bool, error) { return false, errors.New("connection refused") }
	if got := w.assume(t, w.agent, "my-cluster", good); got.Status != 503 || got.Type != "ServiceUnavailableException" || strings.Contains(got.Message, "refused") {
		t.Errorf("of a cluster that does not answer: %+v", got)
	}
	// A token that is bad by itself is not asked about.
	w.review = func(string, string) (bool, error) { t.Error("asked"); return true, nil }
	if got := w.assume(t, w.agent, "my-cluster", w.token(t, func(c, _ map[string]any) { c["aud"] = "other" })); got.Type != "InvalidTokenException" {
		t.Errorf("for another audience: %+v", got)
	}
}
