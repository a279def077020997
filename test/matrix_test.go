package test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/test/lab"
)

// Who may do what in the matrix: a letter for each of teamA, teamB, kube-system, and what is
// outside of namespaces.
//
//   - nobody: the request is refused as that of no user (401)
//     0  a user without rights
//     V  may look          E  may change, and read secrets
//     A  may say who may   P  the same by AmazonEKSAdminPolicy: may not give away what RBAC does not know it has
//     M  everything
const (
	teamA = "team-a"
	teamB = "team-b"
)

var places = []string{teamA, teamB, "kube-system", ""}

// A seat is a principal's row in one cluster: its rights in each place, and whom `kubectl
// auth whoami` shows.
type seat struct {
	rights   string
	username string
	groups   []string // besides system:authenticated
}

// An action is a column: one request, and the rights with which it succeeds.
type action struct {
	verb, group, resource, path string
	everywhere                  bool   // outside of namespaces only
	may                         string // the request succeeds
	can                         string // `kubectl auth can-i` says yes; "": as may
	do                          func(ctx context.Context, k *lab.Kube, namespace string) error
}

// actions is ordered as they are done: nothing changes what a later one finds.
var actions = []action{
	{verb: "get", resource: "configmaps", may: "VEAPM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.CoreV1().ConfigMaps(ns).Get(ctx, "settings", metav1.GetOptions{})
		return err
	}},
	{verb: "list", resource: "pods", may: "VEAPM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "list", resource: "secrets", may: "EAPM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "create", resource: "configmaps", may: "EAPM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "of-"}}, metav1.CreateOptions{})
		return err
	}},
	{verb: "patch", resource: "configmaps", may: "EAPM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.CoreV1().ConfigMaps(ns).Patch(ctx, "settings", types.MergePatchType, []byte(`{"data":{"touched":"yes"}}`), metav1.PatchOptions{})
		return err
	}},
	{verb: "list", group: rbacv1.GroupName, resource: "roles", may: "APM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.RbacV1().Roles(ns).List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "create", group: rbacv1.GroupName, resource: "roles", may: "APM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.RbacV1().Roles(ns).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "empty-"}}, metav1.CreateOptions{})
		return err
	}},
	// RBAC lets nobody give what it does not know the giver to have, and access policies are none of its rules.
	{verb: "create", group: rbacv1.GroupName, resource: "rolebindings", may: "AM", can: "APM", do: func(ctx context.Context, k *lab.Kube, ns string) error {
		_, err := k.RbacV1().RoleBindings(ns).Create(ctx, binding("", "view", rbacv1.UserKind, "nobody"), metav1.CreateOptions{})
		return err
	}},
	{verb: "list", resource: "namespaces", everywhere: true, may: "VEAPM", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		_, err := k.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "list", resource: "pods", everywhere: true, may: "VEAPM", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		_, err := k.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "list", resource: "secrets", everywhere: true, may: "EAPM", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		_, err := k.CoreV1().Secrets("").List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "list", resource: "nodes", everywhere: true, may: "M", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		_, err := k.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return err
	}},
	{verb: "create", resource: "namespaces", everywhere: true, may: "M", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		_, err := k.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "new-"}}, metav1.CreateOptions{})
		return err
	}},
	{verb: "get", path: "/metrics", everywhere: true, may: "M", do: func(ctx context.Context, k *lab.Kube, _ string) error {
		return k.RESTClient().Get().AbsPath("/metrics").Do(ctx).Error()
	}},
}

// binding gives a subject one of Kubernetes' own roles.
func binding(name, role, kind, subject string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, GenerateName: "gift-"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: kind, Name: subject}},
	}
}

// A table is what a phase of the matrix predicts: a seat for each principal in each cluster.
type table map[string]map[string]seat

// A cell is one question, and what is predicted.
type cell struct {
	name string
	ask  func(context.Context) string
	want string
	got  string
}

// check asks for every cell of the table. What is not as predicted is asked for again for a
// while: the change before it may need a moment.
func (m *matrix) check(t *testing.T, phase string, predicted table) {
	t.Helper()
	began := time.Now()
	var wrong []*cell
	cells := 0
	for cluster, seats := range predicted {
		for who, s := range seats {
			for _, c := range row(m.kube[who][cluster], s) {
				cells++
				if c.got = c.ask(t.Context()); c.got != c.want {
					c.name = cluster + ": " + who + " " + c.name
					wrong = append(wrong, c)
				}
			}
		}
	}
	late := len(wrong)
	_ = lab.Until(t.Context(), 10*time.Second, "the rest", func(context.Context) (bool, string, error) { // what is left tells
		wrong = slices.DeleteFunc(wrong, func(c *cell) bool {
			c.got = c.ask(t.Context())
			return c.got == c.want
		})
		return len(wrong) == 0, "", nil
	})
	for _, c := range wrong {
		t.Errorf("%s: %s: %s, want %s", phase, c.name, c.got, c.want)
	}
	m.cells += cells
	t.Logf("%s: %d cells in %s, %d only at the second try, %d differences", phase, cells, time.Since(began).Round(10*time.Millisecond), late, len(wrong))
}

// row is everything that there is to do for one principal in one cluster.
func row(k *lab.Kube, s seat) []*cell {
	cells := []*cell{{name: "whoami", ask: func(ctx context.Context) string { return whoami(ctx, k) }, want: s.whoami()}}
	for i, place := range places {
		right := s.rights[i]
		for _, a := range actions {
			if a.everywhere != (place == "") {
				continue
			}
			name := a.verb + " " + a.resource + a.path + " in " + cmp.Or(place, "the cluster")
			cells = append(cells,
				&cell{name: name, ask: func(ctx context.Context) string { return answer(a.do(ctx, k, place)) }, want: outcome(right, a.may)},
				&cell{name: "can-i " + name, ask: func(ctx context.Context) string { return canI(ctx, k, a, place) }, want: outcome(right, cmp.Or(a.can, a.may))})
		}
	}
	return cells
}

func (s seat) whoami() string {
	if s.rights[0] == '-' {
		return "nobody"
	}
	groups := append([]string{"system:authenticated"}, s.groups...)
	slices.Sort(groups)
	return s.username + " of " + strings.Join(groups, ",")
}

// outcome is what a request meets with a right, where it takes one of some.
func outcome(right byte, one string) string {
	switch {
	case right == '-':
		return "nobody"
	case strings.IndexByte(one, right) >= 0:
		return "yes"
	}
	return "no"
}

// answer is what a request has met.
func answer(err error) string {
	switch {
	case err == nil:
		return "yes"
	case apierrors.IsUnauthorized(err):
		return "nobody"
	case apierrors.IsForbidden(err):
		return "no"
	}
	return "an error: " + err.Error()
}

func whoami(ctx context.Context, k *lab.Kube) string {
	me, err := k.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return answer(err)
	}
	groups := slices.Sorted(slices.Values(me.Status.UserInfo.Groups))
	return me.Status.UserInfo.Username + " of " + strings.Join(groups, ",")
}

func canI(ctx context.Context, k *lab.Kube, a action, namespace string) string {
	spec := authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
		Namespace: namespace, Verb: a.verb, Group: a.group, Resource: a.resource,
	}}
	if a.path != "" {
		spec = authorization.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorization.NonResourceAttributes{Path: a.path, Verb: a.verb}}
	}
	got, err := k.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return answer(err)
	case got.Status.Allowed:
		return "yes"
	}
	return "no"
}
