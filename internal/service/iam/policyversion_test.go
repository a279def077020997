package iam_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func decoded(t *testing.T, document *string) string {
	t.Helper()
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func allowing(action string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`)
}

func TestPolicyVersions(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	ann := w.user(t, "ann")
	arn := must(w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: allowing("s3:*")}))(t).Policy.Arn
	must(w.root.AttachUserPolicy(ctx, &sdk.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn}))(t)
	may := func() bool { _, err := ann.ListRoles(ctx, &sdk.ListRolesInput{}); return err == nil }
	v := must(w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: allowing("iam:ListRoles")}))(t).PolicyVersion
	if *v.VersionId != "v2" || v.IsDefaultVersion || may() {
		t.Errorf("version %+v counts before it is the default", v)
	}
	must(w.root.SetDefaultPolicyVersion(ctx, &sdk.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))(t)
	if !may() {
		t.Error("the default version does not count")
	}
	_, err := w.root.DeletePolicyVersion(ctx, &sdk.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})
	fails(t, err, "DeleteConflict", "Cannot delete the default version of a policy.")
	for i := 3; i <= 5; i++ {
		must(w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: allowing(fmt.Sprint("s3:Get", i)), SetAsDefault: true}))(t)
	}
	_, err = w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: allowing("s3:*")})
	fails(t, err, "LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	must(w.root.DeletePolicyVersion(ctx, &sdk.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))(t)
	must(w.root.SetDefaultPolicyVersion(ctx, &sdk.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))(t)
	must(w.root.DeletePolicyVersion(ctx, &sdk.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v5")}))(t)
	if v := must(w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: allowing("s3:*")}))(t).PolicyVersion; *v.VersionId != "v6" {
		t.Errorf("an id is used twice: %s", *v.VersionId)
	}
	var ids []string
	for _, v := range must(w.root.ListPolicyVersions(ctx, &sdk.ListPolicyVersionsInput{PolicyArn: arn}))(t).Versions {
		ids = append(ids, *v.VersionId)
	}
	if fmt.Sprint(ids) != "[v6 v4 v3 v2]" {
		t.Errorf("versions %v", ids)
	}
	must(w.root.DetachUserPolicy(ctx, &sdk.DetachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: arn}))(t)
	_, err = w.root.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: arn})
	fails(t, err, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	_, err = w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String("{}")})
	fails(t, err, "MalformedPolicyDocument", "Syntax errors in policy.")
	_, err = w.root.CreatePolicyVersion(ctx, &sdk.CreatePolicyVersionInput{PolicyArn: aws.String(cni), PolicyDocument: allowing("s3:*")})
	fails(t, err, "AccessDenied", "User: arn:aws:iam::000000000000:root is not authorized to perform: iam:CreatePolicyVersion on resource: policy AmazonEKS_CNI_Policy")
}

func TestBoundaries(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	ann := w.user(t, "ann")
	arn := must(w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("b"), PolicyDocument: allowing("iam:ListUsers")}))(t).Policy.Arn
	must(w.root.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("p"), PolicyDocument: allowing("iam:*")}))(t)
	must(w.root.PutUserPermissionsBoundary(ctx, &sdk.PutUserPermissionsBoundaryInput{UserName: aws.String("ann"), PermissionsBoundary: arn}))(t)
	if _, err := ann.ListUsers(ctx, &sdk.ListUsersInput{}); err != nil {
		t.Error(err)
	}
	_, err := ann.ListRoles(ctx, &sdk.ListRolesInput{})
	fails(t, err, "AccessDenied", "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: iam:ListRoles on resource: arn:aws:iam::000000000000:role/ because no permissions boundary allows the iam:ListRoles action")
	_, err = w.root.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: arn})
	fails(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	must(w.root.DeleteUserPermissionsBoundary(ctx, &sdk.DeleteUserPermissionsBoundaryInput{UserName: aws.String("ann")}))(t)
	if _, err := ann.ListRoles(ctx, &sdk.ListRolesInput{}); err != nil {
		t.Error(err)
	}
	w.role(t, "r")
	_, err = w.root.PutRolePermissionsBoundary(ctx, &sdk.PutRolePermissionsBoundaryInput{RoleName: aws.String("r"), PermissionsBoundary: aws.String("arn:aws:iam::000000000000:policy/none")})
	fails(t, err, "NoSuchEntity", "Scope ARN: arn:aws:iam::000000000000:policy/none does not exist or is not attachable.")
	must(w.root.PutRolePermissionsBoundary(ctx, &sdk.PutRolePermissionsBoundaryInput{RoleName: aws.String("r"), PermissionsBoundary: arn}))(t)
	if b := must(w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("r")}))(t).Role.PermissionsBoundary; b == nil || *b.PermissionsBoundaryArn != *arn {
		t.Errorf("boundary %+v", b)
	}
	must(w.root.DeleteRolePermissionsBoundary(ctx, &sdk.DeleteRolePermissionsBoundaryInput{RoleName: aws.String("r")}))(t)
	must(w.root.UpdateRole(ctx, &sdk.UpdateRoleInput{RoleName: aws.String("r"), Description: aws.String("d"), MaxSessionDuration: aws.Int32(7200)}))(t)
	if r := must(w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("r")}))(t).Role; *r.Description != "d" || *r.MaxSessionDuration != 7200 || r.PermissionsBoundary != nil {
		t.Errorf("got %+v", r)
	}
}

func TestOIDCProviders(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := &sdk.CreateOpenIDConnectProviderInput{Url: aws.String("https://127.64.0.1/id/AB"), ClientIDList: []string{"sts.amazonaws.com"},
		ThumbprintList: []string{"ABCDEF0123456789012345678901234567890123"}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	arn := must(w.root.CreateOpenIDConnectProvider(ctx, in))(t).OpenIDConnectProviderArn
	if *arn != "arn:aws:iam::000000000000:oidc-provider/127.64.0.1/id/AB" {
		t.Errorf("made %s", *arn)
	}
	_, err := w.root.CreateOpenIDConnectProvider(ctx, in)
	fails(t, err, "EntityAlreadyExists", "Provider with url https://127.64.0.1/id/AB already exists.")
	_, err = w.root.CreateOpenIDConnectProvider(ctx, &sdk.CreateOpenIDConnectProviderInput{Url: aws.String("http://127.64.0.1/id/AB")})
	fails(t, err, "ValidationError", "Invalid Open ID Connect Provider URL")
	must(w.root.AddClientIDToOpenIDConnectProvider(ctx, &sdk.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("x")}))(t)
	must(w.root.UpdateOpenIDConnectProviderThumbprint(ctx, &sdk.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{"0000000000000000000000000000000000000000"}}))(t)
	got := must(w.root.GetOpenIDConnectProvider(ctx, &sdk.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
	if *got.Url != "127.64.0.1/id/AB" || fmt.Sprint(got.ClientIDList) != "[sts.amazonaws.com x]" || got.ThumbprintList[0][0] != '0' || len(got.Tags) != 1 {
		t.Errorf("got %+v", got)
	}
	must(w.root.TagOpenIDConnectProvider(ctx, &sdk.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}))(t)
	must(w.root.UntagOpenIDConnectProvider(ctx, &sdk.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"a"}}))(t)
	if tags := must(w.root.ListOpenIDConnectProviderTags(ctx, &sdk.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: arn}))(t).Tags; len(tags) != 1 || *tags[0].Key != "c" {
		t.Errorf("tags %+v", tags)
	}
	must(w.root.DeleteOpenIDConnectProvider(ctx, &sdk.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
	_, err = w.root.GetOpenIDConnectProvider(ctx, &sdk.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	fails(t, err, "NoSuchEntity", "OpenIDConnect Provider not found for arn "+*arn)
	if list := must(w.root.ListOpenIDConnectProviders(ctx, &sdk.ListOpenIDConnectProvidersInput{}))(t).OpenIDConnectProviderList; len(list) != 0 {
		t.Errorf("left %+v", list)
	}
}

func TestServiceLinkedRoleDeletion(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must(w.root.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("eks.amazonaws.com")}))(t)
	task := must(w.root.DeleteServiceLinkedRole(ctx, &sdk.DeleteServiceLinkedRoleInput{RoleName: aws.String("AWSServiceRoleForAmazonEKS")}))(t).DeletionTaskId
	if s := must(w.root.GetServiceLinkedRoleDeletionStatus(ctx, &sdk.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))(t); s.Status != types.DeletionTaskStatusTypeSucceeded {
		t.Errorf("status %+v", s)
	}
	// Spot's stays as long as there are requests or instances.
	must(w.root.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("spot.amazonaws.com")}))(t)
	home := resource.Home{Account: account, Region: identitytest.Region}
	for _, c := range []struct {
		request, instance string
		want              types.DeletionTaskStatusType
	}{
		{resource.SpotOpen, resource.InstanceTerminated, types.DeletionTaskStatusTypeFailed},
		{resource.SpotCancelled, resource.InstanceRunning, types.DeletionTaskStatusTypeFailed},
		{resource.SpotCancelled, resource.InstanceTerminated, types.DeletionTaskStatusTypeSucceeded},
	} {
		w.Update(t, func(tx *store.Tx) {
			tx.SpotRequests.Put("sir-1", resource.SpotRequest{Home: home, ID: "sir-1", Instance: "i-1", State: c.request})
			tx.Instances.Put("i-1", resource.Instance{Home: home, ID: "i-1", Status: resource.InstanceStatus{State: c.instance}})
		})
		task := must(w.root.DeleteServiceLinkedRole(ctx, &sdk.DeleteServiceLinkedRoleInput{RoleName: aws.String("AWSServiceRoleForEC2Spot")}))(t).DeletionTaskId
		if s := must(w.root.GetServiceLinkedRoleDeletionStatus(ctx, &sdk.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))(t); s.Status != c.want {
			t.Errorf("request %s, instance %s: status %+v", c.request, c.instance, s)
		}
	}
	_, err := w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("AWSServiceRoleForAmazonEKS")})
	fails(t, err, "NoSuchEntity", "The role with name AWSServiceRoleForAmazonEKS cannot be found.")
}

func TestSimulation(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.user(t, "ann")
	must(w.root.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "eks:Describe*", "Resource": "*"},
    {"Effect": "Deny", "Action": "eks:DeleteCluster", "Resource": "*"},
    {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}}
  ]
}`)}))(t)
	ask := func(more ...types.ContextEntry) map[string]types.EvaluationResult {
		out := map[string]types.EvaluationResult{}
		pages := sdk.NewSimulatePrincipalPolicyPaginator(w.root, &sdk.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::000000000000:user/ann"), MaxItems: aws.Int32(2),
			ActionNames: []string{"eks:DescribeCluster", "eks:DeleteCluster", "eks:CreateCluster", "ec2:StopInstances"}, ContextEntries: more})
		for pages.HasMorePages() {
			for _, r := range must(pages.NextPage(ctx))(t).EvaluationResults {
				out[*r.EvalActionName] = r
			}
		}
		return out
	}
	got := ask()
	for action, want := range map[string]types.PolicyEvaluationDecisionType{"eks:DescribeCluster": "allowed", "eks:DeleteCluster": "explicitDeny", "eks:CreateCluster": "implicitDeny", "ec2:StopInstances": "implicitDeny"} {
		if got[action].EvalDecision != want {
			t.Errorf("%s: %s, want %s", action, got[action].EvalDecision, want)
		}
	}
	if m := got["eks:DeleteCluster"].MatchedStatements; len(m) != 1 || *m[0].SourcePolicyId != "p" || m[0].StartPosition.Line != 5 || m[0].StartPosition.Column != 5 {
		t.Errorf("matched %+v", m)
	}
	if m := got["ec2:StopInstances"].MissingContextValues; fmt.Sprint(m) != "[aws:ResourceTag/owner]" {
		t.Errorf("missing %v", m)
	}
	owned := types.ContextEntry{ContextKeyName: aws.String("aws:ResourceTag/owner"), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{"ann"}}
	if d := ask(owned)["ec2:StopInstances"].EvalDecision; d != "allowed" {
		t.Errorf("of one's own instance: %s", d)
	}
	custom := must(w.root.SimulateCustomPolicy(ctx, &sdk.SimulateCustomPolicyInput{PolicyInputList: []string{*allowing("s3:*")}, PermissionsBoundaryPolicyInputList: []string{*allowing("s3:Get*")},
		ActionNames: []string{"s3:GetObject", "s3:PutObject"}, ResourceArns: []string{"arn:aws:s3:::b/k"}}))(t).EvaluationResults
	if len(custom) != 2 || custom[0].EvalDecision != "allowed" || custom[1].EvalDecision != "implicitDeny" || custom[1].PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary {
		t.Errorf("got %+v", custom)
	}
	// Each resource that is named has its own result; keys are missing of all policies.
	named := must(w.root.SimulateCustomPolicy(ctx, &sdk.SimulateCustomPolicyInput{PolicyInputList: []string{*allowing("s3:*")}, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{"arn:aws:s3:::b/k"},
		PermissionsBoundaryPolicyInputList: []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-west-2"}}}]}`},
		CallerArn:                          aws.String("arn:aws:iam::000000000000:user/ann"),
		ResourcePolicy:                     aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`),
		ResourceOwner:                      aws.String("arn:aws:iam::111111111111:root")}))(t).EvaluationResults[0]
	if fmt.Sprint(named.MissingContextValues) != "[aws:RequestedRegion aws:SecureTransport]" || named.EvalDecision != "implicitDeny" {
		t.Errorf("got %+v", named)
	}
	if d := named.EvalDecisionDetails; d["IAM Policy"] != "allowed" || d["Resource Policy"] != "implicitDeny" {
		t.Errorf("details %v", d)
	}
	if r := named.ResourceSpecificResults; len(r) != 1 || *r[0].EvalResourceName != "arn:aws:s3:::b/k" || r[0].EvalResourceDecision != "implicitDeny" || len(r[0].MissingContextValues) != 2 {
		t.Errorf("of the resource %+v", r)
	}
	if r := got["eks:DescribeCluster"].ResourceSpecificResults; len(r) > 0 {
		t.Errorf("of no resource in particular %+v", r)
	}
	keys := must(w.root.GetContextKeysForPrincipalPolicy(ctx, &sdk.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::000000000000:user/ann")}))(t).ContextKeyNames
	if fmt.Sprint(keys) != "[aws:ResourceTag/owner aws:username]" {
		t.Errorf("keys %v", keys)
	}
	_, err := w.root.SimulatePrincipalPolicy(ctx, &sdk.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::000000000000:user/bob"), ActionNames: []string{"s3:GetObject"}})
	fails(t, err, "NoSuchEntity", "The specified entity arn:aws:iam::000000000000:user/bob cannot be found.")
}

func TestAccountDetails(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.user(t, "ann")
	w.role(t, "r")
	must(w.root.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: aws.String("g")}))(t)
	must(w.root.AddUserToGroup(ctx, &sdk.AddUserToGroupInput{GroupName: aws.String("g"), UserName: aws.String("ann")}))(t)
	must(w.root.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: allowing("s3:*")}))(t)
	must(w.root.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String(cni)}))(t)
	var users, groups, roles, policies int
	pages := sdk.NewGetAccountAuthorizationDetailsPaginator(w.root, &sdk.GetAccountAuthorizationDetailsInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		p := must(pages.NextPage(ctx))(t)
		users, groups, roles, policies = users+len(p.UserDetailList), groups+len(p.GroupDetailList), roles+len(p.RoleDetailList), policies+len(p.Policies)
		for _, u := range p.UserDetailList {
			if fmt.Sprint(u.GroupList) != "[g]" {
				t.Errorf("groups %v", u.GroupList)
			}
		}
	}
	if users != 1 || groups != 1 || roles != 1 || policies != 2 {
		t.Errorf("%d users, %d groups, %d roles, %d policies", users, groups, roles, policies)
	}
	must(w.root.CreateAccountAlias(ctx, &sdk.CreateAccountAliasInput{AccountAlias: aws.String("acme")}))(t)
	if a := must(w.root.ListAccountAliases(ctx, &sdk.ListAccountAliasesInput{}))(t).AccountAliases; fmt.Sprint(a) != "[acme]" {
		t.Errorf("aliases %v", a)
	}
	must(w.root.DeleteAccountAlias(ctx, &sdk.DeleteAccountAliasInput{AccountAlias: aws.String("acme")}))(t)
	_, err := w.root.DeleteAccountAlias(ctx, &sdk.DeleteAccountAliasInput{AccountAlias: aws.String("acme")})
	fails(t, err, "NoSuchEntity", "The account alias acme does not exist.")
}
