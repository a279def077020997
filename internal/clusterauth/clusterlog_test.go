package clusterauth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
)

// Who was let in and who was not stands in the log of the cluster that wants one, and the
// token in none.
func TestAuthenticatorLog(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "authenticator.log")
	w.auth.cfg.LogFile = func(cluster string) string {
		if cluster == arnC1 {
			return path
		}
		return ""
	}
	if st := w.auth.authenticate(t.Context(), arnC1, "k8s-aws-v1.c2VjcmV0"); st.Authenticated {
		t.Fatal("a token that is none is accepted")
	}
	w.auth.note(arnC1, caller{}, authentication.UserInfo{Username: "kate", Groups: []string{"a", "b"}}, nil)
	w.auth.note(arnC2, caller{}, authentication.UserInfo{}, errors.New("no"))
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `level=warning msg="access denied"`) || !strings.Contains(lines[1], `msg="access granted"`) ||
		!strings.Contains(lines[1], `groups="[a b]"`) || !strings.Contains(lines[1], `username="kate"`) || strings.Contains(string(raw), "c2VjcmV0") {
		t.Errorf("the log has\n%s", raw)
	}
}
