package sts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	sdkeks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	genec2 "ekster.dev/ekster/gen/ec2"
	geneks "ekster.dev/ekster/gen/eks"
	geniam "ekster.dev/ekster/gen/iam"
	gensts "ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/service/ec2"
	"ekster.dev/ekster/internal/service/eks"
	"ekster.dev/ekster/internal/service/iam"
	"ekster.dev/ekster/internal/service/sts"
	"ekster.dev/ekster/internal/store"
)

// TestRoleChain is how many companies get to their clusters: a user who may only assume
// PowerUser, PowerUser who may assume EKS-Manager, EKS-Manager who makes the cluster.
// Everything outside the chain is denied, and the cluster's master is EKS-Manager alone.
func TestRoleChain(t *testing.T) {
	ctx := t.Context()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{
			gensts.Service(sts.New(sts.Config{Store: d.Store, Policies: d.Policies})),
			geniam.Service(iam.New(d.Store, d.Managed)),
			geneks.Service(eks.New(eks.Config{Store: d.Store, Payload: func(string) bool { return true }})),
			genec2.Service(ec2.New(d.Store)),
		}
	})
	root := sdkiam.NewFromConfig(d.AsRoot())
	made := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const arn = "arn:aws:iam::" + account + ":role/"
	newRole := func(name, trusted, policy string, managed ...string) {
		made(root.CreateRole(ctx, &sdkiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trusted}))
		if policy != "" {
			made(root.PutRolePolicy(ctx, &sdkiam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy}))
		}
		for _, m := range managed {
			made(root.AttachRolePolicy(ctx, &sdkiam.AttachRolePolicyInput{RoleName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/" + m)}))
		}
	}
	made(root.CreateUser(ctx, &sdkiam.CreateUserInput{UserName: aws.String("dev")}))
	made(root.PutUserPolicy(ctx, &sdkiam.PutUserPolicyInput{UserName: aws.String("dev"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(statement("Allow", `"sts:AssumeRole"`, `"Resource":"`+arn+`PowerUser"`))}))
	newRole("PowerUser", trust(account, `"sts:AssumeRole"`, ""), statement("Allow", `"sts:AssumeRole"`, `"Resource":"`+arn+`EKS-Manager"`), "PowerUserAccess")
	newRole("EKS-Manager", trust(arn+"PowerUser", `"sts:AssumeRole"`, ""), `{"Version":"2012-10-17","Statement":[`+
		`{"Effect":"Allow","Action":["eks:*","ec2:Describe*"],"Resource":"*"},`+
		`{"Effect":"Allow","Action":"iam:PassRole","Resource":"`+arn+`eks-cluster","Condition":{"StringEquals":{"iam:PassedToService":"eks.amazonaws.com"}}},`+
		`{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","Condition":{"StringEquals":{"iam:AWSServiceName":"eks.amazonaws.com"}}}]}`)
	newRole("eks-cluster", statement("Allow", `"sts:AssumeRole"`, `"Principal":{"Service":"eks.amazonaws.com"}`), "", "AmazonEKSClusterPolicy")
	key, err := root.CreateAccessKey(ctx, &sdkiam.CreateAccessKeyInput{UserName: aws.String("dev")})
	made(key, err)
	dev := d.As(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")

	subnets, err := sdkec2.NewFromConfig(d.AsRoot()).DescribeSubnets(ctx, &sdkec2.DescribeSubnetsInput{})
	made(subnets, err)
	create := func(c aws.Config, role string) error {
		_, err := sdkeks.NewFromConfig(c).CreateCluster(ctx, &sdkeks.CreateClusterInput{Name: aws.String("c"), RoleArn: aws.String(arn + role),
			ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: []string{*subnets.Subnets[0].SubnetId, *subnets.Subnets[1].SubnetId}},
			AccessConfig:       &types.CreateAccessConfigRequest{AuthenticationMode: types.AuthenticationModeApi}})
		return err
	}
	denied := func(what string, err error) {
		t.Helper()
		var e smithy.APIError
		if !errors.As(err, &e) || !strings.HasPrefix(e.ErrorCode(), "AccessDenied") || !strings.Contains(e.ErrorMessage(), "is not authorized to perform: "+what) {
			t.Errorf("got %v, want a denial of %s", err, what)
		}
	}
	into := func(c aws.Config, role string) (aws.Config, error) {
		out, err := assume(t, c, &sdk.AssumeRoleInput{RoleArn: aws.String(arn + role), RoleSessionName: aws.String("chain")})
		if err != nil {
			return aws.Config{}, err
		}
		return session(d, out), nil
	}

	// The user: one step and no further.
	denied("eks:CreateCluster", create(dev, "eks-cluster"))
	_, err = into(dev, "EKS-Manager")
	denied("sts:AssumeRole on resource: "+arn+"EKS-Manager", err)
	_, err = into(dev, "eks-cluster")
	denied("sts:AssumeRole on resource: "+arn+"eks-cluster", err)
	power, err := into(dev, "PowerUser")
	if err != nil {
		t.Fatal(err)
	}
	// PowerUser: everything but IAM, so it cannot hand a role to EKS; and the next step.
	denied("iam:PassRole on resource: "+arn+"eks-cluster", create(power, "eks-cluster"))
	_, err = sdkiam.NewFromConfig(power).CreateUser(ctx, &sdkiam.CreateUserInput{UserName: aws.String("mallory")})
	denied("iam:CreateUser", err)
	_, err = into(power, "eks-cluster")
	denied("sts:AssumeRole on resource: "+arn+"eks-cluster", err)
	manager, err := into(power, "EKS-Manager")
	if err != nil {
		t.Fatal(err)
	}
	// EKS-Manager: that one role, and an hour at most, since it is chained.
	denied("iam:PassRole on resource: "+arn+"PowerUser", create(manager, "PowerUser"))
	_, err = into(manager, "PowerUser")
	denied("sts:AssumeRole on resource: "+arn+"PowerUser", err)
	_, err = assume(t, power, &sdk.AssumeRoleInput{RoleArn: aws.String(arn + "EKS-Manager"), DurationSeconds: aws.Int32(3601)})
	fails(t, err, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	if err := create(manager, "eks-cluster"); err != nil {
		t.Fatal(err)
	}
	err = d.Store.View(func(tx *store.Tx) error {
		for _, c := range tx.Clusters.All() {
			if c.Creator != arn+"EKS-Manager" {
				t.Errorf("the creator is %s", c.Creator)
			}
		}
		var masters []string
		for _, e := range tx.AccessEntries.All() {
			for _, p := range e.Policies {
				if strings.HasSuffix(p.PolicyARN, "ClusterAdminPolicy") {
					masters = append(masters, e.Principal)
				}
			}
		}
		if !slices.Equal(masters, []string{arn + "EKS-Manager"}) {
			t.Errorf("masters %v", masters)
		}
		return nil
	})
	made(nil, err)
}
