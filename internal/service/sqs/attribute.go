package sqs

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// defaults are the attributes of a queue that nobody has set.
var defaults = map[string]string{
	sqs.QueueAttributeNameDelaySeconds:                  "0",
	sqs.QueueAttributeNameMaximumMessageSize:            "1048576",
	sqs.QueueAttributeNameMessageRetentionPeriod:        "345600",
	sqs.QueueAttributeNameReceiveMessageWaitTimeSeconds: "0",
	sqs.QueueAttributeNameVisibilityTimeout:             "30",
	sqs.QueueAttributeNameSqsManagedSseEnabled:          "true",
}

// bounds are the attributes that are numbers.
// See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var bounds = map[string][2]int{
	sqs.QueueAttributeNameDelaySeconds:                  {0, 900},
	sqs.QueueAttributeNameMaximumMessageSize:            {1024, 1 << 20},
	sqs.QueueAttributeNameMessageRetentionPeriod:        {60, 1209600},
	sqs.QueueAttributeNameReceiveMessageWaitTimeSeconds: {0, 20},
	sqs.QueueAttributeNameVisibilityTimeout:             {0, 43200},
}

// known are the names of attributes that can be asked for.
var known = []string{
	sqs.QueueAttributeNamePolicy, sqs.QueueAttributeNameVisibilityTimeout, sqs.QueueAttributeNameMaximumMessageSize,
	sqs.QueueAttributeNameMessageRetentionPeriod, sqs.QueueAttributeNameApproximateNumberOfMessages,
	sqs.QueueAttributeNameApproximateNumberOfMessagesNotVisible, sqs.QueueAttributeNameCreatedTimestamp,
	sqs.QueueAttributeNameLastModifiedTimestamp, sqs.QueueAttributeNameQueueArn,
	sqs.QueueAttributeNameApproximateNumberOfMessagesDelayed, sqs.QueueAttributeNameDelaySeconds,
	sqs.QueueAttributeNameReceiveMessageWaitTimeSeconds, sqs.QueueAttributeNameRedrivePolicy, sqs.QueueAttributeNameFifoQueue,
	sqs.QueueAttributeNameContentBasedDeduplication, sqs.QueueAttributeNameKmsMasterKeyId,
	sqs.QueueAttributeNameKmsDataKeyReusePeriodSeconds, sqs.QueueAttributeNameDeduplicationScope,
	sqs.QueueAttributeNameFifoThroughputLimit, sqs.QueueAttributeNameRedriveAllowPolicy, sqs.QueueAttributeNameSqsManagedSseEnabled,
}

// set writes attributes that a caller gives into those of a queue. An empty policy takes the
// policy away.
func set(to, given map[string]string) error {
	for name, value := range given {
		if b, number := bounds[name]; number {
			n, err := strconv.Atoi(value)
			if err != nil || n < b[0] || n > b[1] {
				return invalidAttribute(name)
			}
			to[name] = strconv.Itoa(n)
			continue
		}
		switch name {
		case sqs.QueueAttributeNamePolicy:
			if value == "" {
				delete(to, name)
				continue
			}
			if _, err := authz.Parse([]byte(value), authz.Resource); err != nil {
				return invalidAttribute(name)
			}
		case sqs.QueueAttributeNameRedrivePolicy:
			if value == "" {
				delete(to, name)
				continue
			}
			if _, ok := parseRedrive(value); !ok {
				return invalidRedrive(value, "Redrive policy is not a valid JSON map.")
			}
		case sqs.QueueAttributeNameSqsManagedSseEnabled:
			if value != "true" && value != "false" {
				return invalidAttribute(name)
			}
		case sqs.QueueAttributeNameFifoQueue: // "false" is what there is
			continue
		case sqs.QueueAttributeNameKmsMasterKeyId:
			if value == "" {
				continue
			}
			return notYet(name)
		default:
			if slices.Contains(known, name) {
				return notYet(name)
			}
			return &sqs.InvalidAttributeName{Message: new("Unknown Attribute " + name + ".")}
		}
		to[name] = value
	}
	return nil
}

func invalidAttribute(name string) error {
	return &sqs.InvalidAttributeValue{Message: new("Invalid value for the parameter " + name + ".")}
}

func notYet(name string) error {
	return &sqs.UnsupportedOperation{Message: new("The attribute " + name + " cannot be set yet.")}
}

// A redrive says where messages go that have been received too often.
type redrive struct {
	target string // ARN
	most   int
}

// checkRedrive refuses attributes that lead the dead letters of the queue of this ARN to where no queue is, or to itself. Queues
// of other accounts and regions are none.
func checkRedrive(tx *store.Tx, home resource.Home, arn string, given map[string]string) error {
	document := given[sqs.QueueAttributeNameRedrivePolicy]
	r, ok := parseRedrive(document)
	if !ok { // it has none, or set has refused it
		return nil
	}
	q, ok := tx.Queues.Get(r.target)
	if !ok || !q.Deleted.IsZero() || q.Home != home || q.ARN == arn {
		return invalidRedrive(document, "Dead letter target does not exist.")
	}
	return nil
}

func invalidRedrive(document, reason string) error {
	return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s", document, reason)
}

// parseRedrive reads a RedrivePolicy. maxReceiveCount comes as a number or as a string.
func parseRedrive(document string) (redrive, bool) {
	var p struct {
		Target string          `json:"deadLetterTargetArn"`
		Most   json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(document), &p) != nil || !strings.HasPrefix(p.Target, "arn:aws:sqs:") {
		return redrive{}, false
	}
	n, err := strconv.Atoi(strings.Trim(string(p.Most), `"`))
	return redrive{p.Target, n}, err == nil && n >= 1 && n <= 1000
}
