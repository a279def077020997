package account

import (
	"log/slog"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

// The host of an account is the store alone. A daemon that is gone after any of the steps
// leaves the rest to the next one, which knows the records; each runs the step twice.
func TestRunTwice(t *testing.T) {
	st := open(t)
	update(t, st, func(tx *store.Tx) {
		fill(tx, mine)
		fill(tx, other)
		a, _ := tx.Accounts.Get(mine)
		a.Deleting = true
		tx.Accounts.Put(mine, a)
	})
	before := owned(t, st, other)
	step := func(want time.Duration) {
		t.Helper()
		c := New(st, time.Now, slog.New(slog.DiscardHandler))
		for range 2 {
			if got, err := c.Reconcile(t.Context(), mine); err != nil || got != want {
				t.Fatalf("again in %s, %v; want %s", got, err, want)
			}
		}
	}
	step(again)
	update(t, st, func(tx *store.Tx) { provision.Terminated(tx, "i-"+mine, time.Now()) })
	step(again)
	update(t, st, func(tx *store.Tx) { tx.Clusters.Delete("arn:aws:eks:us-west-2:" + mine + ":cluster/c") })
	step(0)
	step(0) // by a daemon that finds nothing of it
	update(t, st, func(tx *store.Tx) {
		tx.DeleteWhere(1, func(table, key string, record any) bool {
			if owner(key, record) == mine {
				t.Errorf("%s/%s is left", table, key)
			}
			return false
		})
		if tx.Accounts.Has(mine) {
			t.Error("the account is left")
		}
	})
	if after := owned(t, st, other); after != before {
		t.Errorf("another account has %d records instead of %d", after, before)
	}
}
