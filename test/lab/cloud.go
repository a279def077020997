package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// A Cloud is the AWS SDK as one caller, pointed at a daemon.
type Cloud struct {
	Config aws.Config
	EKS    *eks.Client
	EC2    *ec2.Client
	IAM    *iam.Client
	STS    *sts.Client
	SSM    *ssm.Client
	Groups *autoscaling.Client
}

// Cloud is the SDK with what `ekster env` exports, and nothing else of the environment.
func (d *Daemon) Cloud(ctx context.Context) (*Cloud, error) {
	vars, err := d.Exports(ctx)
	if err != nil {
		return nil, err
	}
	return cloudOf(vars)
}

// NewAccount is the SDK as the root user of a new account.
func (d *Daemon) NewAccount(ctx context.Context) (*Cloud, error) {
	out, err := d.Run(ctx, "account", "create")
	if err != nil {
		return nil, err
	}
	return cloudOf(exports(out))
}

// cloudOf is the SDK with some exports.
func cloudOf(vars map[string]string) (*Cloud, error) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} {
		if vars[name] == "" {
			return nil, fmt.Errorf("there is no export of %s", name)
		}
	}
	return newCloud(aws.Config{
		Region: vars["AWS_REGION"], BaseEndpoint: aws.String(vars["AWS_ENDPOINT_URL"]), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"], ""),
	}), nil
}

func newCloud(cfg aws.Config) *Cloud {
	return &Cloud{
		Config: cfg, EKS: eks.NewFromConfig(cfg), EC2: ec2.NewFromConfig(cfg), IAM: iam.NewFromConfig(cfg), STS: sts.NewFromConfig(cfg),
		SSM: ssm.NewFromConfig(cfg), Groups: autoscaling.NewFromConfig(cfg),
	}
}

// mayAssume lets a user assume every role that trusts its account.
const mayAssume = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`

// User is the same cloud as a new user with this policy.
func (c *Cloud) User(ctx context.Context, name, policy string) (*Cloud, error) {
	if _, err := c.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		return nil, err
	}
	if _, err := c.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &name, PolicyDocument: &policy}); err != nil {
		return nil, err
	}
	out, err := c.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return nil, err
	}
	return c.As(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, ""), nil
}

// Assume is the same cloud as a session of a role. A root user may assume none: a new user
// does it instead.
func (c *Cloud) Assume(ctx context.Context, role, session string) (*Cloud, error) {
	who, err := c.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(*who.Arn, ":root") {
		if c, err = c.User(ctx, "assumer-"+rand.Text(), mayAssume); err != nil {
			return nil, err
		}
	}
	out, err := c.STS.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &session})
	if err != nil {
		return nil, err
	}
	k := out.Credentials
	return c.As(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken), nil
}

// As is the same cloud with another access key.
func (c *Cloud) As(id, secret, token string) *Cloud {
	cfg := c.Config.Copy()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	return newCloud(cfg)
}

// Account is the account of the caller.
func (c *Cloud) Account(ctx context.Context) (string, error) {
	out, err := c.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return *out.Account, nil
}

// Code is the code of an AWS error; "" if err is none.
func Code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// Message is the text of an AWS error; "" if err is none.
func Message(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorMessage()
	}
	return ""
}
