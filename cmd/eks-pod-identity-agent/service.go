package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// service is the EKS Auth API, which has a single operation.
type service struct {
	cluster, region, endpoint string
	http                      *http.Client
	credentials               aws.CredentialsProvider
}

// A serviceError is an error that EKS Auth has answered.
type serviceError struct {
	status                   int
	requestID, code, message string
}

func (e *serviceError) Error() string {
	fault := "client"
	if e.status >= http.StatusInternalServerError {
		fault = "server"
	}
	return fmt.Sprintf("[%s]: (%s): %s, fault: %s", e.requestID, e.code, e.message, fault)
}

// final says that asking again is in vain.
func (e *serviceError) final() bool {
	switch e.code {
	case "ResourceNotFoundException", "ExpiredTokenException", "InvalidTokenException", "AccessDeniedException":
		return true
	}
	return false
}

const maxAnswer = 1 << 20

// assume calls AssumeRoleForPodIdentity, once more if the node's own credentials have ended
// on the way: that is refused like an expired token, and is not the pod's fault.
func (s service) assume(ctx context.Context, token string) (credentials, error) {
	own, err := s.credentials.Retrieve(ctx)
	if err == nil {
		var c credentials
		if c, err = s.call(ctx, token, own); err == nil || !own.CanExpire || time.Now().Before(own.Expires) {
			return c, err
		}
		own, err = s.credentials.Retrieve(ctx)
	}
	if err != nil {
		return credentials{}, fmt.Errorf("the node's own credentials: %w", err)
	}
	return s.call(ctx, token, own)
}

func (s service) call(ctx context.Context, token string, own aws.Credentials) (credentials, error) {
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return credentials{}, err
	}
	at := strings.TrimSuffix(s.endpoint, "/") + "/clusters/" + url.PathEscape(s.cluster) + "/assume-role-for-pod-identity"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return credentials{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, own, req, hex.EncodeToString(sum[:]), "eks-auth", s.region, time.Now()); err != nil {
		return credentials{}, fmt.Errorf("signing: %w", err)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return credentials{}, fmt.Errorf("calling EKS Auth: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return credentials{}, fmt.Errorf("reading EKS Auth's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return credentials{}, refused(res, answer)
	}
	return read(answer)
}

func read(answer []byte) (credentials, error) {
	var out struct {
		AssumedRoleUser struct{ Arn string }
		Credentials     struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      float64
		}
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return credentials{}, fmt.Errorf("EKS Auth's answer: %w", err)
	}
	c := credentials{
		AccessKeyID: out.Credentials.AccessKeyID, SecretAccessKey: out.Credentials.SecretAccessKey, Token: out.Credentials.SessionToken,
		Expiration: time.UnixMilli(int64(out.Credentials.Expiration * 1000)).UTC(),
	}
	if p := strings.Split(out.AssumedRoleUser.Arn, ":"); len(p) > 4 {
		c.AccountID = p[4]
	}
	if c.AccessKeyID == "" {
		return c, fmt.Errorf("EKS Auth's answer has no access key")
	}
	return c, nil
}

func refused(res *http.Response, answer []byte) error {
	e := &serviceError{status: res.StatusCode, requestID: res.Header.Get("X-Amzn-RequestId")}
	e.code, _, _ = strings.Cut(res.Header.Get("X-Amzn-ErrorType"), ":")
	var body struct{ Message string }
	if err := json.Unmarshal(answer, &body); err != nil {
		body.Message = string(answer[:min(len(answer), 200)])
	}
	e.message = body.Message
	return e
}
