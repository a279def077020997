package test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

const viewPolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"

// access checks who gets in, as whom, and to do what.
func (j *job) access(t *testing.T) {
	t.Run("access entry", j.accessEntry)
	t.Run("aws-auth", j.awsAuth)
	t.Run("bad tokens", j.badTokens)
}

// session is a client of the cluster as a session of a new role, which nobody has let in.
func (j *job) session(t *testing.T, role string) (string, *lab.Kube) {
	t.Helper()
	account, err := j.cloud.Account(t.Context())
	no(t, err)
	arn, err := j.cloud.Role(t.Context(), role, lab.TrustAccount(account))
	no(t, err)
	as, err := j.cloud.Assume(t.Context(), arn, "somebody")
	no(t, err)
	k, err := as.Kube(j.cluster)
	no(t, err)
	if _, err := k.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a role that nobody has let in gets %v", err)
	}
	return arn, k
}

func (j *job) accessEntry(t *testing.T) {
	ctx := t.Context()
	arn, viewer := j.session(t, "viewer")
	_, err := j.cloud.EKS.CreateAccessEntry(ctx, &eks.CreateAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: &arn})
	no(t, err)
	pods := viewer.CoreV1().Pods("default")
	list := func(ctx context.Context) error {
		_, err := pods.List(ctx, metav1.ListOptions{})
		return err
	}
	awaitError(t, "an entry without policies to be forbidden", list, apierrors.IsForbidden)
	_, err = j.cloud.EKS.AssociateAccessPolicy(ctx, &eks.AssociateAccessPolicyInput{
		ClusterName: new(clusterName), PrincipalArn: &arn, PolicyArn: new(viewPolicy), AccessScope: &types.AccessScope{Type: types.AccessScopeTypeCluster},
	})
	no(t, err)
	awaitError(t, "the policy to let pods be listed", list, isNil)
	_, err = pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "no"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: helloImage}}}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a viewer who creates a pod gets %v", err)
	}
	if _, err := viewer.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a viewer who lists secrets gets %v", err)
	}
	_, err = j.cloud.EKS.DeleteAccessEntry(ctx, &eks.DeleteAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: &arn})
	no(t, err)
	awaitError(t, "a deleted entry to lock its principal out", list, apierrors.IsUnauthorized)
}

// awsAuth maps a role by the ConfigMap, which mode API_AND_CONFIG_MAP reads too.
func (j *job) awsAuth(t *testing.T) {
	ctx := t.Context()
	arn, reader := j.session(t, "reader")
	maps := j.kube.CoreV1().ConfigMaps("kube-system")
	mapping := "- rolearn: " + arn + "\n  username: reader\n  groups: [readers]\n"
	cm, err := maps.Get(ctx, "aws-auth", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"}, Data: map[string]string{"mapRoles": mapping}}, metav1.CreateOptions{})
	case err == nil:
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		cm.Data["mapRoles"] += mapping
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
	}
	no(t, err)
	list := func(ctx context.Context) error {
		_, err := reader.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err
	}
	awaitError(t, "a mapped role to be somebody", list, apierrors.IsForbidden)
	_, err = j.kube.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
	}, metav1.CreateOptions{})
	no(t, err)
	awaitError(t, "its group's rights to be its own", list, isNil)
}

// awaitError repeats a call until its error is the wanted one.
func awaitError(t *testing.T, what string, call func(context.Context) error, is func(error) bool) {
	t.Helper()
	no(t, lab.Until(t.Context(), 15*time.Second, what, func(ctx context.Context) (bool, string, error) {
		err := call(ctx)
		last := "the call succeeds"
		if err != nil {
			last = err.Error()
		}
		return is(err), last, nil
	}))
}

func isNil(err error) bool { return err == nil }

func (j *job) badTokens(t *testing.T) {
	ctx := t.Context()
	good, err := j.cloud.Token(ctx, clusterName)
	no(t, err)
	other, err := j.cloud.Token(ctx, "other-cluster")
	no(t, err)
	old, err := j.cloud.TokenAt(ctx, clusterName, time.Now().Add(-20*time.Minute))
	no(t, err)
	wrong, err := j.cloud.As("AKIAIOSFODNN7EXAMPLE", "not the secret", "").Token(ctx, clusterName)
	no(t, err)
	gone, err := j.cloud.User(ctx, "gone", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*"}]}`)
	no(t, err)
	ended, err := gone.Token(ctx, clusterName)
	no(t, err)
	key, err := gone.Config.Credentials.Retrieve(ctx)
	no(t, err)
	_, err = j.cloud.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("gone"), AccessKeyId: &key.AccessKeyID})
	no(t, err)
	for name, c := range map[string]struct{ token, reason string }{
		"of another cluster":    {other, "SignatureDoesNotMatch"},
		"signed 20 minutes ago": {old, "X-Amz-Date parameter is expired (15 minute expiration)"},
		"of an unknown key":     {wrong, "InvalidClientTokenId"},
		"of a deleted key":      {ended, "InvalidClientTokenId"},
		"cut off":               {good[:len(good)-4], "sts getCallerIdentity failed"},
		"without its prefix":    {strings.TrimPrefix(good, "k8s-aws-v1."), "token is missing expected"},
		"of another request":    {rewritten(t, good, "Action=GetCallerIdentity", "Action=GetSessionToken"), "unexpected action parameter"},
		"with an extra key":     {rewritten(t, good, "&X-Amz-Signature", "&x=y&X-Amz-Signature"), "non-whitelisted query parameter"},
		"with a key twice":      {rewritten(t, good, "&X-Amz-Signature", "&Version=2011-06-15&X-Amz-Signature"), "query parameter with multiple values not supported"},
		"empty":                 {"k8s-aws-v1.", "unexpected path in pre-signed URL"},
	} {
		k, err := j.cloud.KubeWithToken(j.cluster, c.token)
		no(t, err)
		before := len(j.daemon.Logs())
		_, err = k.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if status, ok := errors.AsType[*apierrors.StatusError](err); !ok || status.ErrStatus.Code != 401 || status.ErrStatus.Message != "Unauthorized" {
			t.Errorf("a token %s gets %v", name, err) // and not a word of why
		}
		if log := j.daemon.Logs()[before:]; !strings.Contains(log, c.reason) {
			t.Errorf("of a token %s the log says\n%swant %q", name, log, c.reason)
		}
	}
	k, err := j.cloud.KubeWithToken(j.cluster, good)
	no(t, err)
	if _, err := k.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("a good token gets %v", err)
	}
	if _, err := j.cloud.EKS.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: new("arn:aws:iam::000000000000:role/nobody")}); err == nil {
		t.Error("an access entry of nobody is described")
	} else if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("describing an access entry of nobody answers %v", err)
	}
}

// rewritten is the token with another text in its request.
func rewritten(t *testing.T, token, old, with string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "k8s-aws-v1."))
	no(t, err)
	url := strings.Replace(string(raw), old, with, 1)
	if url == string(raw) {
		t.Fatalf("%s is not in the token's request %s", old, url)
	}
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(url))
}
