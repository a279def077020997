package daemon

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// admin is what `ekster account` and `ekster fault shift` ask, of a daemon that has its own account.
type admin struct {
	*http.ServeMux
	store *store.Store
}

func newAdmin(t *testing.T) admin {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	d := &Daemon{store: st, settings: Settings{Account: DefaultAccount}, log: slog.New(slog.DiscardHandler)}
	if _, err := identity.EnsureRoot(t.Context(), st, DefaultAccount); err != nil {
		t.Fatal(err)
	}
	a := admin{http.NewServeMux(), st}
	d.serveAccounts(a.ServeMux)
	d.serveShifts(a.ServeMux)
	return a
}

// do asks and decodes the answer into one of v, if it is the wanted status.
func (a admin) do(t *testing.T, method, path string, status int, v any) {
	t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	if w.Code != status || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

func (a admin) refuses(t *testing.T, method, path string, status int, says string) {
	t.Helper()
	var answer struct{ Error string }
	if a.do(t, method, path, status, &answer); answer.Error != says {
		t.Errorf("%s %s: %q, want %q", method, path, answer.Error, says)
	}
}

func (a admin) list(t *testing.T) map[string]AccountStatus {
	t.Helper()
	var list []AccountStatus
	a.do(t, "GET", "/accounts", http.StatusOK, &list)
	out := map[string]AccountStatus{}
	for _, s := range list {
		out[s.ID] = s
	}
	return out
}

func TestAccounts(t *testing.T) {
	a := newAdmin(t)
	if list := a.list(t); len(list) != 1 || !list[DefaultAccount].Default || list[DefaultAccount].Created.IsZero() {
		t.Errorf("a new daemon has accounts %+v", list)
	}
	var made, other Credentials
	a.do(t, "POST", "/accounts", http.StatusOK, &made)
	a.do(t, "POST", "/accounts?id=111122223333", http.StatusOK, &other)
	if !regexp.MustCompile(`^[1-9]\d{11}$`).MatchString(made.Account) || other.Account != "111122223333" {
		t.Errorf("accounts %s and %s", made.Account, other.Account)
	}
	for _, c := range []Credentials{made, other} {
		key, err := identity.NewKeys(a.store, nil).Lookup(t.Context(), c.AccessKeyID)
		if err != nil || key.Secret != c.SecretAccessKey || key.Principal.ARN != "arn:aws:iam::"+c.Account+":root" {
			t.Errorf("%s has key %+v, %v", c.Account, key.Principal, err)
		}
	}
	a.refuses(t, "POST", "/accounts?id=111122223333", http.StatusConflict, "the account exists: 111122223333")
	for _, bad := range []string{"1", "11112222333x", "1111222233334"} {
		a.refuses(t, "POST", "/accounts?id="+bad, http.StatusBadRequest, `an account id has 12 digits, not "`+bad+`"`)
	}

	home := resource.Home{Account: "111122223333"}
	err := a.store.Update(t.Context(), func(tx *store.Tx) error {
		tx.Clusters.Put("c", resource.Cluster{ARN: "c", Home: home})
		tx.Instances.Put("i-1", resource.Instance{ID: "i-1", Home: home})
		gone := resource.Instance{ID: "i-2", Home: home}
		gone.Status.State = resource.InstanceTerminated
		tx.Instances.Put("i-2", gone)
		alias, _ := tx.Accounts.Get("111122223333")
		alias.Alias = "team-a"
		tx.Accounts.Put("111122223333", alias)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list := a.list(t)
	if s := list["111122223333"]; len(list) != 3 || s.Clusters != 1 || s.Machines != 1 || s.Alias != "team-a" || s.Default || s.Deleting {
		t.Errorf("accounts %+v", list)
	}
	if s := list[made.Account]; s.Clusters != 0 || s.Machines != 0 {
		t.Errorf("another account has %+v", s)
	}

	a.refuses(t, "DELETE", "/accounts/999999999999", http.StatusNotFound, "no such account: 999999999999")
	a.refuses(t, "DELETE", "/accounts/"+DefaultAccount, http.StatusConflict, errDefaultAccount.Error())
	for range 2 { // who asks again may
		a.do(t, "DELETE", "/accounts/111122223333", http.StatusOK, &struct{}{})
		if list := a.list(t); !list["111122223333"].Deleting || list[made.Account].Deleting || list[DefaultAccount].Deleting {
			t.Errorf("accounts %+v after one was deleted", list)
		}
	}
	a.refuses(t, "POST", "/accounts?id=111122223333", http.StatusConflict, "the account exists: 111122223333")
}

// Of two who ask for the same account one gets it.
func TestAccountsAtOnce(t *testing.T) {
	a := newAdmin(t)
	codes := make(chan int)
	const askers = 8
	for range askers {
		go func() {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/accounts?id=111122223333", nil))
			codes <- w.Code
		}()
	}
	got := map[int]int{}
	for range askers {
		got[<-codes]++
	}
	if got[http.StatusOK] != 1 || got[http.StatusConflict] != askers-1 {
		t.Errorf("answers %v", got)
	}
}
