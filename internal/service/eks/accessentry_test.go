package eks_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	devRole  = "arn:aws:iam::000000000000:role/teams/dev"
	missing  = "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'."
	wrongAPI = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."
)

// entries makes a cluster that takes access entries, and principals.
func entries(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.active(t, "c", withMode("API"))
	w.active(t, "map")
	w.role(t, devRole, "ec2.amazonaws.com")
	w.role(t, "arn:aws:iam::"+otherAccount+":role/theirs", "ec2.amazonaws.com")
	w.user(t, "ann")
	return w
}

func (w *world) enter(t *testing.T, in *sdk.CreateAccessEntryInput) *types.AccessEntry {
	t.Helper()
	in.ClusterName = aws.String("c")
	out, err := w.root.CreateAccessEntry(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.AccessEntry
}

func TestAccessEntries(t *testing.T) {
	w := entries(t)
	for _, c := range []struct {
		in             *sdk.CreateAccessEntryInput
		user, groups   string
		arnBeforeTheID string
	}{
		{&sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole)}, "arn:aws:sts::000000000000:assumed-role/dev/{{SessionName}}", "[]", "role/000000000000/dev/"},
		{&sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:user/ann"), KubernetesGroups: []string{"devs"}, Username: aws.String("ann:{{SessionName}}")},
			"ann:{{SessionName}}", "[devs]", "user/000000000000/ann/"},
		{&sdk.CreateAccessEntryInput{PrincipalArn: aws.String(nodeRole), Type: aws.String("EC2_LINUX")}, "system:node:{{EC2PrivateDNSName}}", "[system:nodes]", "role/000000000000/node/"},
		{&sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::" + otherAccount + ":role/theirs")},
			"arn:aws:sts::" + otherAccount + ":assumed-role/theirs/{{SessionName}}", "[]", "role/" + otherAccount + "/theirs/"},
	} {
		e := w.enter(t, c.in)
		prefix := "arn:aws:eks:us-west-2:000000000000:access-entry/c/" + c.arnBeforeTheID
		if *e.Username != c.user || fmt.Sprint(e.KubernetesGroups) != c.groups || len(*e.AccessEntryArn) != len(prefix)+36 || (*e.AccessEntryArn)[:len(prefix)] != prefix {
			t.Errorf("%s: %+v", *c.in.PrincipalArn, e)
		}
	}
	w.Update(t, func(tx *store.Tx) {
		e, _ := tx.AccessEntries.Get(resource.AccessEntryKey("arn:aws:eks:us-west-2:000000000000:cluster/c", devRole))
		if e.PrincipalID != "AROADEV" {
			t.Errorf("principal %s", e.PrincipalID)
		}
	})
	var got []string
	pages := sdk.NewListAccessEntriesPaginator(w.root, &sdk.ListAccessEntriesInput{ClusterName: aws.String("c"), MaxResults: aws.Int32(3)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.AccessEntries...)
	}
	want := []string{linkedRole, nodeRole, devRole, "arn:aws:iam::000000000000:user/ann", "arn:aws:iam::" + otherAccount + ":role/theirs"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %v", got)
	}

	in := &sdk.UpdateAccessEntryInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(devRole), KubernetesGroups: []string{"a", "b"}}
	out, err := w.root.UpdateAccessEntry(t.Context(), in)
	if err != nil || fmt.Sprint(out.AccessEntry.KubernetesGroups) != "[a b]" || *out.AccessEntry.Username != "arn:aws:sts::000000000000:assumed-role/dev/{{SessionName}}" {
		t.Errorf("updated %+v, %v", out, err)
	}
	if _, err := w.root.DescribeAccessEntry(t.Context(), &sdk.DescribeAccessEntryInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(devRole)}); err != nil {
		t.Fatal(err)
	}
	w.golden(t, "access-entry.json")
	in.KubernetesGroups = []string{"system:masters"}
	_, err = w.root.UpdateAccessEntry(t.Context(), in)
	fails(t, err, "InvalidParameterException", "The kubernetes group name system:masters is invalid, it cannot start with system:")
	in.PrincipalArn, in.KubernetesGroups = aws.String(nodeRole), []string{"a"}
	_, err = w.root.UpdateAccessEntry(t.Context(), in)
	fails(t, err, "InvalidParameterException", `The specified kubernetesGroups is invalid: setting kubernetesGroups is not allowed when the type is "EC2_LINUX"`)

	del := &sdk.DeleteAccessEntryInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(devRole)}
	if _, err := w.root.DeleteAccessEntry(t.Context(), del); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.DeleteAccessEntry(t.Context(), del)
	fails(t, err, "ResourceNotFoundException", missing)
}

func TestCreateAccessEntryRefusals(t *testing.T) {
	w := entries(t)
	w.enter(t, &sdk.CreateAccessEntryInput{PrincipalArn: aws.String(nodeRole), ClientRequestToken: aws.String("one")})
	const invalid = "InvalidParameterException"
	const principal = "The specified principalArn is invalid: invalid principal."
	types := "[EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2]"
	for _, c := range []struct {
		name          string
		in            sdk.CreateAccessEntryInput
		code, message string
	}{
		{"there already", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(nodeRole)}, "ResourceInUseException", "The specified access entry resource is already in use on this cluster."},
		{"another body", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(nodeRole), ClientRequestToken: aws.String("one"), Username: aws.String("x")}, invalid,
			"The clientRequestToken was already used with different request parameters."},
		{"no such role", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:role/none")}, invalid, principal},
		{"root", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:root")}, invalid, principal},
		{"session", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:sts::000000000000:assumed-role/dev/s")}, invalid, principal},
		{"group", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:group/g")}, invalid, principal},
		{"service-linked", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS")}, invalid,
			"The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role"},
		{"node of another account", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::" + otherAccount + ":role/theirs"), Type: aws.String("EC2_LINUX")}, invalid,
			"AccessEntry principalArn must be from the same account as the cluster when using types " + types},
		{"node that is a user", sdk.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::000000000000:user/ann"), Type: aws.String("EC2")}, invalid,
			"AccessEntry principalArn must be IAM role when using types " + types},
		{"node with a name", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole), Type: aws.String("EC2_LINUX"), Username: aws.String("x")}, invalid,
			`The specified username is invalid: setting username is not allowed when the type is "EC2_LINUX"`},
		{"unknown type", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole), Type: aws.String("X")}, invalid, "The specified type is invalid: X"},
		{"banned name", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole), Username: aws.String("system:admin")}, invalid, "The username must not begin with system:"},
		{"banned group", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole), KubernetesGroups: []string{"eks:x"}}, invalid, "The kubernetes group name eks:x is invalid, it cannot start with eks:"},
		{"session without a colon", sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole), Username: aws.String("x{{SessionName}}")}, invalid,
			"The specified username is invalid: a colon must come before {{SessionName}}"},
		{"CONFIG_MAP", sdk.CreateAccessEntryInput{ClusterName: aws.String("map"), PrincipalArn: aws.String(devRole)}, "InvalidRequestException", wrongAPI},
		{"no cluster", sdk.CreateAccessEntryInput{ClusterName: aws.String("none"), PrincipalArn: aws.String(devRole)}, "ResourceNotFoundException", "No cluster found for name: none."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.ClusterName == nil {
				c.in.ClusterName = aws.String("c")
			}
			before := w.records(t)
			_, err := w.root.CreateAccessEntry(t.Context(), &c.in)
			fails(t, err, c.code, c.message)
			if after := w.records(t); after != before {
				t.Errorf("half made: %s, %s", before, after)
			}
		})
	}
	if _, err := w.root.CreateAccessEntry(t.Context(), &sdk.CreateAccessEntryInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(nodeRole), ClientRequestToken: aws.String("one")}); err != nil {
		t.Errorf("a replay: %v", err)
	}
}

func TestAccessPolicies(t *testing.T) {
	w := entries(t)
	w.enter(t, &sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole)})
	w.enter(t, &sdk.CreateAccessEntryInput{PrincipalArn: aws.String(nodeRole), Type: aws.String("EC2_LINUX")})
	cluster, names := &types.AccessScope{Type: "cluster"}, &types.AccessScope{Type: "namespace", Namespaces: []string{"dev-*"}}
	associate := func(principal, policy string, scope *types.AccessScope) error {
		_, err := w.root.AssociateAccessPolicy(t.Context(), &sdk.AssociateAccessPolicyInput{
			ClusterName: aws.String("c"), PrincipalArn: &principal, PolicyArn: &policy, AccessScope: scope,
		})
		return err
	}
	for _, step := range []struct {
		policy string
		scope  *types.AccessScope
	}{{viewPolicy, cluster}, {adminPolicy, names}, {viewPolicy, names}} {
		if err := associate(devRole, step.policy, step.scope); err != nil {
			t.Fatal(err)
		}
	}
	out, err := w.root.ListAssociatedAccessPolicies(t.Context(), &sdk.ListAssociatedAccessPoliciesInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(devRole)})
	if err != nil {
		t.Fatal(err)
	}
	if l := out.AssociatedAccessPolicies; len(l) != 2 || *l[0].PolicyArn != adminPolicy || *l[1].PolicyArn != viewPolicy || fmt.Sprint(l[1].AccessScope.Namespaces) != "[dev-*]" {
		t.Errorf("listed %+v", l)
	}
	with, err := w.root.ListAccessEntries(t.Context(), &sdk.ListAccessEntriesInput{ClusterName: aws.String("c"), AssociatedPolicyArn: aws.String(viewPolicy)})
	if err != nil || fmt.Sprint(with.AccessEntries) != "["+devRole+"]" {
		t.Errorf("with the policy: %v, %v", with, err)
	}
	const invalid = "InvalidParameterException"
	fails(t, associate(nodeRole, viewPolicy, cluster), "InvalidRequestException", `This operation can only be performed on Access Entries with a type of "STANDARD"`)
	fails(t, associate(devRole, "arn:aws:iam::aws:policy/AdministratorAccess", cluster), invalid, "The policyArn parameter format is not valid")
	fails(t, associate(devRole, viewPolicy+"X", cluster), invalid, "The specified policyArn could not be found.")
	for _, own := range []string{"BlockStorage", "BlockStorageCluster", "Compute", "ComputeCluster", "Hybrid"} {
		fails(t, associate(devRole, "arn:aws:eks::aws:cluster-access-policy/AmazonEKS"+own+"Policy", cluster), invalid,
			"The specified policyArn can only be associated with service-linked roles")
	}
	fails(t, associate(devRole, viewPolicy, &types.AccessScope{Type: "namespace"}), invalid, "At least 1 namespace must be provided if the type is set as namespace")
	fails(t, associate(devRole, viewPolicy, &types.AccessScope{Type: "cluster", Namespaces: []string{"a"}}), invalid,
		"accessScope should not include namespaces if the type is not set as namespace")
	fails(t, associate("arn:aws:iam::000000000000:role/none", viewPolicy, cluster), "ResourceNotFoundException", missing)

	w.enter(t, &sdk.CreateAccessEntryInput{PrincipalArn: aws.String(clusterRole), Type: aws.String("EC2")})
	if err := associate(clusterRole, nodePolicy, cluster); err != nil {
		t.Errorf("Auto Mode's node policy on its own type: %v", err)
	}
	dis := &sdk.DisassociateAccessPolicyInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(devRole), PolicyArn: aws.String(viewPolicy)}
	if _, err := w.root.DisassociateAccessPolicy(t.Context(), dis); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.DisassociateAccessPolicy(t.Context(), dis)
	fails(t, err, "ResourceNotFoundException", "The specified policyArn is not associated with the access entry.")

	all, n := map[string]bool{}, 0
	pages := sdk.NewListAccessPoliciesPaginator(w.root, &sdk.ListAccessPoliciesInput{MaxResults: aws.Int32(10)})
	for ; pages.HasMorePages(); n++ {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.AccessPolicies {
			all[*p.Arn] = true
		}
	}
	if n != (len(all)+9)/10 || !all[adminPolicy] || !all[viewPolicy] {
		t.Errorf("%d pages, %d policies", n, len(all))
	}
}

// EKS's own role has an entry in every cluster that takes entries, which nobody may touch.
func TestServiceLinkedEntry(t *testing.T) {
	w, c := entries(t), aws.String("c")
	got, err := w.root.DescribeAccessEntry(t.Context(), &sdk.DescribeAccessEntryInput{ClusterName: c, PrincipalArn: aws.String(linkedRole)})
	if err != nil {
		t.Fatal(err)
	}
	e := got.AccessEntry
	if *e.Username != "eks:managed" || *e.Type != "STANDARD" || len(e.KubernetesGroups) > 0 ||
		!strings.HasPrefix(*e.AccessEntryArn, "arn:aws:eks:us-west-2:"+account+":access-entry/c/role/"+account+"/AWSServiceRoleForAmazonEKS/") {
		t.Errorf("entry %+v", e)
	}
	policies, err := w.root.ListAssociatedAccessPolicies(t.Context(), &sdk.ListAssociatedAccessPoliciesInput{ClusterName: c, PrincipalArn: aws.String(linkedRole)})
	if err != nil || len(policies.AssociatedAccessPolicies) != 2 || !strings.HasSuffix(*policies.AssociatedAccessPolicies[0].PolicyArn, "/AmazonEKSClusterInsightsPolicy") ||
		!strings.HasSuffix(*policies.AssociatedAccessPolicies[1].PolicyArn, "/AmazonEKSEventPolicy") || policies.AssociatedAccessPolicies[1].AccessScope.Type != "cluster" {
		t.Errorf("policies %+v, %v", policies, err)
	}
	_, update := w.root.UpdateAccessEntry(t.Context(), &sdk.UpdateAccessEntryInput{ClusterName: c, PrincipalArn: aws.String(linkedRole), Username: aws.String("x")})
	_, remove := w.root.DeleteAccessEntry(t.Context(), &sdk.DeleteAccessEntryInput{ClusterName: c, PrincipalArn: aws.String(linkedRole)})
	_, associate := w.root.AssociateAccessPolicy(t.Context(), &sdk.AssociateAccessPolicyInput{
		ClusterName: c, PrincipalArn: aws.String(linkedRole), PolicyArn: aws.String(adminPolicy), AccessScope: &types.AccessScope{Type: "cluster"},
	})
	_, take := w.root.DisassociateAccessPolicy(t.Context(), &sdk.DisassociateAccessPolicyInput{
		ClusterName: c, PrincipalArn: aws.String(linkedRole), PolicyArn: policies.AssociatedAccessPolicies[1].PolicyArn,
	})
	for what, err := range map[string]error{"update": update, "delete": remove, "associate": associate, "disassociate": take} {
		var refused *types.InvalidParameterException
		if !errors.As(err, &refused) || *refused.Message != "The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role" {
			t.Errorf("%s: %v", what, err)
		}
	}
	again, err := w.root.DescribeAccessEntry(t.Context(), &sdk.DescribeAccessEntryInput{ClusterName: c, PrincipalArn: aws.String(linkedRole)})
	if err != nil || !reflect.DeepEqual(again.AccessEntry, e) {
		t.Errorf("afterwards it is %+v, %v", again, err)
	}
}
