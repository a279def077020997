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

// failed is an entry that did not succeed. What is no refusal of ours is not the entry's fault,
// and ends the batch.
func failed(id *string, err error) (sqs.BatchResultErrorEntry, error) {
	var known awsapi.ModelledError
	if !errors.As(err, &known) {
		return sqs.BatchResultErrorEntry{}, err
	}
	return sqs.BatchResultErrorEntry{Id: id, SenderFault: new(true), Code: new(known.ErrorCode()), Message: new(known.ErrorMessage())}, nil
}

// SendMessageBatch sends up to ten messages; each may fail for itself.
func (s *Service) SendMessageBatch(ctx context.Context, call awsapi.Call, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	if err := checkBatch(in.Entries, func(e sqs.SendMessageBatchRequestEntry) *string { return e.Id }); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.SendMessageBatchOutput, error) {
		out := &sqs.SendMessageBatchOutput{Successful: []sqs.SendMessageBatchResultEntry{}, Failed: []sqs.BatchResultErrorEntry{}}
		size := 0
		for _, e := range in.Entries {
			d, err := newDraft(e.MessageBody, e.MessageAttributes, e.DelaySeconds, e.MessageDeduplicationId, e.MessageGroupId)
			if size += d.size(); size > maxBatchSize {
				return nil, &sqs.BatchRequestTooLong{Message: new("Batch requests cannot be longer than 1048576 bytes.")}
			}
			var m resource.Message
			if err == nil {
				m, err = d.put(tx, call, q, s.now())
			}
			if err != nil {
				f, err := failed(e.Id, err)
				if err != nil {
					return nil, err
				}
				out.Failed = append(out.Failed, f)
				continue
			}
			out.Successful = append(out.Successful, sqs.SendMessageBatchResultEntry{
				Id: e.Id, MessageId: &m.ID, MD5OfMessageBody: new(digest(m.Body)), MD5OfMessageAttributes: attributesDigest(m.Attributes),
			})
		}
		return out, nil
	})
}

// DeleteMessageBatch deletes up to ten messages; each may fail for itself.
func (s *Service) DeleteMessageBatch(ctx context.Context, call awsapi.Call, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
	if err := checkBatch(in.Entries, func(e sqs.DeleteMessageBatchRequestEntry) *string { return e.Id }); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.DeleteMessageBatchOutput, error) {
		out := &sqs.DeleteMessageBatchOutput{Successful: []sqs.DeleteMessageBatchResultEntry{}, Failed: []sqs.BatchResultErrorEntry{}}
		for _, e := range in.Entries {
			if err := remove(tx, q, deref(e.ReceiptHandle)); err != nil {
				f, err := failed(e.Id, err)
				if err != nil {
					return nil, err
				}
				out.Failed = append(out.Failed, f)
				continue
			}
			out.Successful = append(out.Successful, sqs.DeleteMessageBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
}

// ChangeMessageVisibilityBatch is ChangeMessageVisibility for up to ten messages; each may fail
// for itself.
func (s *Service) ChangeMessageVisibilityBatch(ctx context.Context, call awsapi.Call, in *sqs.ChangeMessageVisibilityBatchInput) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if err := checkBatch(in.Entries, func(e sqs.ChangeMessageVisibilityBatchRequestEntry) *string { return e.Id }); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
		out := &sqs.ChangeMessageVisibilityBatchOutput{Successful: []sqs.ChangeMessageVisibilityBatchResultEntry{}, Failed: []sqs.BatchResultErrorEntry{}}
		for _, e := range in.Entries {
			if err := s.hide(tx, q, deref(e.ReceiptHandle), deref(e.VisibilityTimeout)); err != nil {
				f, err := failed(e.Id, err)
				if err != nil {
					return nil, err
				}
				out.Failed = append(out.Failed, f)
				continue
			}
			out.Successful = append(out.Successful, sqs.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
		}
		return out, nil
	})
}
