package reconcile

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestServeBeginsWithAllAndGoesOnWithWhatChanges(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	update := func(f func(tx *store.Tx)) {
		t.Helper()
		if err := st.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) { tx.VPCs.Put("vpc-1", resource.VPC{}) })
	worked := make(chan string)
	q := New("test", func(ctx context.Context, key string) (time.Duration, error) {
		select {
		case worked <- key:
		case <-ctx.Done():
		}
		return Never, nil
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- Serve(ctx, q, st, 2, func(tx *store.Tx) *store.Table[resource.VPC] { return tx.VPCs }, func(tx *store.Tx, ch store.Change) {
			if sn, ok := tx.Subnets.Get(ch.Key); ok && ch.Table == store.Subnets {
				q.Wake(sn.VPC)
			}
		})
	}()
	for _, step := range []struct {
		change func(*store.Tx)
		wakes  string
	}{
		{func(*store.Tx) {}, "vpc-1"},
		{func(tx *store.Tx) { tx.VPCs.Put("vpc-2", resource.VPC{}) }, "vpc-2"},
		{func(tx *store.Tx) { tx.Subnets.Put("subnet-1", resource.Subnet{VPC: "vpc-3"}) }, "vpc-3"},
		{func(tx *store.Tx) { tx.VPCs.Delete("vpc-1") }, "vpc-1"},
	} {
		update(step.change)
		if got := receive(t, worked); got != step.wakes {
			t.Fatalf("%s is worked on, not %s", got, step.wakes)
		}
	}
	cancel()
	if err := receive(t, ended); err != nil {
		t.Fatal(err)
	}
}
