// Package reconcile is the loop of every controller: a queue of keys, workers,
// back-off and wake-ups.
//
//	store change ─▶ Wake(key) ─▶ queue (a key at most once) ─▶ worker ─▶ Reconcile(key)
//	                                  ▲                                     │
//	                                  └── after `again`, or back-off ◀──────┘
//
// A reconcile is told a key and nothing of why; it reads what is wanted, brings the
// host nearer to it and has three answers: done, again in a while, or an error, which
// is logged and tried again later and later. One key is never worked on by two workers
// at once; a key woken while it is worked on is worked on once more.
//
// The package knows no nouns (Serve takes any table), and it does not survive a restart: a daemon wakes every
// key when it starts.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Never is the answer of a reconcile that is done until it is woken.
const Never time.Duration = 0

// Back-off after errors: doubled from first to last.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 15 * time.Second
)

// A Func brings the host nearer to the record at key. It may be called at any time
// and any number of times. again > 0 asks for another call after that time.
type Func func(ctx context.Context, key string) (again time.Duration, err error)

// A Queue holds the keys of one controller.
type Queue struct {
	name string
	f    Func
	log  *slog.Logger

	mu     sync.Mutex
	items  map[string]*item
	ready  []string
	notify chan struct{}
}

type item struct {
	queued  bool
	running bool
	dirty   bool // woken while running
	fails   int
	timer   *time.Timer
	err     error
}

// New returns an empty queue; name is for the log.
func New(name string, f Func, log *slog.Logger) *Queue {
	return &Queue{name: name, f: f, log: log, items: map[string]*item{}, notify: make(chan struct{}, 1)}
}

// Wake has key reconciled soon. It returns at once and may be called before Run.
func (q *Queue) Wake(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake(key)
}

func (q *Queue) wake(key string) {
	it := q.items[key]
	if it == nil {
		it = &item{}
		q.items[key] = it
	}
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
	switch {
	case it.running:
		it.dirty = true
	case !it.queued:
		it.queued = true
		q.ready = append(q.ready, key)
		q.signal()
	}
}

func (q *Queue) signal() {
	select {
	case q.notify <- struct{}{}:
	default:
	}
}

// Run works on keys with the given number of workers until ctx ends, and returns
// when the last of them has stopped.
func (q *Queue) Run(ctx context.Context, workers int) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { q.work(ctx) })
	}
	wg.Wait()
}

func (q *Queue) work(ctx context.Context) {
	for {
		key, ok := q.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-q.notify:
			}
			continue
		}
		again, err := q.f(ctx, key)
		if ctx.Err() != nil {
			return
		}
		q.done(key, again, err)
	}
}

func (q *Queue) take() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready) == 0 {
		return "", false
	}
	key := q.ready[0]
	q.ready = q.ready[1:]
	it := q.items[key]
	it.queued, it.running = false, true
	if len(q.ready) > 0 {
		q.signal() // for another worker
	}
	return key, true
}

func (q *Queue) done(key string, again time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	it.running, it.err = false, err
	if err != nil {
		it.fails++
		again = backoff(it.fails)
		q.log.Error("reconcile", "controller", q.name, "key", key, "err", err, "again", again)
	} else {
		it.fails = 0
	}
	switch {
	case it.dirty && err == nil:
		it.dirty = false
		q.wake(key)
	case again > 0:
		// A key that fails waits out its back-off even if it was woken meanwhile:
		// its own writes would wake it for ever.
		it.dirty = false
		it.timer = time.AfterFunc(again, func() { q.Wake(key) })
	default:
		delete(q.items, key)
	}
}

func backoff(fails int) time.Duration {
	d := firstBackoff
	for range fails - 1 {
		if d *= 2; d >= lastBackoff {
			return lastBackoff
		}
	}
	return d
}

// Errors returns the last error of every key whose last reconcile failed.
func (q *Queue) Errors() map[string]error {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := map[string]error{}
	for key, it := range q.items {
		if it.err != nil {
			out[key] = it.err
		}
	}
	return out
}
