// Package eventbus brings events to the targets of the rules that match them: EventBridge's
// default bus of an account in a region, without its API.
//
//	a record changes ──Derive──▶ its event ──┐
//	PutEvents ──────────────────▶ an event ──┴▶ Publish ──rules that match──▶ what a target gets ──▶ Enqueue
//
// All of it happens in the transaction that the event comes from: an event is delivered once, and exactly if
// what it tells of is so, also when the daemon is killed in between.
//
// Events come from EC2 instances (state changes, rebalance recommendations, Spot interruption warnings) and
// from Auto Scaling groups (lifecycle actions). Targets are SQS queues, whose policy has to let
// events.amazonaws.com in, as on AWS.
//
// There are no buses besides the default one, no archives and no schedules.
package eventbus

import (
	"encoding/json"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/eventpattern"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Failure is an event that did not reach a target, and why. AWS counts such in the metric
// FailedInvocations and tells nobody else.
type Failure struct {
	Rule, Target, Event string
	Reason              string
}

// Publish gives an event its id and sends it to the targets of the rules of its account and region
// that match it. now is when it has come in, which is not when it happened: that may be said by its sender.
func Publish(tx *store.Tx, e resource.Event, now time.Time) (id string, failures []Failure, err error) {
	e.ID = awsid.UUID()
	var document string
	var value any
	for arn, r := range tx.EventRules.All() {
		if r.Home != e.Home || r.Disabled || len(r.Targets) == 0 {
			continue
		}
		if document == "" {
			if document, err = Document(e); err != nil {
				return "", nil, err
			}
			if value, err = eventpattern.Decode(document); err != nil {
				return "", nil, fmt.Errorf("reading event %s: %w", e.ID, err)
			}
		}
		pattern, err := eventpattern.Parse(r.Pattern)
		if err != nil {
			return "", nil, fmt.Errorf("the pattern of %s: %w", arn, err)
		}
		if !pattern.Matches(value) {
			continue
		}
		for _, t := range r.Targets {
			body, err := input(t, r, document, value, now)
			if err == nil {
				err = deliver(tx, r, t, body, now)
			}
			if err != nil {
				failures = append(failures, Failure{Rule: arn, Target: t.ARN, Event: e.ID, Reason: err.Error()})
			}
		}
	}
	return e.ID, failures, nil
}

// Document is an event as targets get it.
// See https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
func Document(e resource.Event) (string, error) {
	if e.Resources == nil {
		e.Resources = []string{}
	}
	b, err := json.Marshal(struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}{"0", e.ID, e.DetailType, e.Source, e.Account, e.Time.UTC().Format(time.RFC3339), e.Region, e.Resources, json.RawMessage(e.Detail)})
	if err != nil {
		return "", fmt.Errorf("writing event %s: %w", e.ID, err)
	}
	return string(b), nil
}

// deliver puts a message into a target's queue, or else into the target's dead-letter queue.
func deliver(tx *store.Tx, r resource.EventRule, t resource.EventTarget, body string, now time.Time) error {
	err := send(tx, r, t.ARN, body, now, nil)
	if err == nil || t.DeadLetter == "" {
		return err
	}
	attributes := map[string]resource.MessageAttribute{
		"RULE_ARN":      {Type: "String", Text: r.ARN},
		"TARGET_ARN":    {Type: "String", Text: t.ARN},
		"ERROR_MESSAGE": {Type: "String", Text: err.Error()},
	}
	if dead := send(tx, r, t.DeadLetter, body, now, attributes); dead != nil {
		return fmt.Errorf("%w; dead-letter queue: %w", err, dead)
	}
	return nil
}

func send(tx *store.Tx, r resource.EventRule, queue, body string, now time.Time, attributes map[string]resource.MessageAttribute) error {
	q, ok := tx.Queues.Get(queue)
	if !ok || !q.Deleted.IsZero() {
		return fmt.Errorf("the queue %s does not exist", queue)
	}
	allowed, err := ServiceMaySend(q, "events.amazonaws.com", r.ARN, r.Account)
	if err != nil {
		return err
	}
	if !allowed {
		return fmt.Errorf("the policy of %s does not let events.amazonaws.com send messages for %s", queue, r.ARN)
	}
	Enqueue(tx, q, resource.Message{Body: body, Attributes: attributes, Sender: "events.amazonaws.com"}, delay(q), now)
	return nil
}

// ServiceMaySend says whether a queue's policy lets an AWS service send messages to it on
// behalf of a resource of account.
func ServiceMaySend(q resource.Queue, service, source, account string) (bool, error) {
	document := q.Attributes["Policy"]
	if document == "" {
		return false, nil
	}
	policy, err := authz.Parse([]byte(document), authz.Resource)
	if err != nil {
		return false, fmt.Errorf("the policy of %s: %w", q.ARN, err)
	}
	who := authz.Principal{Type: authz.Service, Provider: service}
	ctx := who.Context()
	ctx["aws:SourceArn"], ctx["aws:SourceAccount"], ctx["aws:SecureTransport"] = []string{source}, []string{account}, []string{"true"}
	return authz.Evaluate(authz.Inputs{Resource: policy, ResourceRequired: true}, authz.Request{
		Principal: who, Action: "sqs:SendMessage", Resources: []string{q.ARN}, ResourceAccount: q.Account, Context: ctx,
	}).Allowed, nil
}
