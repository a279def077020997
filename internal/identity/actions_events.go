package identity

import (
	"net/url"
	"strings"

	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/gen/sqs"
)

// QueueARN is the ARN of an SQS queue.
func QueueARN(region, account, name string) string {
	return "arn:aws:sqs:" + region + ":" + account + ":" + name
}

// QueueInURL reads the account and the name out of a queue's URL; whatever host it names, there is
// one SQS here.
func QueueInURL(address string) (account, name string, ok bool) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", false
	}
	account, name, ok = strings.Cut(strings.Trim(u.Path, "/"), "/")
	return account, name, ok && len(account) == 12 && name != "" && !strings.Contains(name, "/")
}

// EventRuleARN is the ARN of a rule on the default bus.
func EventRuleARN(region, account, name string) string {
	return "arn:aws:events:" + region + ":" + account + ":rule/" + name
}

// queue is the rule of operations on the queue that a URL names.
func queue[In any](address func(in *In) *string) rule {
	return on(func(s scope, in *In) []string {
		account, name, ok := QueueInURL(deref(address(in)))
		if !ok {
			return nil
		}
		return []string{QueueARN(s.call.Region, account, name)}
	})
}

// as has an operation checked for another one's action: batches have none of their own.
func (r rule) as(action string) rule {
	r.action = action
	return r
}

var sqsRules = rules{
	"ChangeMessageVisibility":      queue(func(in *sqs.ChangeMessageVisibilityInput) *string { return in.QueueUrl }),
	"ChangeMessageVisibilityBatch": queue(func(in *sqs.ChangeMessageVisibilityBatchInput) *string { return in.QueueUrl }).as("sqs:ChangeMessageVisibility"),
	"CreateQueue": needs(with(on(func(s scope, in *sqs.CreateQueueInput) []string {
		return []string{QueueARN(s.call.Region, s.call.Account, deref(in.QueueName))}
	}), func(in *sqs.CreateQueueInput) map[string][]string { return requestTags(in.Tags) }),
		func(s scope, in *sqs.CreateQueueInput) []check {
			if len(in.Tags) == 0 {
				return nil
			}
			return []check{{action: "sqs:TagQueue", resources: []string{QueueARN(s.call.Region, s.call.Account, deref(in.QueueName))}, keys: requestTags(in.Tags)}}
		}),
	"DeleteMessage":      queue(func(in *sqs.DeleteMessageInput) *string { return in.QueueUrl }),
	"DeleteMessageBatch": queue(func(in *sqs.DeleteMessageBatchInput) *string { return in.QueueUrl }).as("sqs:DeleteMessage"),
	"DeleteQueue":        queue(func(in *sqs.DeleteQueueInput) *string { return in.QueueUrl }),
	"GetQueueAttributes": queue(func(in *sqs.GetQueueAttributesInput) *string { return in.QueueUrl }),
	"GetQueueUrl": on(func(s scope, in *sqs.GetQueueUrlInput) []string {
		account := s.call.Account
		if in.QueueOwnerAWSAccountId != nil {
			account = *in.QueueOwnerAWSAccountId
		}
		return []string{QueueARN(s.call.Region, account, deref(in.QueueName))}
	}),
	"ListQueueTags":      queue(func(in *sqs.ListQueueTagsInput) *string { return in.QueueUrl }),
	"ListQueues":         anything,
	"PurgeQueue":         queue(func(in *sqs.PurgeQueueInput) *string { return in.QueueUrl }),
	"ReceiveMessage":     queue(func(in *sqs.ReceiveMessageInput) *string { return in.QueueUrl }),
	"SendMessage":        queue(func(in *sqs.SendMessageInput) *string { return in.QueueUrl }),
	"SendMessageBatch":   queue(func(in *sqs.SendMessageBatchInput) *string { return in.QueueUrl }).as("sqs:SendMessage"),
	"SetQueueAttributes": queue(func(in *sqs.SetQueueAttributesInput) *string { return in.QueueUrl }),
	"TagQueue": with(queue(func(in *sqs.TagQueueInput) *string { return in.QueueUrl }),
		func(in *sqs.TagQueueInput) map[string][]string { return requestTags(in.Tags) }),
	"UntagQueue": with(queue(func(in *sqs.UntagQueueInput) *string { return in.QueueUrl }),
		func(in *sqs.UntagQueueInput) map[string][]string {
			return map[string][]string{"aws:TagKeys": in.TagKeys}
		}),
}

// eventRule is the rule of operations on a rule by its name.
func eventRule[In any](name func(in *In) *string) rule {
	return on(func(s scope, in *In) []string {
		return []string{EventRuleARN(s.call.Region, s.call.Account, deref(name(in)))}
	})
}

var eventsRules = rules{
	"DeleteRule":       eventRule(func(in *events.DeleteRuleInput) *string { return in.Name }),
	"DescribeEventBus": on(func(s scope, in *events.DescribeEventBusInput) []string { return []string{s.bus(in.Name)} }),
	"DescribeRule":     eventRule(func(in *events.DescribeRuleInput) *string { return in.Name }),
	"DisableRule":      eventRule(func(in *events.DisableRuleInput) *string { return in.Name }),
	"EnableRule":       eventRule(func(in *events.EnableRuleInput) *string { return in.Name }),
	"ListEventBuses":   anything, "ListRuleNamesByTarget": anything, "ListRules": anything, "TestEventPattern": anything,
	"ListTagsForResource": on(func(_ scope, in *events.ListTagsForResourceInput) []string { return []string{deref(in.ResourceARN)} }),
	"ListTargetsByRule":   eventRule(func(in *events.ListTargetsByRuleInput) *string { return in.Rule }),
	"PutEvents": on(func(s scope, in *events.PutEventsInput) (arns []string) {
		for _, e := range in.Entries {
			arns = append(arns, s.bus(e.EventBusName))
		}
		return arns
	}),
	"PutRule": needs(with(eventRule(func(in *events.PutRuleInput) *string { return in.Name }),
		func(in *events.PutRuleInput) map[string][]string { return requestTags(eventTags(in.Tags)) }),
		func(s scope, in *events.PutRuleInput) []check {
			if len(in.Tags) == 0 {
				return nil
			}
			rule := EventRuleARN(s.call.Region, s.call.Account, deref(in.Name))
			return []check{{action: "events:TagResource", resources: []string{rule}, keys: requestTags(eventTags(in.Tags))}}
		}),
	"PutTargets": with(eventRule(func(in *events.PutTargetsInput) *string { return in.Rule }),
		func(in *events.PutTargetsInput) map[string][]string {
			keys := map[string][]string{}
			for _, t := range in.Targets {
				keys["events:TargetArn"] = append(keys["events:TargetArn"], deref(t.Arn))
			}
			return keys
		}),
	"RemoveTargets": eventRule(func(in *events.RemoveTargetsInput) *string { return in.Rule }),
	"TagResource": with(on(func(_ scope, in *events.TagResourceInput) []string { return []string{deref(in.ResourceARN)} }),
		func(in *events.TagResourceInput) map[string][]string { return requestTags(eventTags(in.Tags)) }),
	"UntagResource": with(on(func(_ scope, in *events.UntagResourceInput) []string { return []string{deref(in.ResourceARN)} }),
		func(in *events.UntagResourceInput) map[string][]string {
			return map[string][]string{"aws:TagKeys": in.TagKeys}
		}),
}

// bus is the ARN of an event bus, which may be named by it.
func (s scope) bus(name *string) string {
	n := deref(name)
	if strings.HasPrefix(n, "arn:") {
		return n
	}
	if n == "" {
		n = "default"
	}
	return s.arn("events", "event-bus/"+n)
}

func eventTags(tags []events.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[deref(t.Key)] = deref(t.Value)
	}
	return m
}
