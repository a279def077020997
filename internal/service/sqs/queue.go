package sqs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// nameRests is how long the name of a deleted queue is not free.
const nameRests = 60 * time.Second

// CreateQueue makes a queue. One of that name and the same attributes is answered as if it
// had just been made.
func (s *Service) CreateQueue(ctx context.Context, call awsapi.Call, in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
	name := deref(in.QueueName)
	if strings.HasSuffix(name, ".fifo") || in.Attributes[sqs.QueueAttributeNameFifoQueue] == "true" {
		return nil, &sqs.UnsupportedOperation{Message: new("FIFO queues are not supported yet.")}
	}
	if !queueName.MatchString(name) {
		return nil, invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	attributes := maps.Clone(defaults)
	if err := set(attributes, in.Attributes); err != nil {
		return nil, err
	}
	arn := identity.QueueARN(call.Region, call.Account, name)
	return store.Write(ctx, s.store, func(tx *store.Tx) (*sqs.CreateQueueOutput, error) {
		prior, ok := tx.Queues.Get(arn)
		if ok && prior.Deleted.IsZero() {
			for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
				if prior.Attributes[k] != attributes[k] {
					return nil, &sqs.QueueNameExists{Message: new("A queue already exists with the same name and a different value for attribute " + k)}
				}
			}
			return &sqs.CreateQueueOutput{QueueUrl: address(call, name)}, nil
		}
		now := s.now()
		if ok && now.Sub(prior.Deleted) < nameRests {
			return nil, &sqs.QueueDeletedRecently{Message: new("You must wait 60 seconds after deleting a queue before you can create another with the same name.")}
		}
		home := resource.Home{Account: call.Account, Region: call.Region}
		if err := checkRedrive(tx, home, arn, in.Attributes); err != nil {
			return nil, err
		}
		tx.Queues.Put(arn, resource.Queue{
			Home: home, ARN: arn, Name: name,
			Created: now, Modified: now, Attributes: attributes, Tags: in.Tags,
			Generation: prior.Generation, // the old one's messages may not all be deleted yet
		})
		return &sqs.CreateQueueOutput{QueueUrl: address(call, name)}, nil
	})
}

// DeleteQueue deletes a queue with its messages.
func (s *Service) DeleteQueue(ctx context.Context, call awsapi.Call, in *sqs.DeleteQueueInput) (*sqs.DeleteQueueOutput, error) {
	err := s.empty(ctx, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) error {
		tx.Queues.Put(q.ARN, resource.Queue{Home: q.Home, ARN: q.ARN, Name: q.Name, Deleted: s.now(), Generation: q.Generation + 1})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.DeleteQueueOutput{}, nil
}

// PurgeQueue deletes a queue's messages, at most once a minute.
func (s *Service) PurgeQueue(ctx context.Context, call awsapi.Call, in *sqs.PurgeQueueInput) (*sqs.PurgeQueueOutput, error) {
	err := s.empty(ctx, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) error {
		now := s.now()
		if now.Sub(q.Purged) < time.Minute {
			return &sqs.PurgeQueueInProgress{Message: new(fmt.Sprintf("Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name))}
		}
		q.Purged, q.Generation = now, q.Generation+1
		tx.Queues.Put(q.ARN, q)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.PurgeQueueOutput{}, nil
}

// empty has mark raise the generation of a queue, by which its messages are gone, and then deletes their records. What that
// does not come to is Sweep's.
func (s *Service) empty(ctx context.Context, call awsapi.Call, url *string, mark func(tx *store.Tx, q resource.Queue) error) error {
	q, err := change(ctx, s, call, url, func(tx *store.Tx, q resource.Queue) (*resource.Queue, error) { return &q, mark(tx, q) })
	if err != nil {
		return err
	}
	_, err = sweep(ctx, s.store, s.now(), resource.MessagesOf(q.ARN), math.MaxInt)
	return err
}

// GetQueueUrl finds a queue by its name.
func (s *Service) GetQueueUrl(_ context.Context, call awsapi.Call, in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
	return store.Read(s.store, func(tx *store.Tx) (*sqs.GetQueueUrlOutput, error) {
		if a := deref(in.QueueOwnerAWSAccountId); a != "" && a != call.Account {
			return nil, denied(*address(call, deref(in.QueueName)))
		}
		if _, err := lookup(tx, call, deref(in.QueueName)); err != nil {
			return nil, err
		}
		return &sqs.GetQueueUrlOutput{QueueUrl: address(call, *in.QueueName)}, nil
	})
}

// ListQueues lists the caller's queues in the region, at most 1,000 of them a page. There are pages
// only where MaxResults asks for them.
func (s *Service) ListQueues(_ context.Context, call awsapi.Call, in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
	most := cmp.Or(int(deref(in.MaxResults)), 1000)
	if most < 1 || most > 1000 {
		return nil, invalidParameter("Value %d for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 1000.", most)
	}
	return store.Read(s.store, func(tx *store.Tx) (*sqs.ListQueuesOutput, error) {
		out := &sqs.ListQueuesOutput{}
		last := ""
		for _, q := range tx.Queues.All() {
			if q.Account != call.Account || q.Region != call.Region || !q.Deleted.IsZero() ||
				!strings.HasPrefix(q.Name, deref(in.QueueNamePrefix)) || q.Name <= deref(in.NextToken) {
				continue
			}
			if len(out.QueueUrls) == most {
				if in.MaxResults != nil {
					out.NextToken = &last
				}
				break
			}
			last = q.Name
			out.QueueUrls = append(out.QueueUrls, *address(call, q.Name))
		}
		return out, nil
	})
}

// GetQueueAttributes tells the attributes asked for: none without names.
func (s *Service) GetQueueAttributes(_ context.Context, call awsapi.Call, in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
	return look(s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.GetQueueAttributesOutput, error) {
		all := maps.Clone(q.Attributes)
		all[sqs.QueueAttributeNameQueueArn] = q.ARN
		all[sqs.QueueAttributeNameCreatedTimestamp] = strconv.FormatInt(q.Created.Unix(), 10)
		all[sqs.QueueAttributeNameLastModifiedTimestamp] = strconv.FormatInt(q.Modified.Unix(), 10)
		now := s.now()
		var visible, flying, delayed int
		for _, m := range messages(tx, q, now) {
			switch {
			case !m.Visible.After(now):
				visible++
			case m.Receives > 0:
				flying++
			default:
				delayed++
			}
		}
		all[sqs.QueueAttributeNameApproximateNumberOfMessages] = strconv.Itoa(visible)
		all[sqs.QueueAttributeNameApproximateNumberOfMessagesNotVisible] = strconv.Itoa(flying)
		all[sqs.QueueAttributeNameApproximateNumberOfMessagesDelayed] = strconv.Itoa(delayed)
		out := &sqs.GetQueueAttributesOutput{Attributes: map[string]string{}}
		for _, n := range in.AttributeNames {
			if n == sqs.QueueAttributeNameAll {
				out.Attributes = all
				break
			}
			if !slices.Contains(known, n) {
				return nil, &sqs.InvalidAttributeName{Message: new("Unknown Attribute " + n + ".")}
			}
			if v, ok := all[n]; ok {
				out.Attributes[n] = v
			}
		}
		return out, nil
	})
}

// SetQueueAttributes changes attributes; what is not given stays.
func (s *Service) SetQueueAttributes(ctx context.Context, call awsapi.Call, in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.SetQueueAttributesOutput, error) {
		if err := set(q.Attributes, in.Attributes); err != nil {
			return nil, err
		}
		if err := checkRedrive(tx, q.Home, q.ARN, in.Attributes); err != nil {
			return nil, err
		}
		q.Modified = s.now()
		tx.Queues.Put(q.ARN, q)
		return &sqs.SetQueueAttributesOutput{}, nil
	})
}

// TagQueue sets tags, of which a queue has at most 50.
func (s *Service) TagQueue(ctx context.Context, call awsapi.Call, in *sqs.TagQueueInput) (*sqs.TagQueueOutput, error) {
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.TagQueueOutput, error) {
		if q.Tags = q.Tags.With(in.Tags); len(q.Tags) > 50 {
			return nil, invalidParameter("Too many tags added for queue %s.", q.Name)
		}
		tx.Queues.Put(q.ARN, q)
		return &sqs.TagQueueOutput{}, nil
	})
}

// UntagQueue takes tags away.
func (s *Service) UntagQueue(ctx context.Context, call awsapi.Call, in *sqs.UntagQueueInput) (*sqs.UntagQueueOutput, error) {
	return change(ctx, s, call, in.QueueUrl, func(tx *store.Tx, q resource.Queue) (*sqs.UntagQueueOutput, error) {
		q.Tags = q.Tags.Without(in.TagKeys...)
		tx.Queues.Put(q.ARN, q)
		return &sqs.UntagQueueOutput{}, nil
	})
}

// ListQueueTags lists a queue's tags.
func (s *Service) ListQueueTags(_ context.Context, call awsapi.Call, in *sqs.ListQueueTagsInput) (*sqs.ListQueueTagsOutput, error) {
	return look(s, call, in.QueueUrl, func(_ *store.Tx, q resource.Queue) (*sqs.ListQueueTagsOutput, error) {
		return &sqs.ListQueueTagsOutput{Tags: q.Tags}, nil
	})
}
