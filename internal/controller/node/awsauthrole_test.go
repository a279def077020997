package node

import (
	"log/slog"
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestHasAWSAuthRole(t *testing.T) {
	c := New(Config{Log: slog.New(slog.DiscardHandler)})
	const role = "arn:aws:iam::000000000000:role/a/path/nodes"
	if has, known := c.HasAWSAuthRole(arn, role); has || known {
		t.Errorf("of a cluster that nobody watches: %v, %v", has, known)
	}
	cl := newCluster(arn, func() {})
	c.clusters[arn] = cl
	if has, known := c.HasAWSAuthRole(arn, role); has || known {
		t.Errorf("before aws-auth has been looked for: %v, %v", has, known)
	}
	for _, s := range []struct {
		what, roles string
		has         bool
	}{
		{"its own", "- rolearn: arn:aws:iam::000000000000:role/nodes\n", true},
		{"another's", "- rolearn: arn:aws:iam::000000000000:role/others\n", false},
		{"nothing that can be read", "- [", false},
	} {
		cl.replaceAWSAuth([]runtime.Object{&core.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: awsAuthName}, Data: map[string]string{mapRoles: s.roles}}})
		if has, known := c.HasAWSAuthRole(arn, role); has != s.has || !known {
			t.Errorf("of an aws-auth with %s: %v, %v", s.what, has, known)
		}
	}
	cl.replaceAWSAuth(nil)
	if has, known := c.HasAWSAuthRole(arn, role); has || !known {
		t.Errorf("without an aws-auth: %v, %v", has, known)
	}
}

// A new list takes the place of the old one in one go.
func TestListedAgain(t *testing.T) {
	c := New(Config{Log: slog.New(slog.DiscardHandler)})
	cl := newCluster(arn, func() {})
	c.clusters[arn] = cl
	list := []runtime.Object{&core.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: awsAuthName}, Data: map[string]string{mapRoles: "[]"}}}
	cl.replaceAWSAuth(list)
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		for range 200_000 {
			cl.replaceAWSAuth(list)
		}
	}()
	for {
		select {
		case <-listed:
			return
		default:
		}
		if _, ok := c.AWSAuth(arn); !ok {
			<-listed
			t.Fatal("while it is listed again there is no aws-auth")
		}
	}
}
