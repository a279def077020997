package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ekster.dev/ekster/internal/daemon"
)

// A fakeDaemon answers what `ekster account` asks on the admin socket.
type fakeDaemon struct {
	mu      sync.Mutex
	list    []daemon.AccountStatus
	looks   int // how often a list shows what is being deleted; then it is gone
	refuses int // status of every answer; 0: none
	asked   []string
}

// fake starts one on a state directory.
func fake(t *testing.T) (f *fakeDaemon, dir string) {
	t.Helper()
	dir = state(t)
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", daemon.Dir(dir).Socket())
	if err != nil {
		t.Fatal(err)
	}
	f = &fakeDaemon{}
	srv := &http.Server{Handler: f}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	return f, dir
}

func (f *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	var answer any
	switch {
	case f.refuses != 0:
		w.WriteHeader(f.refuses)
		answer = map[string]string{"error": "the reason"}
	case r.Method == http.MethodPost:
		answer = daemon.Credentials{AccessKeyID: "AKIANEW", SecretAccessKey: "newsecret", Account: "111122223333"}
	case r.Method == http.MethodGet:
		answer = slices.Clone(f.list)
		if f.looks--; f.looks < 0 {
			f.list = slices.DeleteFunc(f.list, func(s daemon.AccountStatus) bool { return s.Deleting })
		}
	case r.Method == http.MethodDelete:
		for i := range f.list {
			f.list[i].Deleting = f.list[i].Deleting || f.list[i].ID == r.URL.Path[len("/accounts/"):]
		}
		answer = map[string]string{}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *fakeDaemon) wants(t *testing.T, asked ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.asked, asked) {
		t.Errorf("the daemon was asked for %q, want %q", f.asked, asked)
	}
	f.asked = nil
}

func account(t *testing.T, dir string, argv ...string) (code int, out, errOut string) {
	t.Helper()
	return run(t, append([]string{"account", "--state-dir", dir}, argv...)...)
}

func TestAccountCreate(t *testing.T) {
	f, dir := fake(t)
	code, out, errOut := account(t, dir, "create")
	const want = `export AWS_ENDPOINT_URL=http://127.0.0.1:4600
export AWS_ACCESS_KEY_ID=AKIANEW
export AWS_SECRET_ACCESS_KEY=newsecret
export AWS_DEFAULT_REGION=us-west-2
export AWS_REGION=us-west-2
unset AWS_SESSION_TOKEN AWS_PROFILE
`
	if code != 0 || out != want {
		t.Errorf("exit %d, %s\n got %s\nwant %s", code, errOut, out, want)
	}
	f.wants(t, "POST /accounts")
	if code, _, errOut := account(t, dir, "create", "--id", "1&2"); code != 0 {
		t.Errorf("exit %d, %s", code, errOut)
	}
	f.wants(t, "POST /accounts?id=1%262")
}

func TestAccountList(t *testing.T) {
	f, dir := fake(t)
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	f.list = []daemon.AccountStatus{
		{ID: "000000000000", Created: at, Default: true, Clusters: 2, Machines: 10},
		{ID: "111122223333", Alias: "team-a", Created: at, Deleting: true},
	}
	f.looks = 10
	code, out, errOut := account(t, dir, "list")
	const want = `ACCOUNT       ALIAS   CREATED               CLUSTERS  MACHINES  STATE
000000000000  -       2026-11-20T06:00:00Z  2         10        ACTIVE
111122223333  team-a  2026-11-20T06:00:00Z  0         0         DELETING
`
	if code != 0 || out != want {
		t.Errorf("exit %d, %s\n got %s\nwant %s", code, errOut, out, want)
	}
	code, out, errOut = account(t, dir, "list", "-o", "json")
	var list []daemon.AccountStatus
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || !slices.Equal(list, f.list) {
		t.Errorf("exit %d, %s: %s, %v", code, errOut, out, err)
	}
	if code, _, errOut := account(t, dir, "list", "-o", "yaml"); code != exitUsage {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

func TestAccountDelete(t *testing.T) {
	f, dir := fake(t)
	f.list = []daemon.AccountStatus{{ID: "000000000000"}, {ID: "111122223333", Clusters: 1, Machines: 2}}
	f.looks = 2
	if code, out, errOut := account(t, dir, "delete", "111122223333"); code != 0 || out != "" {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	f.wants(t, "DELETE /accounts/111122223333", "GET /accounts", "GET /accounts", "GET /accounts", "GET /accounts")

	f.list = []daemon.AccountStatus{{ID: "111122223333", Clusters: 1, Machines: 2}}
	f.looks = 1000
	if code, _, errOut := account(t, dir, "delete", "111122223333", "--timeout", "0"); code != 0 {
		t.Errorf("without waiting: exit %d, %s", code, errOut)
	}
	f.wants(t, "DELETE /accounts/111122223333")
	code, _, errOut := account(t, dir, "delete", "111122223333", "--timeout", "500ms")
	if code != exitFailed || !strings.Contains(errOut, "account 111122223333 ") || !strings.Contains(errOut, "(ekster status)") {
		t.Errorf("one that does not go: exit %d, %s", code, errOut)
	}
	if code, _, errOut := account(t, dir, "delete"); code != exitUsage {
		t.Errorf("without an id: exit %d, %s", code, errOut)
	}
}

func TestAccountRefusals(t *testing.T) {
	f, dir := fake(t)
	for status, want := range map[int]int{
		http.StatusNotFound: exitNotFound, http.StatusBadRequest: exitUsage, http.StatusConflict: exitFailed, http.StatusInternalServerError: exitFailed,
	} {
		f.refuses = status
		for _, argv := range [][]string{{"create"}, {"list"}, {"delete", "111122223333"}} {
			if code, out, errOut := account(t, dir, argv...); code != want || out != "" || !strings.Contains(errOut, "the reason") {
				t.Errorf("%d to %q: exit %d, %s%s", status, argv, code, out, errOut)
			}
		}
	}
	for _, argv := range [][]string{{"create"}, {"list"}, {"delete", "111122223333"}} {
		if code, _, errOut := account(t, t.TempDir(), argv...); code != exitNotFound || !strings.Contains(errOut, "no daemon answers") {
			t.Errorf("%q without a daemon: exit %d, %s", argv, code, errOut)
		}
	}
}
