package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// user makes a user and returns a client that signs as it.
func (w *world) user(t *testing.T, name string) *sdk.Client {
	t.Helper()
	must(w.root.CreateUser(t.Context(), &sdk.CreateUserInput{UserName: &name}))(t)
	k := must(w.root.CreateAccessKey(t.Context(), &sdk.CreateAccessKeyInput{UserName: &name}))(t).AccessKey
	return w.as(*k.AccessKeyId, *k.SecretAccessKey)
}

func TestGroups(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	ann := w.user(t, "ann")
	g := must(w.root.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: aws.String("Readers"), Path: aws.String("/x/")}))(t).Group
	if *g.Arn != "arn:aws:iam::000000000000:group/x/Readers" || (*g.GroupId)[:4] != "AGPA" {
		t.Errorf("made %s %s", *g.Arn, *g.GroupId)
	}
	_, err := w.root.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: aws.String("readers")})
	fails(t, err, "EntityAlreadyExists", "Group with name readers already exists.")
	list := func() error { _, err := ann.ListUsers(ctx, &sdk.ListUsersInput{}); return err }
	denied := "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::000000000000:user/ because no identity-based policy allows the iam:ListUsers action"
	fails(t, list(), "AccessDenied", denied)
	must(w.root.PutGroupPolicy(ctx, &sdk.PutGroupPolicyInput{GroupName: aws.String("readers"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:List*","Resource":"*"}]}`)}))(t)
	fails(t, list(), "AccessDenied", denied) // not a member yet
	for range 2 {                            // twice is no error
		must(w.root.AddUserToGroup(ctx, &sdk.AddUserToGroupInput{GroupName: aws.String("Readers"), UserName: aws.String("ann")}))(t)
	}
	if err := list(); err != nil {
		t.Fatal(err)
	}
	got := must(w.root.GetGroup(ctx, &sdk.GetGroupInput{GroupName: aws.String("Readers")}))(t)
	of := must(w.root.ListGroupsForUser(ctx, &sdk.ListGroupsForUserInput{UserName: aws.String("ann")}))(t)
	if len(got.Users) != 1 || *got.Users[0].UserName != "ann" || len(of.Groups) != 1 || *of.Groups[0].GroupName != "Readers" {
		t.Errorf("members %+v, groups %+v", got.Users, of.Groups)
	}
	must(w.root.UpdateGroup(ctx, &sdk.UpdateGroupInput{GroupName: aws.String("Readers"), NewGroupName: aws.String("Listers"), NewPath: aws.String("/")}))(t)
	if err := list(); err != nil { // it is still the same group
		t.Fatal(err)
	}
	_, err = w.root.DeleteGroup(ctx, &sdk.DeleteGroupInput{GroupName: aws.String("Listers")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must remove users from group first.")
	_, err = w.root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("ann")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must remove users from group first.")
	must(w.root.RemoveUserFromGroup(ctx, &sdk.RemoveUserFromGroupInput{GroupName: aws.String("Listers"), UserName: aws.String("ann")}))(t)
	fails(t, list(), "AccessDenied", denied)
	must(w.root.AttachGroupPolicy(ctx, &sdk.AttachGroupPolicyInput{GroupName: aws.String("Listers"), PolicyArn: aws.String(cni)}))(t)
	entities := must(w.root.ListEntitiesForPolicy(ctx, &sdk.ListEntitiesForPolicyInput{PolicyArn: aws.String(cni)}))(t)
	if len(entities.PolicyGroups) != 1 || *entities.PolicyGroups[0].GroupName != "Listers" || len(entities.PolicyRoles)+len(entities.PolicyUsers) != 0 {
		t.Errorf("entities %+v", entities)
	}
	_, err = w.root.DeleteGroup(ctx, &sdk.DeleteGroupInput{GroupName: aws.String("Listers")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	must(w.root.DetachGroupPolicy(ctx, &sdk.DetachGroupPolicyInput{GroupName: aws.String("Listers"), PolicyArn: aws.String(cni)}))(t)
	_, err = w.root.DeleteGroup(ctx, &sdk.DeleteGroupInput{GroupName: aws.String("Listers")})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	must(w.root.DeleteGroupPolicy(ctx, &sdk.DeleteGroupPolicyInput{GroupName: aws.String("Listers"), PolicyName: aws.String("p")}))(t)
	must(w.root.DeleteGroup(ctx, &sdk.DeleteGroupInput{GroupName: aws.String("Listers")}))(t)
	_, err = w.root.GetGroup(ctx, &sdk.GetGroupInput{GroupName: aws.String("Listers")})
	fails(t, err, "NoSuchEntity", "The group with name Listers cannot be found.")
}

func TestGroupsOfAUserAreLimited(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.user(t, "ann")
	for i := range 11 {
		name := fmt.Sprint("g", i)
		must(w.root.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: &name}))(t)
		_, err := w.root.AddUserToGroup(ctx, &sdk.AddUserToGroupInput{GroupName: &name, UserName: aws.String("ann")})
		if i < 10 && err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			fails(t, err, "LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")
		}
	}
	var names []string
	pages := sdk.NewListGroupsPaginator(w.root, &sdk.ListGroupsInput{MaxItems: aws.Int32(3)})
	for pages.HasMorePages() {
		for _, g := range must(pages.NextPage(ctx))(t).Groups {
			names = append(names, *g.GroupName)
		}
	}
	if len(names) != 11 {
		t.Errorf("pages have %v", names)
	}
}

// A user's new name leaves its keys, its groups and who trusts it as they were.
func TestUpdateUser(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	ann := w.user(t, "ann")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/%s"},"Action":"sts:AssumeRole"}]}`
	must(w.root.CreateRole(ctx, &sdk.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(fmt.Sprintf(trust, "ann"))}))(t)
	must(w.root.PutUserPolicy(ctx, &sdk.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:username}"}]}`)}))(t)
	must(w.root.UpdateUser(ctx, &sdk.UpdateUserInput{UserName: aws.String("ann"), NewUserName: aws.String("anna")}))(t)
	if u := must(ann.GetUser(ctx, &sdk.GetUserInput{}))(t).User; *u.Arn != "arn:aws:iam::000000000000:user/anna" {
		t.Errorf("she is %s", *u.Arn)
	}
	if got := decoded(t, must(w.root.GetRole(ctx, &sdk.GetRoleInput{RoleName: aws.String("r")}))(t).Role.AssumeRolePolicyDocument); got != fmt.Sprintf(trust, "anna") {
		t.Errorf("the role trusts %s", got)
	}
	must(w.root.TagUser(ctx, &sdk.TagUserInput{UserName: aws.String("anna"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))(t)
	if tags := must(w.root.ListUserTags(ctx, &sdk.ListUserTagsInput{UserName: aws.String("anna")}))(t).Tags; len(tags) != 1 {
		t.Errorf("tags %+v", tags)
	}
	must(w.root.UntagUser(ctx, &sdk.UntagUserInput{UserName: aws.String("anna"), TagKeys: []string{"K"}}))(t)
	if tags := must(w.root.ListUserTags(ctx, &sdk.ListUserTagsInput{UserName: aws.String("anna")}))(t).Tags; len(tags) != 0 {
		t.Errorf("tags %+v", tags)
	}
}
