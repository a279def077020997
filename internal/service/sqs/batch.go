package sqs

import (
	"context"
	"errors"
	"regexp"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var batchID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// maxBatch is how many entries a batch holds, maxBatchSize how many bytes its messages.
const (
	maxBatch     = 10
	maxBatchSize = 1 << 20
)

// checkBatch checks the ids of a batch's entries.
func checkBatch[T any](entries []T, id func(T) *string) error {
	if len(entries) == 0 {
		return &sqs.EmptyBatchRequest{Message: new("There should be at least one entry in the request.")}
	}
	if len(entries) > maxBatch {
		return &sqs.TooManyEntriesInBatchRequest{Message: new("Maximum number of entries per request are 10. You have sent more.")}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		n := deref(id(e))
		if !batchID.MatchString(n) {
			return &sqs.InvalidBatchEntryId{Message: new("A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")}
		}
		if seen[n] {
			return &sqs.BatchEntryIdsNotDistinct{Message: new("Id " + n + " repeated.")}
		}
		seen[n] = true
	}
	return nil
}

// each does one thing after another with the entries of a batch. An entry may fail for itself; what
// is no refusal of ours is not the entry's fault, and ends the batch.
func each[E, R any](entries []E, id func(E) *string, do func(E) (R, error)) (successful []R, failed []sqs.BatchResultErrorEntry, err error) {
	successful, failed = []R{}, []sqs.BatchResultErrorEntry{}
	for _, e := range entries {
		r, err := do(e)
		var known awsapi.ModelledError
		switch {
		case err == nil:
			successful = append(successful, r)
		case errors.As(err, &known):
			failed = append(failed, sqs.BatchResultErrorEntry{Id: id(e), SenderFault: new(true), Code: new(known.ErrorCode()), Message: new(known.ErrorMessage())})
		default:
			return nil, nil, err
		}
	}
	return successful, failed, nil
}

// SendMessageBatch sends up to ten messages; each may fail for itself.
func (s *Service) SendMessageBatch(ctx context.Context, call awsapi.Call, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	if err := checkBatch(in.Entries, func(e sqs.SendMessageBatchRequestEntry) *string { return e.Id }); err != nil {
		return nil, err
	}
	// What is wrong with an entry is told when it is sent.
	type sending struct {
		id *string
		draft
		bad error
	}
	var all []sending
	size := 0
	for _, e := range in.Entries {
		d, err := newDraft(e.MessageBody, e.MessageAttributes, e.DelaySeconds, e.MessageDeduplicationId, e.MessageGroupId)
		all = append(all, sending{e.Id, d, err})
		size += d.size()
	}
	if size > maxBatchSize {
		return nil, &sqs.BatchRequestTooLong{Message: new("Batch requests cannot be longer than 1048576 bytes.")}
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.SendMessageBatchOutput, error) {
		sent, failed, err := each(all, func(e sending) *string { return e.id }, func(e sending) (out sqs.SendMessageBatchResultEntry, err error) {
			if e.bad != nil {
				return out, e.bad
			}
			m, err := e.put(tx, call, q, s.now())
			return sqs.SendMessageBatchResultEntry{
				Id: e.id, MessageId: &m.ID, MD5OfMessageBody: new(digest(m.Body)), MD5OfMessageAttributes: attributesDigest(m.Attributes),
			}, err
		})
		return &sqs.SendMessageBatchOutput{Successful: sent, Failed: failed}, err
	})
}

// DeleteMessageBatch deletes up to ten messages; each may fail for itself.
func (s *Service) DeleteMessageBatch(ctx context.Context, call awsapi.Call, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
	id := func(e sqs.DeleteMessageBatchRequestEntry) *string { return e.Id }
	if err := checkBatch(in.Entries, id); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.DeleteMessageBatchOutput, error) {
		deleted, failed, err := each(in.Entries, id, func(e sqs.DeleteMessageBatchRequestEntry) (sqs.DeleteMessageBatchResultEntry, error) {
			return sqs.DeleteMessageBatchResultEntry{Id: e.Id}, s.remove(tx, q, deref(e.ReceiptHandle))
		})
		return &sqs.DeleteMessageBatchOutput{Successful: deleted, Failed: failed}, err
	})
}

// ChangeMessageVisibilityBatch is ChangeMessageVisibility for up to ten messages; each may fail
// for itself.
func (s *Service) ChangeMessageVisibilityBatch(ctx context.Context, call awsapi.Call, in *sqs.ChangeMessageVisibilityBatchInput) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	id := func(e sqs.ChangeMessageVisibilityBatchRequestEntry) *string { return e.Id }
	if err := checkBatch(in.Entries, id); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
		hidden, failed, err := each(in.Entries, id, func(e sqs.ChangeMessageVisibilityBatchRequestEntry) (sqs.ChangeMessageVisibilityBatchResultEntry, error) {
			return sqs.ChangeMessageVisibilityBatchResultEntry{Id: e.Id}, s.hide(tx, q, deref(e.ReceiptHandle), deref(e.VisibilityTimeout))
		})
		return &sqs.ChangeMessageVisibilityBatchOutput{Successful: hidden, Failed: failed}, err
	})
}
