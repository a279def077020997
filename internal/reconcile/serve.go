package reconcile

import (
	"context"

	"ekster.dev/ekster/internal/store"
)

// Serve reconciles every record of a table once and then each that changes, with the given
// number of workers, until ctx ends. also, if it is not nil, is told every change of any
// table and wakes whatever else that concerns; it runs on the writer's goroutine and must
// return at once.
func Serve[T any](ctx context.Context, q *Queue, st *store.Store, workers int, table func(*store.Tx) *store.Table[T], also func(*store.Tx, store.Change)) error {
	st.Subscribe(func(changes []store.Change) {
		_ = st.View(func(tx *store.Tx) error { // the function returns no error
			name := table(tx).Name()
			for _, ch := range changes {
				if ch.Table == name {
					q.Wake(ch.Key)
				}
				if also != nil {
					also(tx, ch)
				}
			}
			return nil
		})
	})
	err := st.View(func(tx *store.Tx) error {
		for key := range table(tx).All() {
			q.Wake(key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.Run(ctx, workers)
	return nil
}
