package daemon

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// An AccountStatus is a line of `ekster account list`.
type AccountStatus struct {
	ID       string    `json:"id"`
	Alias    string    `json:"alias,omitempty"`
	Created  time.Time `json:"created"`
	Default  bool      `json:"default"`
	Deleting bool      `json:"deleting,omitempty"`
	Clusters int       `json:"clusters"`
	Machines int       `json:"machines"`
}

var (
	errAccountExists  = errors.New("the account exists")
	errAccountID      = errors.New("an account id has 12 digits")
	errNoAccount      = errors.New("no such account")
	errDefaultAccount = errors.New("the daemon's own account stays as long as the daemon (ekster down --purge)")
)

// serveAccounts answers `ekster account` on the admin socket.
//
//	GET    /accounts        []AccountStatus
//	POST   /accounts[?id=]  Credentials of the new account's root
//	DELETE /accounts/{id}   the account is going; GET tells when it is gone
func (d *Daemon) serveAccounts(mux *http.ServeMux) {
	mux.HandleFunc("GET /accounts", func(w http.ResponseWriter, _ *http.Request) {
		list, err := d.accounts()
		d.answerCLI(w, list, err)
	})
	mux.HandleFunc("POST /accounts", func(w http.ResponseWriter, r *http.Request) {
		creds, err := d.createAccount(r)
		d.answerCLI(w, creds, err)
	})
	mux.HandleFunc("DELETE /accounts/{id}", func(w http.ResponseWriter, r *http.Request) {
		d.answerCLI(w, map[string]string{}, d.deleteAccount(r))
	})
}

func (d *Daemon) accounts() ([]AccountStatus, error) {
	list := []AccountStatus{}
	err := d.store.View(func(tx *store.Tx) error {
		for id, a := range tx.Accounts.All() {
			s := AccountStatus{ID: id, Alias: a.Alias, Created: a.Created, Default: id == d.settings.Account, Deleting: a.Deleting}
			for _, c := range tx.Clusters.All() {
				if c.Account == id {
					s.Clusters++
				}
			}
			for _, i := range tx.Instances.All() {
				if i.Account == id && i.Status.State != resource.InstanceTerminated {
					s.Machines++
				}
			}
			list = append(list, s)
		}
		return nil
	})
	return list, err
}

func (d *Daemon) createAccount(r *http.Request) (Credentials, error) {
	id := r.URL.Query().Get("id")
	if id == "" {
		n, err := rand.Int(rand.Reader, big.NewInt(900_000_000_000))
		if err != nil {
			return Credentials{}, err
		}
		id = fmt.Sprint(n.Int64() + 100_000_000_000)
	}
	if err := CheckAccount(id); err != nil {
		return Credentials{}, err
	}
	var key resource.AccessKey
	err := d.store.Update(r.Context(), func(tx *store.Tx) error {
		if tx.Accounts.Has(id) {
			return fmt.Errorf("%w: %s", errAccountExists, id)
		}
		key = identity.MakeRoot(tx, id, time.Now())
		return nil
	})
	return Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, Account: id}, err
}

// deleteAccount asks an account to go; controller/account sees to it.
func (d *Daemon) deleteAccount(r *http.Request) error {
	id := r.PathValue("id")
	if id == d.settings.Account {
		return errDefaultAccount
	}
	return d.store.Update(r.Context(), func(tx *store.Tx) error {
		a, ok := tx.Accounts.Get(id)
		if !ok {
			return fmt.Errorf("%w: %s", errNoAccount, id)
		}
		a.Deleting = true
		tx.Accounts.Put(id, a)
		return nil
	})
}

// answerCLI answers a request on the admin socket.
func (d *Daemon) answerCLI(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case err == nil:
	case errors.Is(err, errNoAccount), errors.Is(err, errNoZone), errors.Is(err, errShiftUnknown):
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, errAccountExists), errors.Is(err, errDefaultAccount), errors.Is(err, provision.ErrNotSpot), errors.Is(err, errShiftConflict):
		w.WriteHeader(http.StatusConflict)
	case errors.Is(err, errAccountID), errors.Is(err, errCapacity), errors.Is(err, errShiftInvalid):
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
	if err != nil {
		v = map[string]string{"error": err.Error()}
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		d.log.Debug("answering the CLI", "err", err)
	}
}
