package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const prefix = "/ekster/"

// A Change tells that a record has been written or deleted.
type Change struct {
	Table   string
	Key     string
	Deleted bool
}

// ErrForeignWriter is returned by Update when somebody else has written to the
// daemon's records in etcd.
var ErrForeignWriter = errors.New("the store's etcd keys have been changed by another writer")

// A Store holds the records.
type Store struct {
	kv       clientv3.KV
	close    func() error
	over     sync.Once
	closed   chan struct{} // by Close: there is no etcd any more to ask
	patience patience

	writer    sync.Mutex   // held by the Update that runs; guards derived
	unsettled []op         // of a commit of which nobody knows whether it has happened
	mu        sync.RWMutex // guards rows; taken for writing only to apply a commit
	rows      tables
	read      *Tx // of every View: it has no state of its own

	derived []func(*Tx) error

	subsMu sync.Mutex
	subs   []func([]Change)
}

// Subscribe has f called after every commit with what it changed, in the order of
// commits. f must return at once: it runs on the writer's goroutine.
func (s *Store) Subscribe(f func([]Change)) {
	s.subsMu.Lock()
	defer s.subsMu.Unlock()
	s.subs = append(s.subs, f)
}

// Derive has f look at what every Update has written, before that is committed, and write what
// follows from it (Table.Written tells). An error of f ends the Update. Functions are called in the order in
// which they were given.
func (s *Store) Derive(f func(tx *Tx) error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.derived = append(s.derived, f)
}

// View runs f on a consistent state of all records. f must not keep tx.
func (s *Store) View(f func(tx *Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return f(s.read)
}

// Update runs f on the current records and commits what f has put and deleted, all
// or nothing. If f returns an error nothing is written, and Update returns it.
// f may run only once; it must not call Update or View itself.
func (s *Store) Update(ctx context.Context, f func(tx *Tx) error) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.settle(ctx); err != nil {
		return err
	}
	// Only the writer changes rows, and that is us: no lock is needed to read.
	tx := s.rows.begin(true)
	if err := f(tx); err != nil {
		return err
	}
	for _, derive := range s.derived {
		if err := derive(tx); err != nil {
			return err
		}
	}
	ops, err := tx.ops()
	if err != nil || len(ops) == 0 {
		return err
	}
	rev, err := s.commit(ctx, ops)
	if err != nil {
		return err
	}
	s.show(ops, rev)
	return nil
}

// show applies what has been committed to memory, and tells subscribers.
func (s *Store) show(ops []op, rev int64) {
	changes := make([]Change, len(ops))
	s.mu.Lock()
	for i, o := range ops {
		o.apply(rev)
		changes[i] = o.change
	}
	s.mu.Unlock()
	s.subsMu.Lock()
	subs := s.subs
	s.subsMu.Unlock()
	for _, f := range subs {
		f(changes)
	}
}

// Read is View for what answers something; an error leaves no answer.
func Read[Out any](s *Store, f func(tx *Tx) (*Out, error)) (out *Out, err error) {
	err = s.View(func(tx *Tx) error {
		out, err = f(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Write is Update for what answers something; an error leaves no answer.
func Write[Out any](ctx context.Context, s *Store, f func(tx *Tx) (*Out, error)) (out *Out, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		out, err = f(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// load reads every record of etcd into memory.
func (s *Store) load(ctx context.Context) error {
	byName := map[string]anyTable{}
	for _, t := range s.rows.list() {
		byName[t.title()] = t
	}
	const page = 500
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		res, err := s.kv.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(page))
		if err != nil {
			return fmt.Errorf("reading the records: %w", err)
		}
		for _, kv := range res.Kvs {
			name, key, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), prefix), "/")
			t := byName[name]
			if !ok || t == nil {
				return fmt.Errorf("the store holds a record %q of a kind unknown to this version", kv.Key)
			}
			if err := t.load(key, kv.Value, kv.ModRevision); err != nil {
				return err
			}
		}
		if !res.More {
			return nil
		}
		from = string(res.Kvs[len(res.Kvs)-1].Key) + "\x00"
	}
}

// Close ends the store, once. Nothing acknowledged is lost if it is never called.
func (s *Store) Close() (err error) {
	s.over.Do(func() {
		close(s.closed)
		err = s.close()
	})
	return err
}
