package test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// The clusters of the matrix: old is made by the account's root with mode CONFIG_MAP and goes
// on to API step by step, new is made by a role with mode API.
const (
	oldCluster = "old"
	newCluster = "new"
	ops        = "ops" // the role that makes new, and the name of its sessions
)

// A matrix is two clusters and who comes to them.
type matrix struct {
	cloud   *lab.Cloud
	account string
	other   string // another account's id
	people  *issuer
	arn     map[string]string // of the principals of IAM
	kube    map[string]map[string]*lab.Kube
	cells   int
}

// TestAccessMatrix has seven principals do everything in every namespace of two clusters, in
// each mode of authentication, and compares what they meet with tables.
func TestAccessMatrix(t *testing.T) {
	watch := newStopwatch(t)
	people := newIssuer(t)
	d, cloud := newDaemon(t, func(d *lab.Daemon) { d.Env = []string{"SSL_CERT_FILE=" + people.bundle} })
	m := &matrix{cloud: cloud, people: people, arn: map[string]string{}, kube: map[string]map[string]*lab.Kube{}}
	m.create(t, d)
	watch.done("two clusters and seven principals")

	root := seat{"MMMM", "kubernetes-admin", []string{"system:masters"}}
	nobody := seat{rights: "----"}
	jane := seat{"E000", people.url + "#jane", []string{"oidc:devs"}}
	byRole := func(role string) string { return "arn:aws:sts::" + m.account + ":assumed-role/" + role + "/" + role }
	inNew := map[string]seat{
		"root": nobody, // has not made it, and cannot have an access entry
		"ops":  {"MMMM", byRole(ops), nil},
		"dev":  {"V000", byRole("dev"), []string{"developers"}},
		"ana":  {"EE00", m.arn["ana"], nil},
		"bob":  {"VVVV", m.arn["bob"], nil},
		"jane": nobody,
		"late": nobody, // jane with a token of yesterday's
		"eve":  nobody, // whatever aws-auth says
	}
	byMap := map[string]seat{
		"root": root,
		"ops":  {"AVVV", "ops:" + ops, []string{"ops"}},
		"dev":  {"0E00", "dev", []string{"developers"}},
		"ana":  {"00V0", "ana", []string{"auditors"}},
		"bob":  {"V000", m.arn["bob"], nil},
		"jane": jane,
		"late": nobody,
		"eve":  nobody,
	}
	m.check(t, "CONFIG_MAP and API", table{oldCluster: byMap, newCluster: inNew})
	watch.done("CONFIG_MAP")

	m.mode(t, types.AuthenticationModeApiAndConfigMap)
	m.entries(t)
	both := with(byMap, map[string]seat{
		"ana": {"VPVV", m.arn["ana"], nil}, // the entry wins
		"eve": {"0000", "eve:reads", nil},  // an entry that gives nothing
	})
	m.check(t, "API_AND_CONFIG_MAP", table{oldCluster: both})
	watch.done("API_AND_CONFIG_MAP")

	m.breakRoles(t)
	m.check(t, "with broken mapRoles", table{oldCluster: with(both, map[string]seat{"ops": nobody, "dev": nobody})})
	watch.done("broken mapRoles")

	m.mode(t, types.AuthenticationModeApi)
	m.entry(t, oldCluster, "dev", nil, "AmazonEKSClusterAdminPolicy", teamB)
	inOld := with(both, map[string]seat{"ops": nobody, "bob": nobody, "dev": {"0M00", byRole("dev"), nil}})
	m.check(t, "API", table{oldCluster: inOld, newCluster: inNew})
	watch.done("API")
	t.Logf("%d cells", m.cells)
}

// with is all of a with some seats changed.
func with(a, changes map[string]seat) map[string]seat {
	out := map[string]seat{}
	for _, from := range []map[string]seat{a, changes} {
		for who, s := range from {
			out[who] = s
		}
	}
	return out
}

func (m *matrix) create(t *testing.T, d *lab.Daemon) {
	ctx := t.Context()
	var err error
	m.account, err = m.cloud.Account(ctx)
	no(t, err)
	far, err := d.NewAccount(ctx)
	no(t, err)
	m.other, err = far.Account(ctx)
	no(t, err)
	as := map[string]*lab.Cloud{"root": m.cloud}
	for _, user := range []string{"ana", "eve"} {
		as[user], m.arn[user] = m.user(t, m.cloud, user)
	}
	as["bob"], m.arn["bob"] = m.user(t, far, "bob")
	as["ops"], m.arn["ops"] = m.role(t, ops, "/")
	as["dev"], m.arn["dev"] = m.role(t, "dev", "/eng/")

	land, err := m.cloud.Landscape(ctx)
	no(t, err)
	clusters := map[string]*types.Cluster{}
	for name, by := range map[string]*lab.Cloud{oldCluster: m.cloud, newCluster: as["ops"]} {
		in := land.ClusterInput(name, "")
		in.AccessConfig.AuthenticationMode = map[string]types.AuthenticationMode{
			oldCluster: types.AuthenticationModeConfigMap, newCluster: types.AuthenticationModeApi,
		}[name]
		_, err := by.EKS.CreateCluster(ctx, in)
		no(t, err)
	}
	for _, name := range []string{oldCluster, newCluster} {
		clusters[name], err = m.cloud.AwaitCluster(ctx, name)
		no(t, err)
		for who, c := range as {
			k, err := c.Kube(clusters[name])
			no(t, err)
			m.seat(who, name, k)
		}
		k, err := m.cloud.KubeWithToken(clusters[name], m.people.token(t, nil))
		no(t, err)
		m.seat("jane", name, k)
		k, err = m.cloud.KubeWithToken(clusters[name], m.people.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}))
		no(t, err)
		m.seat("late", name, k)
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() { errs[0] = m.furnishOld(ctx) })
	wg.Go(func() { errs[1] = m.furnishNew(ctx) })
	wg.Wait()
	no(t, errs[0])
	no(t, errs[1])
	m.entry(t, newCluster, "dev", []string{"developers"}, "")
	m.entry(t, newCluster, "ana", nil, "AmazonEKSEditPolicy", "team-*")
	m.entry(t, newCluster, "bob", nil, "AmazonEKSViewPolicy")
	out, err := m.cloud.EKS.AssociateIdentityProviderConfig(ctx, &eks.AssociateIdentityProviderConfigInput{
		ClusterName: new(oldCluster), Oidc: &types.OidcIdentityProviderConfigRequest{
			IdentityProviderConfigName: new("people"), IssuerUrl: &m.people.url, ClientId: new("kubernetes"), GroupsClaim: new("groups"), GroupsPrefix: new("oidc:"),
		},
	})
	no(t, err)
	m.await(t, out.Update)
}

func (m *matrix) seat(who, cluster string, k *lab.Kube) {
	if m.kube[who] == nil {
		m.kube[who] = map[string]*lab.Kube{}
	}
	m.kube[who][cluster] = k
}

// anything is what principals may do in AWS, which is nothing to a cluster.
const anything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// user is a new user's cloud.
func (m *matrix) user(t *testing.T, c *lab.Cloud, name string) (as *lab.Cloud, arn string) {
	t.Helper()
	as, err := c.User(t.Context(), name, anything)
	no(t, err)
	who, err := as.STS.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	no(t, err)
	return as, *who.Arn
}

// role is a session of a new role, of the role's name.
func (m *matrix) role(t *testing.T, name, path string) (as *lab.Cloud, arn string) {
	ctx := t.Context()
	r, err := m.cloud.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Path: &path, AssumeRolePolicyDocument: lab.TrustAccount(m.account)})
	no(t, err)
	_, err = m.cloud.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: new(anything)})
	no(t, err)
	as, err = m.cloud.Assume(ctx, *r.Role.Arn, name)
	no(t, err)
	return as, *r.Role.Arn
}

// furnishOld makes what the old cluster's users find, and RBAC's part in what they may do.
func (m *matrix) furnishOld(ctx context.Context) error {
	k := m.kube["root"][oldCluster]
	if err := furnish(ctx, k); err != nil {
		return err
	}
	if err := putAWSAuth(ctx, k, map[string]string{
		"mapRoles": fmt.Sprintf("- {rolearn: %q, username: 'ops:{{SessionName}}', groups: [ops]}\n- {rolearn: 'arn:aws:iam::%s:role/dev', username: dev, groups: [developers]}\n",
			m.arn["ops"], m.account), // a path is in no session's ARN, so it must not be here
		"mapUsers":    fmt.Sprintf("- {userarn: %q, username: ana, groups: [auditors]}\n", m.arn["ana"]),
		"mapAccounts": fmt.Sprintf("- %q\n", m.other),
	}); err != nil {
		return err
	}
	_, err := k.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "ops"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "ops"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return bind(ctx, k, map[string][]*rbacv1.RoleBinding{
		teamA: {
			binding("ops", "admin", rbacv1.GroupKind, "ops"), binding("devs", "edit", rbacv1.GroupKind, "oidc:devs"),
			binding("bob", "view", rbacv1.UserKind, m.arn["bob"]),
		},
		teamB:         {binding("developers", "edit", rbacv1.GroupKind, "developers")},
		"kube-system": {binding("auditors", "view", rbacv1.GroupKind, "auditors")},
	})
}

// furnishNew does the same for the new cluster, whose aws-auth nobody reads.
func (m *matrix) furnishNew(ctx context.Context) error {
	k := m.kube["ops"][newCluster]
	if err := furnish(ctx, k); err != nil {
		return err
	}
	if err := putAWSAuth(ctx, k, map[string]string{"mapUsers": fmt.Sprintf("- {userarn: %q, username: eve, groups: ['system:masters']}\n", m.arn["eve"])}); err != nil {
		return err
	}
	return bind(ctx, k, map[string][]*rbacv1.RoleBinding{teamA: {binding("developers", "view", rbacv1.GroupKind, "developers")}})
}

func furnish(ctx context.Context, k *lab.Kube) error {
	for _, ns := range places {
		if ns == teamA || ns == teamB {
			if _, err := k.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		if ns != "" {
			if _, err := k.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func bind(ctx context.Context, k *lab.Kube, in map[string][]*rbacv1.RoleBinding) error {
	for ns, list := range in {
		for _, b := range list {
			if _, err := k.RbacV1().RoleBindings(ns).Create(ctx, b, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// putAWSAuth sets some of the ConfigMap's keys, and makes it if it is not there.
func putAWSAuth(ctx context.Context, k *lab.Kube, data map[string]string) error {
	maps := k.CoreV1().ConfigMaps("kube-system")
	cm, err := maps.Get(ctx, "aws-auth", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"}, Data: data}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	for key, value := range data {
		cm.Data[key] = value
	}
	_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
	return err
}

// entries gives the old cluster its access entries, once it can have some.
func (m *matrix) entries(t *testing.T) {
	m.entry(t, oldCluster, "ana", nil, "AmazonEKSViewPolicy")
	m.associate(t, oldCluster, "ana", "AmazonEKSAdminPolicy", teamB)
	_, err := m.cloud.EKS.CreateAccessEntry(t.Context(), &eks.CreateAccessEntryInput{
		ClusterName: new(oldCluster), PrincipalArn: new(m.arn["eve"]), Username: new("eve:reads"),
	})
	no(t, err)
}

// entry makes an access entry with a policy: in the namespaces, if any are given.
func (m *matrix) entry(t *testing.T, cluster, who string, groups []string, policy string, namespaces ...string) {
	t.Helper()
	_, err := m.cloud.EKS.CreateAccessEntry(t.Context(), &eks.CreateAccessEntryInput{ClusterName: &cluster, PrincipalArn: new(m.arn[who]), KubernetesGroups: groups})
	no(t, err)
	if policy != "" {
		m.associate(t, cluster, who, policy, namespaces...)
	}
}

func (m *matrix) associate(t *testing.T, cluster, who, policy string, namespaces ...string) {
	t.Helper()
	scope := &types.AccessScope{Type: types.AccessScopeTypeCluster}
	if len(namespaces) > 0 {
		scope = &types.AccessScope{Type: types.AccessScopeTypeNamespace, Namespaces: namespaces}
	}
	_, err := m.cloud.EKS.AssociateAccessPolicy(t.Context(), &eks.AssociateAccessPolicyInput{
		ClusterName: &cluster, PrincipalArn: new(m.arn[who]), PolicyArn: new("arn:aws:eks::aws:cluster-access-policy/" + policy), AccessScope: scope,
	})
	no(t, err)
}

// breakRoles makes mapRoles something that is no YAML; the other keys are as they were.
func (m *matrix) breakRoles(t *testing.T) {
	no(t, putAWSAuth(t.Context(), m.kube["root"][oldCluster], map[string]string{"mapRoles": "- rolearn: [\n"}))
}

// mode changes the old cluster's mode of authentication.
func (m *matrix) mode(t *testing.T, to types.AuthenticationMode) {
	t.Helper()
	out, err := m.cloud.EKS.UpdateClusterConfig(t.Context(), &eks.UpdateClusterConfigInput{
		Name: new(oldCluster), AccessConfig: &types.UpdateAccessConfigRequest{AuthenticationMode: to},
	})
	no(t, err)
	m.await(t, out.Update)
}

// await waits for an update of the old cluster.
func (m *matrix) await(t *testing.T, u *types.Update) {
	t.Helper()
	no(t, lab.Until(t.Context(), 30*time.Second, "update "+*u.Id, func(ctx context.Context) (bool, string, error) {
		got, err := m.cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(oldCluster), UpdateId: u.Id})
		if err != nil {
			return false, "", err
		}
		return got.Update.Status == types.UpdateStatusSuccessful, string(got.Update.Status), nil
	}))
}
