package resource

import "time"

// A Queue is an SQS queue. Its key is its ARN. service/sqs writes it.
type Queue struct {
	Home
	ARN        string
	Name       string
	Created    time.Time
	Modified   time.Time
	Deleted    time.Time // of one that is gone: its name is not free at once
	Purged     time.Time
	Generation int               // goes up when it is purged or deleted: see Message
	Attributes map[string]string // that can be set, by SQS's names, defaults included
	Tags       Tags
}

// A Message is a message in a queue. Its key is MessageKey.
// service/sqs writes it, and eventbus.Publish where a rule leads to the queue.
type Message struct {
	Queue      string // ARN
	ID         string
	Body       string
	Attributes map[string]MessageAttribute
	Group      string // that its sender says it is of
	Sender     string // unique id of who sent it
	Sent       time.Time
	Visible    time.Time // from when it can be received, again
	Received   time.Time // for the first time
	Receives   int
	Source     string // ARN of the queue that gave it up to this one
	Generation int    // of its queue when it came: one of an earlier generation is gone, and its record is deleted by and by
}

// MessageKey is the key of a message: those of a queue stand together, in the order in which they
// were sent.
func MessageKey(queue string, sent time.Time, id string) string {
	return MessagesOf(queue) + sent.UTC().Format("20060102T150405.000000000") + "|" + id
}

// MessagesOf is what the keys of a queue's messages begin with.
func MessagesOf(queue string) string { return queue + "|" }

// A MessageAttribute is a named value beside a message's body.
type MessageAttribute struct {
	Type   string // String, Number, Binary, and what a sender adds after a dot
	Text   string
	Binary []byte
}
