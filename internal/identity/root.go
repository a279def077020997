package identity

import (
	"context"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// RootARN is the ARN of an account's root user.
func RootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

// EnsureRoot makes the account and an access key of its root user if they are not
// there, and returns the key: always the oldest one that is active.
func EnsureRoot(ctx context.Context, st *store.Store, account string) (resource.AccessKey, error) {
	var key resource.AccessKey
	err := st.View(func(tx *store.Tx) error {
		if tx.Accounts.Has(account) {
			if a, _ := tx.Accounts.Get(account); len(a.Sealing) > 0 {
				key, _ = rootKey(tx, account)
			}
		}
		return nil
	})
	if err != nil || key.ID != "" {
		return key, err
	}
	err = st.Update(ctx, func(tx *store.Tx) error { key = MakeRoot(tx, account, time.Now()); return nil })
	if err != nil {
		return resource.AccessKey{}, fmt.Errorf("making the root user of account %s: %w", account, err)
	}
	return key, nil
}

// MakeRoot makes what is missing of the account and its root user's access key.
func MakeRoot(tx *store.Tx, account string, now time.Time) resource.AccessKey {
	now = now.UTC().Truncate(time.Second)
	a, ok := tx.Accounts.Get(account)
	if !ok {
		a = resource.Account{ID: account, Created: now}
	}
	if len(a.Sealing) == 0 {
		a.Sealing = newSealing()
		tx.Accounts.Put(account, a)
	}
	if key, ok := rootKey(tx, account); ok {
		return key
	}
	key := resource.AccessKey{
		Account:   account,
		ID:        awsid.IAM("AKIA"),
		Secret:    awsid.Secret(40),
		Principal: RootARN(account),
		Active:    true,
		Created:   now,
	}
	tx.AccessKeys.Put(key.ID, key)
	return key
}

func rootKey(tx *store.Tx, account string) (key resource.AccessKey, ok bool) {
	root := RootARN(account)
	for _, k := range tx.AccessKeys.All() {
		if k.Principal == root && k.Active && (!ok || k.Created.Before(key.Created)) {
			key, ok = k, true
		}
	}
	return key, ok
}
