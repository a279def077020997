package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ekster.dev/ekster/test/lab"
)

// Roles of the chain: each may assume the next one, and the last makes clusters.
const (
	powerUser  = "PowerUser"
	eksManager = "EKS-Manager"
)

// TestRoleChain goes the way that many companies have to their clusters: a user who may only
// assume PowerUser, PowerUser who may assume EKS-Manager, EKS-Manager who makes the cluster and
// is its only master, by an access entry or, in mode CONFIG_MAP, unseen.
func TestRoleChain(t *testing.T) {
	ctx := t.Context()
	watch := newStopwatch(t)
	_, cloud := newDaemon(t)
	land, err := cloud.Landscape(ctx)
	no(t, err)
	account, err := cloud.Account(ctx)
	no(t, err)
	role := func(name string) string { return "arn:aws:iam::" + account + ":role/" + name }
	chainRoles(t, cloud, land, account)
	user, err := cloud.User(ctx, "dev", allows("sts:AssumeRole", role(powerUser)))
	no(t, err)

	// One step and no further, each.
	assume := func(c *lab.Cloud, name string) error {
		_, err := c.STS.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: new(role(name)), RoleSessionName: new("chain")})
		return err
	}
	create := func(c *lab.Cloud, name, passed string, mode types.AuthenticationMode) error {
		in := land.ClusterInput(name, "")
		in.RoleArn, in.AccessConfig.AuthenticationMode = &passed, mode
		_, err := c.EKS.CreateCluster(ctx, in)
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		if !strings.HasPrefix(lab.Code(err), "AccessDenied") || !strings.Contains(lab.Message(err), "is not authorized to perform: "+what) {
			t.Errorf("got %v, want a denial of %s", err, what)
		}
	}
	const api = types.AuthenticationModeApi
	refused("eks:CreateCluster", create(user, "c", land.ClusterRole, api))
	refused("sts:AssumeRole on resource: "+role(eksManager), assume(user, eksManager))
	refused("sts:AssumeRole on resource: "+land.ClusterRole, assume(user, "lab-cluster"))
	power, err := user.Assume(ctx, role(powerUser), "chain")
	no(t, err)
	refused("iam:PassRole on resource: "+land.ClusterRole, create(power, "c", land.ClusterRole, api))
	refused("sts:AssumeRole on resource: "+land.ClusterRole, assume(power, "lab-cluster"))
	manager, err := power.Assume(ctx, role(eksManager), "chain")
	no(t, err)
	refused("iam:PassRole on resource: "+land.NodeRole, create(manager, "c", land.NodeRole, api))
	refused("sts:AssumeRole on resource: "+role(powerUser), assume(manager, powerUser))

	masters := map[string]seat{
		"by-entry": {"MMMM", "arn:aws:sts::" + account + ":assumed-role/" + eksManager + "/chain", nil},
		"by-map":   {"MMMM", "kubernetes-admin", []string{"system:masters"}},
	}
	modes := map[string]types.AuthenticationMode{"by-entry": api, "by-map": types.AuthenticationModeConfigMap}
	for name, mode := range modes {
		no(t, create(manager, name, land.ClusterRole, mode))
	}
	others := map[string]*lab.Cloud{"root": cloud, "the user": user, powerUser: power}
	for name := range modes {
		cl, err := manager.AwaitCluster(ctx, name)
		no(t, err)
		k, err := manager.Kube(cl)
		no(t, err)
		no(t, furnish(ctx, k))
		for _, c := range row(k, masters[name]) {
			if got := c.ask(ctx); got != c.want {
				t.Errorf("%s: EKS-Manager %s: %s, want %s", name, c.name, got, c.want)
			}
		}
		for who, c := range others {
			k, err := c.Kube(cl)
			no(t, err)
			if got := whoami(ctx, k); got != "nobody" {
				t.Errorf("%s: %s is %s", name, who, got)
			}
		}
	}
	watch.done("two clusters by the chain")
	entries, err := manager.EKS.ListAccessEntries(ctx, &eks.ListAccessEntriesInput{ClusterName: new("by-entry"), AssociatedPolicyArn: new(clusterAdminPolicy)})
	no(t, err)
	if got := fmt.Sprint(entries.AccessEntries); got != "["+role(eksManager)+"]" {
		t.Errorf("masters %s", got)
	}
	no(t, deleteBoth(ctx, manager))
	watch.done("their end")
}

const clusterAdminPolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

func allows(action, on string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q}]}`, action, on)
}

// chainRoles makes PowerUser, whom its account may assume and who may do all but IAM's, and
// EKS-Manager, whom only PowerUser may assume and who may hand one role to EKS.
func chainRoles(t *testing.T, cloud *lab.Cloud, land lab.Landscape, account string) {
	t.Helper()
	ctx := t.Context()
	arn, err := cloud.Role(ctx, powerUser, lab.TrustAccount(account), "PowerUserAccess")
	no(t, err)
	trusts := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, arn)
	manager, err := cloud.Role(ctx, eksManager, &trusts)
	no(t, err)
	for name, policy := range map[string]string{
		powerUser: allows("sts:AssumeRole", manager),
		eksManager: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["eks:*","ec2:Describe*"],"Resource":"*"},
			{"Effect":"Allow","Action":"iam:PassRole","Resource":%q,"Condition":{"StringEquals":{"iam:PassedToService":"eks.amazonaws.com"}}},
			{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","Condition":{"StringEquals":{"iam:AWSServiceName":"eks.amazonaws.com"}}}]}`, land.ClusterRole),
	} {
		_, err := cloud.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: &policy})
		no(t, err)
	}
}

func deleteBoth(ctx context.Context, c *lab.Cloud) error {
	for _, name := range []string{"by-entry", "by-map"} {
		if err := c.DeleteCluster(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
