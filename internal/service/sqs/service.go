// Package sqs serves the SQS API: standard queues and their messages.
//
//	SendMessage ─▶ delayed ──▶ visible ──ReceiveMessage──▶ in flight ──DeleteMessage──▶ gone
//	                              ▲                            │
//	                              └── visibility timeout over ─┤
//	                                    received too often     └──▶ the dead-letter queue
//
// Messages are records like all others: they survive kill -9. A message of which nobody can hear any more, since it has
// expired or its queue has been purged or deleted, is passed over everywhere at once, and Sweep deletes its record. Queues' policies are decided with those of the
// caller, in package identity. A receive that may wait is woken by the commit that brings a message.
//
// There are no FIFO queues, no keys of KMS, and no access from other accounts. SqsManagedSseEnabled is recorded and
// shown: nothing here is encrypted on disk.
package sqs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Service serves the SQS API from the records of a store.
type Service struct {
	store *store.Store
	now   func() time.Time

	mu      sync.Mutex
	waiting map[string][]chan struct{} // queue ARN → receives that wait for its messages
}

var _ sqs.API = (*Service)(nil)

// New returns the SQS API over st. now is the clock by which messages become visible.
func New(st *store.Store, now func() time.Time) *Service {
	s := &Service{store: st, now: now, waiting: map[string][]chan struct{}{}}
	st.Subscribe(s.wake)
	return s
}

// wake tells the receives that wait for a queue whose messages have changed.
func (s *Service) wake(changes []store.Change) {
	for _, c := range changes {
		if c.Table != store.Messages {
			continue
		}
		queue, _, _ := strings.Cut(c.Key, "|")
		s.mu.Lock()
		for _, w := range s.waiting[queue] {
			close(w)
		}
		delete(s.waiting, queue)
		s.mu.Unlock()
	}
}

// wait returns a channel that is closed once messages of a queue change, and how to give it up.
func (s *Service) wait(queue string) (changed <-chan struct{}, done func()) {
	w := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[queue] = append(s.waiting[queue], w)
	return w, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting[queue] = slices.DeleteFunc(s.waiting[queue], func(o chan struct{}) bool { return o == w }); len(s.waiting[queue]) == 0 {
			delete(s.waiting, queue)
		}
	}
}

// find looks up the queue that a URL of ours names.
func find(tx *store.Tx, call awsapi.Call, url *string) (resource.Queue, error) {
	account, name, ok := identity.QueueInURL(deref(url))
	if !ok {
		return resource.Queue{}, &sqs.InvalidAddress{Message: new(fmt.Sprintf("The address %s is not valid for this endpoint.", deref(url)))}
	}
	if account != call.Account {
		return resource.Queue{}, denied(deref(url))
	}
	return lookup(tx, call, name)
}

// lookup finds a queue of the caller's account by name.
func lookup(tx *store.Tx, call awsapi.Call, name string) (resource.Queue, error) {
	q, ok := tx.Queues.Get(identity.QueueARN(call.Region, call.Account, name))
	if !ok || !q.Deleted.IsZero() {
		return resource.Queue{}, &sqs.QueueDoesNotExist{Message: new("The specified queue does not exist.")}
	}
	return q, nil
}

// address is a queue's URL at the endpoint that the caller uses.
func address(call awsapi.Call, name string) *string {
	host, scheme := "sqs."+call.Region+".amazonaws.com", "https"
	if call.Request != nil && call.Request.Host != "" {
		host = call.Request.Host
		if !call.Secure {
			scheme = "http"
		}
	}
	return new(scheme + "://" + host + "/" + call.Account + "/" + name)
}

// change runs f on the queue that a URL names.
func change[Out any](ctx context.Context, s *Service, call awsapi.Call, url *string, f func(tx *store.Tx, q resource.Queue) (*Out, error)) (*Out, error) {
	return store.Write(ctx, s.store, func(tx *store.Tx) (*Out, error) {
		q, err := find(tx, call, url)
		if err != nil {
			return nil, err
		}
		return f(tx, q)
	})
}

// look is change for what writes nothing.
func look[Out any](s *Service, call awsapi.Call, url *string, f func(tx *store.Tx, q resource.Queue) (*Out, error)) (*Out, error) {
	return store.Read(s.store, func(tx *store.Tx) (*Out, error) {
		q, err := find(tx, call, url)
		if err != nil {
			return nil, err
		}
		return f(tx, q)
	})
}

func denied(url string) error {
	return &sqs.AccessDeniedException{Message: new("Access to the resource " + url + " is denied.")}
}

func invalidParameter(format string, args ...any) error {
	return awsapi.Errorf("InvalidParameterValue", 400, format, args...)
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
