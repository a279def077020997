// Package events serves the EventBridge API: the default bus of an account in a region, its rules and
// their targets.
//
//	PutRule ─▶ a rule with a pattern ◀─ PutTargets: queues
//	PutEvents, and what happens to instances ──▶ package eventbus ──▶ the targets of the rules that match
//
// A rule and its targets are one record. Events are delivered by package eventbus, in the transaction that they
// come from.
//
// There are no other buses, no schedules, and no targets but SQS queues; these are refused by name.
package events

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// bus is the bus that there is.
const bus = "default"

// A Service serves the EventBridge API from the records of a store.
type Service struct {
	store  *store.Store
	now    func() time.Time
	failed func(eventbus.Failure)
	made   time.Time // when the buses were: before anybody asked
}

var _ events.API = (*Service)(nil)

// New returns the EventBridge API over st. now is the clock by which events happen. What of
// PutEvents does not reach its target is told to failed.
func New(st *store.Store, now func() time.Time, failed func(eventbus.Failure)) *Service {
	return &Service{store: st, now: now, failed: failed, made: time.Date(2016, 1, 14, 0, 0, 0, 0, time.UTC)}
}

// onBus refuses buses that there are not. A bus is named or has its ARN.
func onBus(call awsapi.Call, name *string) error {
	switch n := deref(name); n {
	case "", bus, busARN(call):
		return nil
	default:
		return notFound("Event bus %s does not exist.", n)
	}
}

func busARN(call awsapi.Call) string {
	return "arn:aws:events:" + call.Region + ":" + call.Account + ":event-bus/" + bus
}

// find looks up a rule of the caller's account by name.
func find(tx *store.Tx, call awsapi.Call, name string) (resource.EventRule, error) {
	r, ok := tx.EventRules.Get(identity.EventRuleARN(call.Region, call.Account, name))
	if !ok {
		return resource.EventRule{}, notFound("Rule %s does not exist on EventBus default.", name)
	}
	return r, nil
}

// change runs f on a rule and writes what f made of it.
func (s *Service) change(ctx context.Context, call awsapi.Call, bus *string, name string, f func(tx *store.Tx, r *resource.EventRule) error) error {
	if err := onBus(call, bus); err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		r, err := find(tx, call, name)
		if err != nil {
			return err
		}
		if err := f(tx, &r); err != nil {
			return err
		}
		tx.EventRules.Put(r.ARN, r)
		return nil
	})
}

// rules lists the caller's rules in the region by name, those that keep allows.
func rules(tx *store.Tx, call awsapi.Call, keep func(resource.EventRule) bool) []resource.EventRule {
	return slices.Collect(tx.EventRules.Values(func(r resource.EventRule) bool {
		return r.Account == call.Account && r.Region == call.Region && keep(r)
	}))
}

// page cuts a list in ascending order of its keys.
func page[T any](items []T, key func(T) string, token *string, limit *int32) ([]T, *string, error) {
	most := 100
	if limit != nil {
		most = int(*limit)
	}
	out, next, ok := awsapi.Page(items, key, strings.Compare, token, most)
	if !ok {
		return nil, nil, validation("Provided nextToken is not valid.")
	}
	return append([]T{}, out...), next, nil // an empty page is shown as one
}

func notFound(format string, args ...any) error {
	return &events.ResourceNotFoundException{Message: new(fmt.Sprintf(format, args...))}
}

func validation(format string, args ...any) error {
	return awsapi.Errorf("ValidationException", 400, format, args...)
}

// notYet refuses what EventBridge has and nothing here would stand behind.
func notYet(what string) error { return validation("%s is not supported yet.", what) }

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// DescribeEventBus describes the default bus.
func (s *Service) DescribeEventBus(_ context.Context, call awsapi.Call, in *events.DescribeEventBusInput) (*events.DescribeEventBusOutput, error) {
	if err := onBus(call, in.Name); err != nil {
		return nil, err
	}
	return &events.DescribeEventBusOutput{Name: new(bus), Arn: new(busARN(call)), CreationTime: &s.made, LastModifiedTime: &s.made}, nil
}

// ListEventBuses lists the default bus.
func (s *Service) ListEventBuses(_ context.Context, call awsapi.Call, in *events.ListEventBusesInput) (*events.ListEventBusesOutput, error) {
	out := &events.ListEventBusesOutput{EventBuses: []events.EventBus{}}
	if strings.HasPrefix(bus, deref(in.NamePrefix)) {
		out.EventBuses = append(out.EventBuses, events.EventBus{Name: new(bus), Arn: new(busARN(call)), CreationTime: &s.made, LastModifiedTime: &s.made})
	}
	return out, nil
}
