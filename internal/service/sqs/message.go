package sqs

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Bounds of what a caller may ask for.
const (
	maxReceive    = 10
	maxWait       = 20    // seconds
	maxVisibility = 43200 // seconds
	maxDelay      = 900   // seconds
	maxAttributes = 10
)

// maxTaken bounds the bytes that one receive moves, beyond its first message: it is one transaction.
const maxTaken = 1 << 20

// messages yields the messages of a queue, in the order in which they were sent. What is gone and not
// yet deleted is none.
func messages(tx *store.Tx, q resource.Queue, now time.Time) iter.Seq2[string, resource.Message] {
	return func(yield func(string, resource.Message) bool) {
		for key, m := range tx.Messages.Prefixed(resource.MessagesOf(q.ARN)) {
			if !gone(q, m, now) && !yield(key, m) {
				return
			}
		}
	}
}

// A draft is a message that a caller sends, checked.
type draft struct {
	body       string
	attributes map[string]resource.MessageAttribute
	delay      *int32
	group      string
}

// groupID is the form of a message's group. On a standard queue it is for SQS to be fair to groups that
// send little, and for receivers to read.
var groupID = regexp.MustCompile(`^[!-~]{1,128}$`)

// newDraft checks a message against what the protocol allows; the queue has its word later.
func newDraft(body *string, attributes map[string]sqs.MessageAttributeValue, delay *int32, deduplication, group *string) (draft, error) {
	d := draft{body: deref(body), delay: delay, group: deref(group), attributes: map[string]resource.MessageAttribute{}}
	if deduplication != nil {
		return d, invalidParameter("The request include parameter that is not valid for this queue type")
	}
	if group != nil && !groupID.MatchString(d.group) {
		return d, invalidParameter("Value %s for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.", d.group)
	}
	if d.body == "" {
		return d, awsapi.Errorf("MissingParameter", 400, "The request must contain the parameter MessageBody.")
	}
	if i := strings.IndexFunc(d.body, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}); i >= 0 {
		return d, &sqs.InvalidMessageContents{Message: new("Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")}
	}
	if delay != nil && (*delay < 0 || *delay > maxDelay) {
		return d, invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *delay)
	}
	if len(attributes) > maxAttributes {
		return d, invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxAttributes)
	}
	for name, v := range attributes {
		a := resource.MessageAttribute{Type: deref(v.DataType), Text: deref(v.StringValue), Binary: v.BinaryValue}
		kind, _, _ := strings.Cut(a.Type, ".")
		switch {
		case kind != "String" && kind != "Number" && kind != "Binary":
			return d, invalidParameter("The type of message attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
		case kind == "Binary" && len(a.Binary) == 0, kind != "Binary" && a.Text == "":
			return d, invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name, a.Type)
		}
		if _, err := strconv.ParseFloat(a.Text, 64); kind == "Number" && err != nil {
			return d, invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
		}
		d.attributes[name] = a
	}
	return d, nil
}

// size is what counts for a queue's MaximumMessageSize.
func (d draft) size() int { return size(d.body, d.attributes) }

func size(body string, attributes map[string]resource.MessageAttribute) int {
	n := len(body)
	for name, a := range attributes {
		n += len(name) + len(a.Type) + len(a.Text) + len(a.Binary)
	}
	return n
}

// put sends a draft to a queue.
func (d draft) put(tx *store.Tx, call awsapi.Call, q resource.Queue, now time.Time) (resource.Message, error) {
	most, _ := strconv.Atoi(q.Attributes[sqs.QueueAttributeNameMaximumMessageSize])
	if d.size() > most {
		return resource.Message{}, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", most)
	}
	delay := eventbus.Seconds(q, sqs.QueueAttributeNameDelaySeconds)
	if d.delay != nil {
		delay = time.Duration(*d.delay) * time.Second
	}
	return eventbus.Enqueue(tx, q, resource.Message{Body: d.body, Attributes: d.attributes, Group: d.group, Sender: call.Caller.ID}, delay, now), nil
}

// SendMessage puts a message into a queue.
func (s *Service) SendMessage(ctx context.Context, call awsapi.Call, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	d, err := newDraft(in.MessageBody, in.MessageAttributes, in.DelaySeconds, in.MessageDeduplicationId, in.MessageGroupId)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.SendMessageOutput, error) {
		m, err := d.put(tx, call, q, s.now())
		if err != nil {
			return nil, err
		}
		return &sqs.SendMessageOutput{MessageId: &m.ID, MD5OfMessageBody: new(digest(m.Body)), MD5OfMessageAttributes: attributesDigest(m.Attributes)}, nil
	})
}

// ReceiveMessage takes messages out of sight and returns them. Where there are none it waits for
// one as long as the caller, or the queue, says.
func (s *Service) ReceiveMessage(ctx context.Context, call awsapi.Call, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	for _, b := range []struct {
		name      string
		value     *int32
		low, high int32
	}{{"MaxNumberOfMessages", in.MaxNumberOfMessages, 1, maxReceive}, {"WaitTimeSeconds", in.WaitTimeSeconds, 0, maxWait}, {"VisibilityTimeout", in.VisibilityTimeout, 0, maxVisibility}} {
		if b.value != nil && (*b.value < b.low || *b.value > b.high) {
			return nil, invalidParameter("Value %d for parameter %s is invalid. Reason: Must be >= %d and <= %d, if provided.", *b.value, b.name, b.low, b.high)
		}
	}
	var until time.Time
	for {
		queue, err := look(s, call, in.QueueUrl, func(_ *store.Tx, q resource.Queue) (*resource.Queue, error) { return &q, nil })
		if err != nil {
			return nil, err
		}
		changed, done := s.wait(queue.ARN) // before the look: what comes in between is not missed
		out, next, err := s.receive(ctx, call, in)
		if err != nil || len(out.Messages) > 0 {
			done()
			return out, err
		}
		now := s.now()
		if until.IsZero() {
			wait := eventbus.Seconds(*queue, sqs.QueueAttributeNameReceiveMessageWaitTimeSeconds)
			if in.WaitTimeSeconds != nil {
				wait = time.Duration(*in.WaitTimeSeconds) * time.Second
			}
			until = now.Add(wait)
		}
		if !now.Before(until) {
			done()
			return out, nil
		}
		if next.IsZero() || next.After(until) {
			next = until
		}
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			done()
			return nil, ctx.Err()
		}
		timer.Stop()
		done()
	}
}

// receive takes what there is now, and may take less: what a receiver gets is up to the queue. next is when the next message comes into sight, zero if
// none does by itself.
func (s *Service) receive(ctx context.Context, call awsapi.Call, in *sqs.ReceiveMessageInput) (out *sqs.ReceiveMessageOutput, next time.Time, err error) {
	most := 1
	if in.MaxNumberOfMessages != nil {
		most = int(*in.MaxNumberOfMessages)
	}
	out, err = change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.ReceiveMessageOutput, error) {
		now := s.now()
		hidden := eventbus.Seconds(q, sqs.QueueAttributeNameVisibilityTimeout)
		if in.VisibilityTimeout != nil {
			hidden = time.Duration(*in.VisibilityTimeout) * time.Second
		}
		r, redrives := parseRedrive(q.Attributes[sqs.QueueAttributeNameRedrivePolicy])
		out := &sqs.ReceiveMessageOutput{}
		taken := 0
		for key, m := range messages(tx, q, now) {
			switch {
			case m.Visible.After(now):
				if next.IsZero() || m.Visible.Before(next) {
					next = m.Visible
				}
				continue
			case len(out.Messages) == most:
				return out, nil
			}
			n := size(m.Body, m.Attributes)
			if taken > 0 && taken+n > maxTaken {
				return out, nil
			}
			taken += n
			if redrives && m.Receives >= r.most {
				if dead, ok := tx.Queues.Get(r.target); ok && dead.Deleted.IsZero() {
					tx.Messages.Delete(key)
					m.Queue, m.Generation, m.Source, m.Visible = dead.ARN, dead.Generation, q.ARN, now
					tx.Messages.Put(resource.MessageKey(dead.ARN, m.Sent, m.ID), m)
					continue
				}
			}
			m.Receives++
			m.Visible = now.Add(hidden)
			if m.Received.IsZero() {
				m.Received = now
			}
			tx.Messages.Put(key, m)
			out.Messages = append(out.Messages, describe(m, key, in))
		}
		return out, nil
	})
	return out, next, err
}

// receipt is the handle of one receive of a message: its key, and which receive it was.
func receipt(key string, m resource.Message) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(m.Receives) + "|" + key))
}

// received finds the message of a handle. A handle of an earlier receive is none: of a standard queue AWS
// may take it or not.
func received(tx *store.Tx, q resource.Queue, handle string, now time.Time) (key string, m resource.Message, ok bool, err error) {
	raw, bad := base64.StdEncoding.DecodeString(handle)
	n, key, cut := strings.Cut(string(raw), "|")
	if bad != nil || !cut || !strings.HasPrefix(key, resource.MessagesOf(q.ARN)) {
		return "", m, false, &sqs.ReceiptHandleIsInvalid{Message: new(fmt.Sprintf("The input receipt handle \"%s\" is not a valid receipt handle.", handle))}
	}
	m, ok = tx.Messages.Get(key)
	return key, m, ok && strconv.Itoa(m.Receives) == n && !gone(q, m, now), nil
}

// DeleteMessage deletes a message that has been received. One that is gone is none to delete.
func (s *Service) DeleteMessage(ctx context.Context, call awsapi.Call, in *sqs.DeleteMessageInput) (*sqs.DeleteMessageOutput, error) {
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.DeleteMessageOutput, error) {
		return &sqs.DeleteMessageOutput{}, s.remove(tx, q, deref(in.ReceiptHandle))
	})
}

func (s *Service) remove(tx *store.Tx, q resource.Queue, handle string) error {
	key, _, ok, err := received(tx, q, handle, s.now())
	if ok {
		tx.Messages.Delete(key)
	}
	return err
}

// ChangeMessageVisibility sets when a message in flight comes into sight again.
func (s *Service) ChangeMessageVisibility(ctx context.Context, call awsapi.Call, in *sqs.ChangeMessageVisibilityInput) (*sqs.ChangeMessageVisibilityOutput, error) {
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.ChangeMessageVisibilityOutput, error) {
		return &sqs.ChangeMessageVisibilityOutput{}, s.hide(tx, q, deref(in.ReceiptHandle), deref(in.VisibilityTimeout))
	})
}

func (s *Service) hide(tx *store.Tx, q resource.Queue, handle string, seconds int32) error {
	if seconds < 0 || seconds > maxVisibility {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", seconds)
	}
	now := s.now()
	key, m, ok, err := received(tx, q, handle, now)
	if err != nil {
		return err
	}
	if !ok || !m.Visible.After(now) {
		return &sqs.MessageNotInflight{}
	}
	m.Visible = now.Add(time.Duration(seconds) * time.Second)
	tx.Messages.Put(key, m)
	return nil
}

// describe is a message as a receiver gets it, with the attributes that it asked for.
func describe(m resource.Message, key string, in *sqs.ReceiveMessageInput) sqs.Message {
	out := sqs.Message{MessageId: &m.ID, ReceiptHandle: new(receipt(key, m)), Body: &m.Body, MD5OfBody: new(digest(m.Body))}
	all := map[string]string{
		sqs.MessageSystemAttributeNameSenderId:                         m.Sender,
		sqs.MessageSystemAttributeNameSentTimestamp:                    strconv.FormatInt(m.Sent.UnixMilli(), 10),
		sqs.MessageSystemAttributeNameApproximateReceiveCount:          strconv.Itoa(m.Receives),
		sqs.MessageSystemAttributeNameApproximateFirstReceiveTimestamp: strconv.FormatInt(m.Received.UnixMilli(), 10),
	}
	if m.Source != "" {
		all[sqs.MessageSystemAttributeNameDeadLetterQueueSourceArn] = m.Source
	}
	if m.Group != "" {
		all[sqs.MessageSystemAttributeNameMessageGroupId] = m.Group
	}
	asked := append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)
	for name, v := range all {
		if slices.Contains(asked, name) || slices.Contains(asked, "All") {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = v
		}
	}
	shown := map[string]resource.MessageAttribute{}
	for name, a := range m.Attributes {
		if !slices.ContainsFunc(in.MessageAttributeNames, func(n string) bool {
			prefix, wild := strings.CutSuffix(n, ".*")
			return n == "All" || n == ".*" || n == name || wild && strings.HasPrefix(name, prefix+".")
		}) {
			continue
		}
		if out.MessageAttributes == nil {
			out.MessageAttributes = map[string]sqs.MessageAttributeValue{}
		}
		v := sqs.MessageAttributeValue{DataType: new(a.Type), BinaryValue: a.Binary}
		if a.Text != "" {
			v.StringValue = new(a.Text)
		}
		shown[name], out.MessageAttributes[name] = a, v
	}
	out.MD5OfMessageAttributes = attributesDigest(shown)
	return out
}
