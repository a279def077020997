package iam_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	geniam "ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/service/iam"
)

const account = identitytest.Account

// A world is the IAM API behind the front door, and a way to sign for it.
type world struct {
	*identitytest.Door
	root *sdk.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{geniam.Service(iam.New(d.Store, d.Managed))}
	})
	return &world{Door: d, root: sdk.NewFromConfig(d.AsRoot())}
}

func (w *world) as(id, secret string) *sdk.Client { return sdk.NewFromConfig(w.As(id, secret, "")) }

// fails checks an error's code and message.
func fails(t *testing.T, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %s: %s", err, code, message)
	}
	if e.ErrorCode() != code || e.ErrorMessage() != message {
		t.Fatalf("got  %s: %s\nwant %s: %s", e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

const (
	trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	allowS3  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	cni      = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
	workers  = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
)

func (w *world) role(t *testing.T, name string) types.Role {
	t.Helper()
	out := must(w.root.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustEC2)}))(t)
	return *out.Role
}

func TestRoleLife(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	made := must(w.root.CreateRole(ctx, &sdk.CreateRoleInput{
		RoleName: aws.String("Node"), Path: aws.String("/eks/"), Description: aws.String("nodes"),
		AssumeRolePolicyDocument: aws.String(trustEC2), MaxSessionDuration: aws.Int32(7200),
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a b")}},
	}))(t).Role
	if *made.Arn != "arn:aws:iam::000000000000:role/eks/Node" || !strings.HasPrefix(*made.RoleId, "AROA") || len(*made.RoleId) != 21 {
		t.Errorf("made %s %s", *made.Arn, *made.RoleId)
	}
	if strings.ContainsAny(*made.AssumeRolePolicyDocument, `{":+`) {
		t.Errorf("the document is not percent-encoded: %s", *made.AssumeRolePolicyDocument)
	}
	if d, err := url.PathUnescape(*made.AssumeRolePolicyDocument); err != nil || d != trustEC2 {
		t.Errorf("the document decodes to %s, %v", d, err)
	}
	got := must(w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("node")}))(t).Role // names know no case
	if *got.RoleName != "Node" || *got.MaxSessionDuration != 7200 || *got.Description != "nodes" || len(got.Tags) != 1 {
		t.Errorf("got %+v", got)
	}
	_, err := w.root.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: aws.String("NODE"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	fails(t, err, "EntityAlreadyExists", "Role with name NODE already exists.")

	if _, err := w.root.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: aws.String("Node"), PolicyArn: aws.String(cni)}); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: aws.String("Node")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	must(w.root.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: aws.String("Node"), PolicyArn: aws.String(cni)}))(t)
	_, err = w.root.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: aws.String("Node"), PolicyArn: aws.String(cni)})
	fails(t, err, "NoSuchEntity", "Policy "+cni+" was not found.")

	must(w.root.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: aws.String("Node"), PolicyName: aws.String("p"), PolicyDocument: aws.String(allowS3)}))(t)
	in := must(w.root.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: aws.String("Node"), PolicyName: aws.String("p")}))(t)
	if d, _ := url.PathUnescape(*in.PolicyDocument); d != allowS3 {
		t.Errorf("the inline policy reads %s", d)
	}
	_, err = w.root.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: aws.String("Node")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	must(w.root.DeleteRolePolicy(ctx, &sdk.DeleteRolePolicyInput{RoleName: aws.String("Node"), PolicyName: aws.String("p")}))(t)
	_, err = w.root.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: aws.String("Node"), PolicyName: aws.String("p")})
	fails(t, err, "NoSuchEntity", "The role policy with name p cannot be found.")

	must(w.root.TagRole(ctx, &sdk.TagRoleInput{RoleName: aws.String("Node"), Tags: []types.Tag{{Key: aws.String("TEAM"), Value: aws.String("c")}}}))(t)
	tags := must(w.root.ListRoleTags(ctx, &sdk.ListRoleTagsInput{RoleName: aws.String("Node")}))(t).Tags
	if len(tags) != 1 || *tags[0].Key != "TEAM" || *tags[0].Value != "c" {
		t.Errorf("tags %+v", tags)
	}
	must(w.root.UntagRole(ctx, &sdk.UntagRoleInput{RoleName: aws.String("Node"), TagKeys: []string{"team"}}))(t)
	must(w.root.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: aws.String("Node")}))(t)
	_, err = w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("Node")})
	fails(t, err, "NoSuchEntity", "The role with name Node cannot be found.")
}

func TestInstanceProfileLife(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.role(t, "a")
	w.role(t, "b")
	p := must(w.root.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: aws.String("p")}))(t).InstanceProfile
	if *p.Arn != "arn:aws:iam::000000000000:instance-profile/p" || !strings.HasPrefix(*p.InstanceProfileId, "AIPA") || len(p.Roles) != 0 {
		t.Errorf("made %+v", p)
	}
	add := func(role string) error {
		_, err := w.root.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("p"), RoleName: &role})
		return err
	}
	fails(t, add("none"), "NoSuchEntity", "The role with name none cannot be found.")
	if err := add("a"); err != nil {
		t.Fatal(err)
	}
	fails(t, add("b"), "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	got := must(w.root.GetInstanceProfile(ctx, &sdk.GetInstanceProfileInput{InstanceProfileName: aws.String("p")}))(t).InstanceProfile
	if len(got.Roles) != 1 || *got.Roles[0].RoleName != "a" {
		t.Errorf("got %+v", got)
	}
	for role, want := range map[string]int{"a": 1, "b": 0} {
		l := must(w.root.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: &role}))(t)
		if len(l.InstanceProfiles) != want {
			t.Errorf("%s is in %d profiles, want %d", role, len(l.InstanceProfiles), want)
		}
	}
	_, err := w.root.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: aws.String("a")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	_, err = w.root.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: aws.String("p")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	must(w.root.RemoveRoleFromInstanceProfile(ctx, &sdk.RemoveRoleFromInstanceProfileInput{InstanceProfileName: aws.String("p"), RoleName: aws.String("a")}))(t)
	must(w.root.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: aws.String("p")}))(t)
	_, err = w.root.GetInstanceProfile(ctx, &sdk.GetInstanceProfileInput{InstanceProfileName: aws.String("p")})
	fails(t, err, "NoSuchEntity", "Instance Profile p cannot be found.")
}

// A user's key works until it is switched off or deleted, and may do what the user may.
func TestUserAndKeys(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must(w.root.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("ann"), Path: aws.String("/dev/")}))(t)
	key := must(w.root.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: aws.String("ann")}))(t).AccessKey
	ann := w.as(*key.AccessKeyId, *key.SecretAccessKey)

	_, err := ann.GetUser(ctx, &sdk.GetUserInput{})
	const arn = "arn:aws:iam::000000000000:user/dev/ann"
	fails(t, err, "AccessDenied", "User: "+arn+" is not authorized to perform: iam:GetUser on resource: "+arn+
		" because no identity-based policy allows the iam:GetUser action")
	must(w.root.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("self"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetUser","iam:*AccessKey*"],"Resource":"arn:aws:iam::*:user/*/${aws:username}"}]}`)}))(t)
	u := must(ann.GetUser(ctx, &sdk.GetUserInput{}))(t).User
	if *u.Arn != arn || !strings.HasPrefix(*u.UserId, "AIDA") {
		t.Errorf("got %+v", u)
	}
	second := must(ann.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{}))(t).AccessKey
	_, err = ann.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{})
	fails(t, err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	if l := must(ann.ListAccessKeys(ctx, &sdk.ListAccessKeysInput{}))(t); len(l.AccessKeyMetadata) != 2 || *l.AccessKeyMetadata[0].UserName != "ann" {
		t.Errorf("keys %+v", l.AccessKeyMetadata)
	}
	must(w.root.UpdateAccessKey(ctx, &sdk.UpdateAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	_, err = ann.GetUser(ctx, &sdk.GetUserInput{})
	fails(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")

	_, err = w.root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("ann")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must delete access keys first.")
	for _, k := range []*string{key.AccessKeyId, second.AccessKeyId} {
		must(w.root.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: k}))(t)
	}
	_, err = w.root.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKeyId})
	fails(t, err, "NoSuchEntity", "The Access Key with id "+*key.AccessKeyId+" cannot be found.")
	must(w.root.DeleteUserPolicy(ctx, &sdk.DeleteUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("self")}))(t)
	must(w.root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("ann")}))(t)
	_, err = w.root.GetUser(ctx, &sdk.GetUserInput{UserName: aws.String("ann")})
	fails(t, err, "NoSuchEntity", "The user with name ann cannot be found.")
	if r := must(w.root.GetUser(ctx, &sdk.GetUserInput{}))(t).User; *r.Arn != "arn:aws:iam::000000000000:root" || *r.UserId != account {
		t.Errorf("root is %+v", r)
	}
}

func TestPolicies(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.role(t, "r")
	p := must(w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("Mine"), Path: aws.String("/team/"), PolicyDocument: aws.String(allowS3), Description: aws.String("d")}))(t).Policy
	if *p.Arn != "arn:aws:iam::000000000000:policy/team/Mine" || *p.DefaultVersionId != "v1" {
		t.Errorf("made %+v", p)
	}
	_, err := w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("mine"), PolicyDocument: aws.String(allowS3)})
	fails(t, err, "EntityAlreadyExists", "A policy called mine already exists. Duplicate names are not allowed.")
	_, err = w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*"}]}`)})
	fails(t, err, "MalformedPolicyDocument", "Policy statement must contain actions.")
	attach := func(arn string) error {
		_, err := w.root.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: &arn})
		return err
	}
	for _, arn := range []string{*p.Arn, cni, workers, cni} {
		if err := attach(arn); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, attach("arn:aws:iam::aws:policy/None"), "NoSuchEntity", "Policy arn:aws:iam::aws:policy/None does not exist or is not attachable.")
	fails(t, attach("arn:aws:iam::aws:policy/aws-service-role/AmazonEKSServiceRolePolicy"), "PolicyNotAttachable", "Cannot attach a Service Role Policy to a Customer Role.")
	l := must(w.root.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: aws.String("r")}))(t).AttachedPolicies
	if len(l) != 3 || *l[0].PolicyName != "Mine" || *l[1].PolicyName != "AmazonEKSWorkerNodePolicy" {
		t.Errorf("attached %d", len(l))
	}
	l = must(w.root.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: aws.String("r"), PathPrefix: aws.String("/team/")}))(t).AttachedPolicies
	if len(l) != 1 {
		t.Errorf("attached below /team/: %d", len(l))
	}
	_, err = w.root.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: p.Arn})
	fails(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	got := must(w.root.GetPolicy(ctx, &sdk.GetPolicyInput{PolicyArn: aws.String(cni)}))(t).Policy
	if *got.AttachmentCount != 1 || *got.PolicyName != "AmazonEKS_CNI_Policy" {
		t.Errorf("got %+v", got)
	}
	v := must(w.root.GetPolicyVersion(ctx, &sdk.GetPolicyVersionInput{PolicyArn: aws.String(cni), VersionId: got.DefaultVersionId}))(t).PolicyVersion
	if d, _ := url.PathUnescape(*v.Document); !strings.Contains(d, "ec2:AssignPrivateIpAddresses") || !v.IsDefaultVersion {
		t.Errorf("version %+v", v)
	}
	_, err = w.root.GetPolicyVersion(ctx, &sdk.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: aws.String("v7")})
	fails(t, err, "NoSuchEntity", "Policy "+*p.Arn+" version v7 does not exist or is not attachable.")
	only := must(w.root.ListPolicies(ctx, &sdk.ListPoliciesInput{OnlyAttached: true}))(t).Policies
	local := must(w.root.ListPolicies(ctx, &sdk.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}))(t).Policies
	if len(only) != 3 || len(local) != 1 {
		t.Errorf("%d attached, %d local", len(only), len(local))
	}
	for i := range 12 {
		name := fmt.Sprintf("p%d", i)
		arn := *must(w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(allowS3)}))(t).Policy.Arn
		if err := attach(arn); err != nil {
			if i != 7 {
				t.Errorf("policy %d: %v", i, err)
			}
			fails(t, err, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")
			return
		}
	}
	t.Error("there is no end to what can be attached")
}

func TestPaging(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for i := range 7 {
		must(w.root.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String(fmt.Sprintf("u%d", i)), Path: aws.String([]string{"/", "/x/"}[i%2])}))(t)
	}
	for _, c := range []struct {
		prefix *string
		want   int
	}{{nil, 7}, {aws.String("/"), 7}, {aws.String("/x/"), 3}} {
		var names []string
		pages := 0
		pager := sdk.NewListUsersPaginator(w.root, &sdk.ListUsersInput{MaxItems: aws.Int32(2), PathPrefix: c.prefix})
		for pager.HasMorePages() {
			p := must(pager.NextPage(ctx))(t)
			pages++
			for _, u := range p.Users {
				names = append(names, *u.UserName)
			}
			if pages == 1 && c.prefix == nil { // what goes between two pages hides nothing
				must(w.root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: p.Users[1].UserName}))(t)
				must(w.root.CreateUser(ctx, &sdk.CreateUserInput{UserName: p.Users[1].UserName}))(t)
			}
		}
		if len(names) != c.want || pages != (c.want+1)/2 {
			t.Errorf("prefix %v: %d users on %d pages: %v", aws.ToString(c.prefix), len(names), pages, names)
		}
	}
	_, err := w.root.ListUsers(ctx, &sdk.ListUsersInput{Marker: aws.String("!")})
	fails(t, err, "ValidationError", "Invalid Marker.")
}

func TestServiceLinkedRole(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for service, name := range map[string]string{
		"eks.amazonaws.com":                  "AWSServiceRoleForAmazonEKS",
		"eks-nodegroup.amazonaws.com":        "AWSServiceRoleForAmazonEKSNodegroup",
		"eks-fargate.amazonaws.com":          "AWSServiceRoleForAmazonEKSForFargate",
		"autoscaling.amazonaws.com":          "AWSServiceRoleForAutoScaling",
		"elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
		"spot.amazonaws.com":                 "AWSServiceRoleForEC2Spot",
	} {
		r := must(w.root.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: &service}))(t).Role
		if want := "arn:aws:iam::000000000000:role/aws-service-role/" + service + "/" + name; *r.Arn != want {
			t.Errorf("got %s, want %s", *r.Arn, want)
		}
		l := must(w.root.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: &name}))(t).AttachedPolicies
		if len(l) != 1 {
			t.Fatalf("%s has %d policies", name, len(l))
		}
		if _, err := w.root.GetPolicy(ctx, &sdk.GetPolicyInput{PolicyArn: l[0].PolicyArn}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := w.root.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: &service})
		fails(t, err, "InvalidInput", "Service role name "+name+" has been taken in this account, please try a different suffix.")
		_, err = w.root.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: &name})
		fails(t, err, "UnmodifiableEntity", "Cannot perform the operation on the protected role '"+name+"' - this role is only modifiable by AWS")
	}
	_, err := w.root.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("eks.amazonaws.com"), CustomSuffix: aws.String("x")})
	fails(t, err, "InvalidInput", "Custom suffix is not allowed for eks.amazonaws.com")
}

// A principal that a trust policy names must exist; once it is gone the policy shows its id, also
// when another one of the same name comes.
func TestTrustedPrincipals(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/bob"},"Action":"sts:AssumeRole"}]}`
	make := func() error {
		_, err := w.root.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: &trust})
		return err
	}
	fails(t, make(), "MalformedPolicyDocument", `Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:user/bob"`)
	bob := must(w.root.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("bob")}))(t).User
	if err := make(); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		r := must(w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("r")}))(t).Role
		d, _ := url.PathUnescape(*r.AssumeRolePolicyDocument)
		return d
	}
	if shown() != trust {
		t.Errorf("got %s", shown())
	}
	must(w.root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("bob")}))(t)
	want := strings.ReplaceAll(trust, *bob.Arn, *bob.UserId)
	if shown() != want {
		t.Errorf("got %s", shown())
	}
	must(w.root.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("bob")}))(t)
	if shown() != want {
		t.Errorf("another bob is trusted: %s", shown())
	}
}

// Services that nobody knows are no principals.
func TestTrustedServices(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	create := func(name, effect, services string) error {
		trust := `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":{"Service":` + services + `},"Action":"sts:AssumeRole"}]}`
		_, err := w.root.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
		return err
	}
	if err := create("a", "Allow", `["eks.amazonaws.com","ec2.us-west-2.amazonaws.com"]`); err != nil {
		t.Error(err)
	}
	fails(t, create("b", "Allow", `["eks.amazonaws.com","Tagging.amazonaws.com"]`), "MalformedPolicyDocument", `Invalid principal in policy: "SERVICE":"Tagging.amazonaws.com"`)
	fails(t, create("b", "Deny", `"ekss.amazonaws.com"`), "MalformedPolicyDocument", `Invalid principal in policy: "SERVICE":"ekss.amazonaws.com"`)
}

func TestAccountSummary(t *testing.T) {
	w := newWorld(t)
	w.role(t, "r")
	m := must(w.root.GetAccountSummary(context.Background(), &sdk.GetAccountSummaryInput{}))(t).SummaryMap
	if m["Roles"] != 1 || m["Users"] != 0 || m["AccessKeysPerUserQuota"] != 2 || m["AccountAccessKeysPresent"] != 1 {
		t.Errorf("got %v", m)
	}
}
