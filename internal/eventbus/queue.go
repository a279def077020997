package eventbus

import (
	"strconv"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Enqueue puts a message into a queue, which shows it when delay is over, and returns it with
// its id.
func Enqueue(tx *store.Tx, q resource.Queue, m resource.Message, delay time.Duration, now time.Time) resource.Message {
	m.Queue, m.Generation, m.ID = q.ARN, q.Generation, awsid.UUID()
	m.Sent, m.Visible = now, now.Add(delay)
	tx.Messages.Put(resource.MessageKey(q.ARN, now, m.ID), m)
	return m
}

// delay is a queue's own.
func delay(q resource.Queue) time.Duration { return Seconds(q, "DelaySeconds") }

// Seconds is an attribute of a queue that is a number of seconds: package service/sqs lets
// nothing else into it.
func Seconds(q resource.Queue, attribute string) time.Duration {
	n, err := strconv.Atoi(q.Attributes[attribute])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
