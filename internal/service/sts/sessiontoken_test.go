package sts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/service/sts"
	"ekster.dev/ekster/internal/store"
)

func config(d interface {
	As(id, secret, token string) aws.Config
}, c *types.Credentials) aws.Config {
	return d.As(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func TestGetSessionToken(t *testing.T) {
	d, ctx := open(t), t.Context()
	ann := user(t, d, account, "ann", statement("Allow", `"iam:ListUsers"`, `"Resource":"*"`))
	out, err := sdk.NewFromConfig(ann).GetSessionToken(ctx, &sdk.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*out.Credentials.Expiration); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("it lasts %s", left)
	}
	own := config(d, out.Credentials)
	if arn, _ := whoami(t, own); arn != "arn:aws:iam::000000000000:user/ann" {
		t.Errorf("the session is %s", arn)
	}
	if _, err := sdkiam.NewFromConfig(ann).ListUsers(ctx, &sdkiam.ListUsersInput{}); err != nil {
		t.Error(err)
	}
	_, err = sdkiam.NewFromConfig(own).ListUsers(ctx, &sdkiam.ListUsersInput{})
	fails(t, err, "InvalidClientTokenId", "The security token included in the request is invalid")
	_, err = sdk.NewFromConfig(own).GetSessionToken(ctx, &sdk.GetSessionTokenInput{})
	fails(t, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	r := role(t, d, "r", trust("arn:aws:iam::000000000000:user/ann", `"sts:AssumeRole"`, ""), "")
	chained, err := assume(t, own, &sdk.AssumeRoleInput{RoleArn: &r, DurationSeconds: aws.Int32(7200)}) // no role chaining: it is the user
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdk.NewFromConfig(session(d, chained)).GetSessionToken(ctx, &sdk.GetSessionTokenInput{})
	fails(t, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	root, err := sdk.NewFromConfig(d.AsRoot()).GetSessionToken(ctx, &sdk.GetSessionTokenInput{DurationSeconds: aws.Int32(36000)})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*root.Credentials.Expiration); left > time.Hour {
		t.Errorf("root's lasts %s", left)
	}
	if arn, _ := whoami(t, config(d, root.Credentials)); arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("root's session is %s", arn)
	}
}

func TestGetFederationToken(t *testing.T) {
	d, ctx := open(t), t.Context()
	ann := user(t, d, account, "ann", statement("Allow", `["sts:GetFederationToken","sts:GetAccessKeyInfo"]`, `"Resource":"*"`))
	out, err := sdk.NewFromConfig(ann).GetFederationToken(ctx, &sdk.GetFederationTokenInput{Name: aws.String("guest"), Policy: aws.String(statement("Allow", `"iam:*"`, `"Resource":"*"`))})
	if err != nil {
		t.Fatal(err)
	}
	if *out.FederatedUser.Arn != "arn:aws:sts::000000000000:federated-user/guest" || *out.FederatedUser.FederatedUserId != account+":guest" {
		t.Errorf("got %+v", out.FederatedUser)
	}
	_, err = sdk.NewFromConfig(ann).GetFederationToken(ctx, &sdk.GetFederationTokenInput{Name: aws.String("guest"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	fails(t, err, "AccessDenied", "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: sts:TagSession on resource: arn:aws:sts::000000000000:federated-user/guest"+
		" because no identity-based policy allows the sts:TagSession action")
	guest := config(d, out.Credentials)
	if arn, id := whoami(t, guest); arn != "arn:aws:sts::000000000000:federated-user/guest" || id != account+":guest" {
		t.Errorf("the guest is %s %s", arn, id)
	}
	_, err = sdkiam.NewFromConfig(guest).ListUsers(ctx, &sdkiam.ListUsersInput{})
	fails(t, err, "InvalidClientTokenId", "The security token included in the request is invalid")
	_, err = sdk.NewFromConfig(guest).GetFederationToken(ctx, &sdk.GetFederationTokenInput{Name: aws.String("guest")})
	fails(t, err, "AccessDenied", "Cannot call GetFederationToken with session credentials")
}

// The sessions of a user who is gone are not those of a new user of the same name.
func TestUserSessionsEndWithTheUser(t *testing.T) {
	d, ctx := open(t), t.Context()
	const arn = "arn:aws:iam::" + account + ":user/ann"
	all := statement("Allow", `"*"`, `"Resource":"*"`)
	ann := user(t, d, account, "ann", all)
	own, err := sdk.NewFromConfig(ann).GetSessionToken(ctx, &sdk.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := sdk.NewFromConfig(ann).GetFederationToken(ctx, &sdk.GetFederationTokenInput{Name: aws.String("guest"), Policy: &all})
	if err != nil {
		t.Fatal(err)
	}
	whoami(t, config(d, own.Credentials))
	whoami(t, config(d, guest.Credentials))
	d.Update(t, func(tx *store.Tx) {
		u, _ := tx.Users.Get(arn)
		u.ID = "AIDAANOTHERANNAAAAAAA"
		tx.Users.Put(arn, u)
	})
	for name, c := range map[string]*types.Credentials{"ann's": own.Credentials, "the guest's": guest.Credentials} {
		_, err := sdk.NewFromConfig(config(d, c)).GetCallerIdentity(ctx, &sdk.GetCallerIdentityInput{})
		t.Log(name)
		fails(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
}

func TestAccessKeyInfo(t *testing.T) {
	d, ctx := open(t), t.Context()
	ann := user(t, d, other, "ann", "")
	id, err := ann.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sdk.NewFromConfig(d.AsRoot()).GetAccessKeyInfo(ctx, &sdk.GetAccessKeyInfoInput{AccessKeyId: &id.AccessKeyID})
	if err != nil || *out.Account != other {
		t.Errorf("got %v, %v", out, err)
	}
	_, err = sdk.NewFromConfig(ann).GetAccessKeyInfo(ctx, &sdk.GetAccessKeyInfoInput{AccessKeyId: &id.AccessKeyID})
	if err == nil || !strings.Contains(err.Error(), "sts:GetAccessKeyInfo") {
		t.Errorf("got %v", err)
	}
	_, err = sdk.NewFromConfig(d.AsRoot()).DecodeAuthorizationMessage(ctx, &sdk.DecodeAuthorizationMessageInput{EncodedMessage: aws.String("nonsense")})
	fails(t, err, "InvalidAuthorizationMessageException", "Message is not valid")
}

// TestLifetime has sessions end earlier than was asked for. What may be asked for stays as it is.
func TestLifetime(t *testing.T) {
	d := openWith(t, sts.Config{Lifetime: identity.Lifetime(time.Minute)})
	r := role(t, d, "r", trust("arn:aws:iam::"+account+":root", `"sts:AssumeRole"`, ""), "")
	ann := user(t, d, account, "ann", statement("Allow", `"sts:AssumeRole"`, `"Resource":"*"`))
	near := func(what string, expires *time.Time) {
		t.Helper()
		if left := time.Until(*expires); left > time.Minute || left < 50*time.Second {
			t.Errorf("%s: %s left", what, left)
		}
	}
	a, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r, DurationSeconds: aws.Int32(7200)})
	if err != nil {
		t.Fatal(err)
	}
	near("AssumeRole", a.Credentials.Expiration)
	own, err := sdk.NewFromConfig(ann).GetSessionToken(t.Context(), &sdk.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	near("GetSessionToken", own.Credentials.Expiration)
	_, err = assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r, DurationSeconds: aws.Int32(60)})
	failsWith(t, err, "ValidationError", "")
	_, err = assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r, DurationSeconds: aws.Int32(7201)})
	failsWith(t, err, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
}
