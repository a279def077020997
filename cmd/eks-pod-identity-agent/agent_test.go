package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A fake is EKS Auth with knobs.
type fake struct {
	calls  []string
	life   time.Duration
	now    time.Time
	answer error
}

func (f *fake) assume(_ context.Context, token string) (credentials, error) {
	f.calls = append(f.calls, token)
	if f.answer != nil {
		return credentials{}, f.answer
	}
	return credentials{AccessKeyID: fmt.Sprintf("ASIA%d", len(f.calls)), Expiration: f.now.Add(f.life)}, nil
}

func newFake(life time.Duration) (*fake, *agent) {
	f := &fake{life: life, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	a := newAgent(f.assume, slog.New(slog.DiscardHandler))
	a.now = func() time.Time { return f.now }
	a.limit.SetLimit(1e6)
	return f, a
}

func ask(a *agent, host, path, token string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestAnswers(t *testing.T) {
	f, a := newFake(6 * time.Hour)
	for _, c := range []struct {
		host, path, token string
		status            int
		says              string
	}{
		{"169.254.170.23", "/v1/credentials", "t", 200, `"AccessKeyId":"ASIA1"`},
		{"169.254.170.23:80", "/v1/credentials", "t", 200, `"AccessKeyId":"ASIA1"`},
		{"[fd00:ec2::23]", "/v1/credentials", "t", 200, `"Expiration":"2026-01-02T09:04:05Z"`},
		{"[fd00:ec2::23]:80", "/v1/credentials", "u", 200, `"AccessKeyId":"ASIA2"`},
		{"evil.example.com", "/v1/credentials", "t", 403, "invalid address"},
		{"127.0.0.1", "/v1/credentials", "t", 403, "invalid address"},
		{"169.254.170.23", "/v1/credentials", "", 400, "Service account token cannot be empty"},
		{"169.254.170.23", "/", "t", 404, ""},
	} {
		if status, body := ask(a, c.host, c.path, c.token); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %q: %d %s, want %d %s", c.host, c.path, c.token, status, body, c.status, c.says)
		}
	}
	f.answer = &serviceError{400, "id", "AccessDeniedException", "no"}
	if status, body := ask(a, "169.254.170.23", "/v1/credentials", "v"); status != 400 || body != "[id]: (AccessDeniedException): no, fault: client" {
		t.Errorf("refused: %d %s", status, body)
	}
}

func TestRenews(t *testing.T) {
	for _, c := range []struct{ life, renewed time.Duration }{{6 * time.Hour, 3 * time.Hour}, {time.Hour, 30 * time.Minute}} {
		f, a := newFake(c.life)
		get := func() string {
			v, err := a.get(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			return v.AccessKeyID
		}
		start := f.now
		get()
		f.now = start.Add(c.renewed - time.Second)
		if got := get(); got != "ASIA1" {
			t.Errorf("a lifetime of %s: %s too early", c.life, got)
		}
		f.now = start.Add(c.renewed)
		if got := get(); got != "ASIA2" {
			t.Errorf("a lifetime of %s: still %s", c.life, got)
		}
		// A service that is away for a while is no reason to be without credentials …
		f.now, f.answer = f.now.Add(c.renewed), errors.New("unreachable")
		if got := get(); got != "ASIA2" {
			t.Errorf("without the service: %s", got)
		}
		// … but one that says no is.
		f.answer = &serviceError{code: "ResourceNotFoundException", status: 404}
		if _, err := a.get(t.Context(), "t"); err == nil {
			t.Error("credentials without an association")
		}
	}
}

func TestForgetsTheLongestUnused(t *testing.T) {
	f, a := newFake(time.Hour)
	for i := range maxKept + 1 {
		f.now = f.now.Add(time.Millisecond)
		if _, err := a.get(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.tokens) != maxKept || a.tokens["0"] != nil || a.tokens["1"] == nil {
		t.Errorf("%d tokens are kept", len(a.tokens))
	}
}

func TestService(t *testing.T) {
	var got struct{ path, body, scope string }
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.path, got.body, got.scope = r.URL.Path, string(body), r.Header.Get("Authorization")
		if status != http.StatusOK {
			w.Header().Set("X-Amzn-ErrorType", "ExpiredTokenException:http://x")
			w.Header().Set("X-Amzn-RequestId", "r")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"message":"late"}`)
			return
		}
		_, _ = io.WriteString(w, `{"assumedRoleUser":{"arn":"arn:aws:sts::123456789012:assumed-role/r/s"},
			"credentials":{"accessKeyId":"ASIA","secretAccessKey":"s","sessionToken":"t","expiration":1.7670315E9}}`)
	}))
	defer s.Close()
	svc := service{
		cluster: "c1", region: "us-west-2", endpoint: s.URL, http: s.Client(),
		credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "x"}, nil
		}),
	}
	c, err := svc.assume(t.Context(), "jwt")
	if err != nil {
		t.Fatal(err)
	}
	want := credentials{"ASIA", "s", "t", "123456789012", time.Unix(1767031500, 0).UTC()}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body["token"] != "jwt" || got.path != "/clusters/c1/assume-role-for-pod-identity" || !strings.Contains(got.scope, "/us-west-2/eks-auth/aws4_request") {
		t.Errorf("asked %+v", got)
	}
	status = http.StatusBadRequest
	if _, err := svc.assume(t.Context(), "jwt"); err == nil || err.Error() != "[r]: (ExpiredTokenException): late, fault: client" {
		t.Errorf("refused: %v", err)
	}
}

// TestServiceCredentialsEnd has the node's credentials end between signing and the answer.
func TestServiceCredentialsEnd(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential=OLD/") {
			w.Header().Set("X-Amzn-ErrorType", "ExpiredTokenException:http://x")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"credentials":{"accessKeyId":"ASIA","secretAccessKey":"s","sessionToken":"t","expiration":1.7670315E9}}`)
	}))
	defer s.Close()
	for _, c := range []struct {
		left  time.Duration
		calls int
		fine  bool
	}{{-time.Millisecond, 2, true}, {time.Hour, 1, false}} {
		calls := 0
		svc := service{cluster: "c1", region: "us-west-2", endpoint: s.URL, http: s.Client(),
			credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				calls++
				if calls == 1 {
					return aws.Credentials{AccessKeyID: "OLD", SecretAccessKey: "x", CanExpire: true, Expires: time.Now().Add(c.left)}, nil
				}
				return aws.Credentials{AccessKeyID: "NEW", SecretAccessKey: "x"}, nil
			})}
		if _, err := svc.assume(t.Context(), "jwt"); (err == nil) != c.fine || calls != c.calls {
			t.Errorf("%s left: %v after %d calls", c.left, err, calls)
		}
	}
}
