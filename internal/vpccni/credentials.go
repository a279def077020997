package vpccni

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentials finds the agent's AWS identity in the order that the SDKs have:
// environment, web identity (IRSA), container credentials (Pod Identity), the
// instance's role. It keeps them until shortly before they expire.
type credentials struct {
	env  func(string) string
	http *http.Client
	imds *metadata
	sts  string // endpoint

	mu    sync.Mutex
	value aws.Credentials
}

// early is how long before their end credentials are renewed.
const early = 5 * time.Minute

func (c *credentials) get(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value.AccessKeyID != "" && (!c.value.CanExpire || time.Until(c.value.Expires) > early) {
		return c.value, nil
	}
	v, err := c.find(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("AWS credentials: %w", err)
	}
	c.value = v
	return v, nil
}

func (c *credentials) find(ctx context.Context) (aws.Credentials, error) {
	if id := c.env("AWS_ACCESS_KEY_ID"); id != "" {
		return aws.Credentials{
			AccessKeyID: id, SecretAccessKey: c.env("AWS_SECRET_ACCESS_KEY"), SessionToken: c.env("AWS_SESSION_TOKEN"),
		}, nil
	}
	if file, role := c.env("AWS_WEB_IDENTITY_TOKEN_FILE"), c.env("AWS_ROLE_ARN"); file != "" && role != "" {
		return c.webIdentity(ctx, file, role)
	}
	if uri := c.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"); uri != "" {
		return c.container(ctx, uri)
	}
	return c.instanceRole(ctx)
}

// roleCredentials is the JSON of IMDS and of the Pod Identity agent.
type roleCredentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

func (r roleCredentials) value() (aws.Credentials, error) {
	if r.AccessKeyID == "" {
		return aws.Credentials{}, errors.New("the answer holds no access key")
	}
	return aws.Credentials{
		AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey, SessionToken: r.Token,
		CanExpire: true, Expires: r.Expiration,
	}, nil
}

func (c *credentials) instanceRole(ctx context.Context) (aws.Credentials, error) {
	const base = "meta-data/iam/security-credentials/"
	list, err := c.imds.get(ctx, base)
	if err != nil {
		return aws.Credentials{}, err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(list), "\n")
	doc, err := c.imds.get(ctx, base+role)
	if err != nil {
		return aws.Credentials{}, err
	}
	var r roleCredentials
	if err := json.Unmarshal([]byte(doc), &r); err != nil {
		return aws.Credentials{}, fmt.Errorf("instance role %s: %w", role, err)
	}
	return r.value()
}

func (c *credentials) container(ctx context.Context, uri string) (aws.Credentials, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return aws.Credentials{}, err
	}
	token := c.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return aws.Credentials{}, err
		}
		token = strings.TrimSpace(string(b))
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	body, status, err := fetch(c.http, req)
	if err != nil {
		return aws.Credentials{}, err
	}
	if status != http.StatusOK {
		return aws.Credentials{}, fmt.Errorf("%s: HTTP %d: %s", uri, status, body)
	}
	var r roleCredentials
	if err := json.Unmarshal(body, &r); err != nil {
		return aws.Credentials{}, fmt.Errorf("%s: %w", uri, err)
	}
	return r.value()
}

func (c *credentials) webIdentity(ctx context.Context, file, role string) (aws.Credentials, error) {
	token, err := os.ReadFile(file)
	if err != nil {
		return aws.Credentials{}, err
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName": {"aws-node"}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.sts, strings.NewReader(form.Encode()))
	if err != nil {
		return aws.Credentials{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, status, err := fetch(c.http, req)
	if err != nil {
		return aws.Credentials{}, err
	}
	if status != http.StatusOK {
		return aws.Credentials{}, fmt.Errorf("AssumeRoleWithWebIdentity as %s: HTTP %d: %s", role, status, body)
	}
	var out struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string `xml:"AccessKeyId"`
				SecretAccessKey string
				SessionToken    string
				Expiration      time.Time
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.Unmarshal(body, &out); err != nil {
		return aws.Credentials{}, fmt.Errorf("AssumeRoleWithWebIdentity as %s: %w", role, err)
	}
	got := out.Result.Credentials
	return roleCredentials{got.AccessKeyID, got.SecretAccessKey, got.SessionToken, got.Expiration}.value()
}
