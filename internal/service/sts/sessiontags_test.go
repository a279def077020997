package sts_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What a chained session inherits is set on it: each role has to allow that, by the action
// and by the values, and none can change it.
func TestInherited(t *testing.T) {
	d := open(t)
	const ann = "arn:aws:iam::000000000000:user/ann"
	all := `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	caller := user(t, d, account, "ann", "")
	first := role(t, d, "first", trust(ann, all, ""), statement("Allow", `"sts:*"`, `"Resource":"*"`))
	out, err := assume(t, caller, &sdk.AssumeRoleInput{RoleArn: &first, SourceIdentity: aws.String("ann@example.com"), TransitiveTagKeys: []string{"TEAM"},
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("blue")}, {Key: aws.String("cost"), Value: aws.String("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	chained := session(d, out)
	condition := func(c string) string { return `,"Condition":{` + c + `}` }
	denied := func(action string) string {
		return "User: arn:aws:sts::000000000000:assumed-role/first/session is not authorized to perform: " + action + " on resource: arn:aws:iam::000000000000:role/next"
	}
	for _, c := range []struct {
		name, actions, more string
		in                  sdk.AssumeRoleInput
		code, error         string
	}{
		{name: "all allowed", actions: all},
		{name: "no TagSession", actions: `["sts:AssumeRole","sts:SetSourceIdentity"]`, code: "AccessDenied", error: denied("sts:TagSession")},
		{name: "no SetSourceIdentity", actions: `["sts:AssumeRole","sts:TagSession"]`, code: "AccessDenied", error: denied("sts:SetSourceIdentity")},
		{name: "the values", actions: all, more: condition(`"StringEquals":{"aws:RequestTag/Team":"blue","sts:SourceIdentity":"ann@example.com"},` +
			`"ForAllValues:StringEquals":{"aws:TagKeys":"Team","sts:TransitiveTagKeys":"Team"},"Null":{"aws:TagKeys":"false","sts:TransitiveTagKeys":"false"}`)},
		{name: "another value", actions: all, more: condition(`"StringEquals":{"aws:RequestTag/Team":"red"}`), code: "AccessDenied", error: denied("sts:AssumeRole")},
		{name: "one more tag", actions: all, in: sdk.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("dev")}}},
			more: condition(`"StringEquals":{"aws:RequestTag/Team":"blue","aws:RequestTag/stage":"dev"}`)},
		{name: "an inherited tag anew", actions: all, in: sdk.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}},
			code: "InvalidParameterValue", error: "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."},
		{name: "another source identity", actions: all, in: sdk.AssumeRoleInput{SourceIdentity: aws.String("eve")},
			code: "AccessDenied", error: "SourceIdentity cannot be changed once it is set."},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := role(t, d, "next", trust(first, c.actions, c.more), "")
			c.in.RoleArn = &next
			out, err := assume(t, chained, &c.in)
			if c.code != "" {
				fails(t, err, c.code, c.error)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			d.Update(t, func(tx *store.Tx) {
				s, _ := tx.Sessions.Get(*out.Credentials.AccessKeyId)
				if _, there := s.Tags["cost"]; there || s.Tags["Team"] != "blue" || s.SourceID != "ann@example.com" || !slices.Equal(s.Transitive, []string{"Team"}) {
					t.Errorf("session %+v", s)
				}
			})
		})
	}
}

// A session's tag goes before its role's, in whatever case they are written.
func TestSessionTagsOverTheRoles(t *testing.T) {
	d := open(t)
	all := `["sts:AssumeRole","sts:TagSession"]`
	ann := user(t, d, account, "ann", "")
	arn := role(t, d, "r", trust("arn:aws:iam::000000000000:user/ann", all, ""),
		statement("Allow", `"iam:ListUsers"`, `"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}`))
	d.Update(t, func(tx *store.Tx) {
		r, _ := tx.Roles.Get(arn)
		r.Tags = resource.Tags{"team": "blue"}
		tx.Roles.Put(arn, r)
	})
	list := func(tags ...types.Tag) error {
		t.Helper()
		out, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &arn, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		_, err = sdkiam.NewFromConfig(session(d, out)).ListUsers(t.Context(), &sdkiam.ListUsersInput{})
		return err
	}
	if list() == nil {
		t.Error("the role's own tag allows it")
	}
	if err := list(types.Tag{Key: aws.String("Team"), Value: aws.String("red")}); err != nil {
		t.Error(err)
	}
}
