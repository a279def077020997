package node

import (
	"net/http"
	"strings"
	"testing"
)

func testAWSAuth(t *testing.T, w *world) {
	const path = "/api/v1/namespaces/kube-system/configmaps/aws-auth"
	const role, other = "arn:aws:iam::000000000000:role/a/path/nodes", "arn:aws:iam::000000000000:role/other"
	eventually(t, "kube-system is there", func() bool { return !w.absent("/api/v1/namespaces/kube-system") })
	if _, ok := w.nodes.AWSAuth(arn); ok {
		t.Error("there is an aws-auth in a new cluster")
	}
	change := func(f error) {
		t.Helper()
		if f != nil {
			t.Fatal(f)
		}
	}
	change(w.nodes.RemoveAWSAuthRole(t.Context(), arn, role)) // from nothing
	if !w.absent(path) {
		t.Error("removing a role makes aws-auth")
	}
	for range 2 {
		change(w.nodes.EnsureAWSAuthRole(t.Context(), arn, role))
	}
	want := "- groups:\n  - system:bootstrappers\n  - system:nodes\n  rolearn: arn:aws:iam::000000000000:role/nodes\n  username: system:node:{{EC2PrivateDNSName}}\n"
	live := func(what, want string) {
		t.Helper()
		got := ""
		defer func() {
			if t.Failed() {
				t.Logf("mapRoles is\n%s", got)
			}
		}()
		eventually(t, what, func() bool {
			data, ok := w.nodes.AWSAuth(arn)
			got = data["mapRoles"]
			return ok && got == want
		})
	}
	live("the role is seen", want)

	// What others have written stays.
	users := "- userarn: arn:aws:iam::000000000000:user/x # mine\n"
	w.do(http.MethodPatch, path, object{"data": object{"mapUsers": users, "mapRoles": want + "- rolearn: x\n  username: who\n  sso: {a: b}\n"}})
	change(w.nodes.EnsureAWSAuthRole(t.Context(), arn, other))
	change(w.nodes.RemoveAWSAuthRole(t.Context(), arn, role))
	live("one has come, one has gone", "- rolearn: x\n  sso:\n    a: b\n  username: who\n"+strings.ReplaceAll(want, "role/nodes", "role/other"))
	if data, _ := w.nodes.AWSAuth(arn); data["mapUsers"] != users {
		t.Errorf("mapUsers is %q", data["mapUsers"])
	}

	w.do(http.MethodPatch, path, object{"data": object{"mapRoles": "- ["}})
	if err := w.nodes.EnsureAWSAuthRole(t.Context(), arn, role); err == nil || !strings.Contains(err.Error(), "mapRoles") {
		t.Errorf("a broken aws-auth is changed: %v", err)
	}
	w.do(http.MethodDelete, path, nil)
	eventually(t, "the deletion is seen", func() bool { _, ok := w.nodes.AWSAuth(arn); return !ok })
}
