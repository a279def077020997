package sqs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// sweepBatch is how many records one transaction deletes: nobody else writes meanwhile.
const sweepBatch = 500

// sweepMost is how many one Sweep deletes.
const sweepMost = 20_000

// gone says whether nobody can receive a message any more: it came before its queue was last purged, or a
// queue of that name was deleted, or it has been there for as long as the queue keeps messages.
func gone(q resource.Queue, m resource.Message, now time.Time) bool {
	return !q.Deleted.IsZero() || m.Generation != q.Generation ||
		now.Sub(m.Sent) >= eventbus.Seconds(q, sqs.QueueAttributeNameMessageRetentionPeriod)
}

// Sweep deletes records of messages that are gone, and those of deleted queues whose names are free
// again, and returns how many. It is for who has the time: nothing that the API tells depends on it.
func Sweep(ctx context.Context, st *store.Store, now time.Time) (n int, err error) {
	if n, err = sweep(ctx, st, now, "", sweepMost); err != nil {
		return n, err
	}
	err = st.Update(ctx, func(tx *store.Tx) error {
		for arn, q := range tx.Queues.All() {
			if !q.Deleted.IsZero() && now.Sub(q.Deleted) >= nameRests && !hasMessages(tx, arn) {
				tx.Queues.Delete(arn)
				n++
			}
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("forgetting deleted queues: %w", err)
	}
	return n, nil
}

// hasMessages says whether there are records of a queue's messages, gone or not. Such a queue is not forgotten: by
// its generation the next queue of that name knows that they are none of its own.
func hasMessages(tx *store.Tx, queue string) bool {
	for range tx.Messages.Prefixed(resource.MessagesOf(queue)) {
		return true
	}
	return false
}

// sweep deletes up to limit messages that are gone of those whose keys begin with prefix. It does so in
// several transactions: what is gone does not come back.
func sweep(ctx context.Context, st *store.Store, now time.Time, prefix string, limit int) (n int, err error) {
	var keys []string
	err = st.View(func(tx *store.Tx) error {
		for key, m := range tx.Messages.Prefixed(prefix) {
			if len(keys) == limit {
				break
			}
			if q, ok := tx.Queues.Get(m.Queue); !ok || gone(q, m, now) {
				keys = append(keys, key)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(keys, sweepBatch) {
		err := st.Update(ctx, func(tx *store.Tx) error {
			for _, key := range batch {
				tx.Messages.Delete(key)
			}
			return nil
		})
		if err != nil {
			return n, fmt.Errorf("deleting messages that are gone: %w", err)
		}
		n += len(batch)
	}
	return n, nil
}
