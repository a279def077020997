package sqs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/sqs"
	"ekster.dev/ekster/internal/store"
)

// fill puts n messages into a queue, as many at once as no caller could send.
func (w *world) fill(name string, n int) {
	w.Helper()
	arn, now := "arn:aws:sqs:us-west-2:000000000000:"+name, w.clock.now()
	err := w.door.Store.Update(w.Context(), func(tx *store.Tx) error {
		q, _ := tx.Queues.Get(arn)
		for i := range n {
			id := fmt.Sprintf("%06d", i)
			tx.Messages.Put(resource.MessageKey(arn, now, id), resource.Message{Queue: arn, ID: id, Body: "x", Sent: now, Visible: now, Generation: q.Generation})
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// records is how many messages are stored, gone or not.
func (w *world) records() (n int) {
	w.Helper()
	err := w.door.Store.View(func(tx *store.Tx) error {
		for range tx.Messages.All() {
			n++
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// largest is how many records the largest commit from now on deletes.
func (w *world) largest() *int {
	most := new(int)
	w.door.Store.Subscribe(func(changes []store.Change) {
		n := 0
		for _, c := range changes {
			if c.Deleted {
				n++
			}
		}
		*most = max(*most, n)
	})
	return most
}

func TestManyMessagesAreDeletedInSeveralCommits(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", map[string]string{"MessageRetentionPeriod": "60"})
	w.fill("q", 1200)
	most := w.largest()
	if _, err := w.PurgeQueue(t.Context(), &sdk.PurgeQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	if n := w.records(); n != 0 {
		t.Errorf("%d messages are left of a queue that was purged", n)
	}
	w.send(url, "after")
	if got := bodies(w.receive(url, 10)); len(got) != 1 {
		t.Errorf("received %v", got)
	}
	if _, err := w.PurgeQueue(t.Context(), &sdk.PurgeQueueInput{QueueUrl: url}); code(err) != "AWS.SimpleQueueService.PurgeQueueInProgress" {
		t.Errorf("purged twice in a minute: %v", err)
	}
	w.fill("q", 1200)
	w.clock.pass(time.Minute)
	w.send(url, "new")
	if got := bodies(w.receive(url, 10)); len(got) != 1 || got[0] != "new" {
		t.Errorf("received %v", got)
	}
	if n, err := sqs.Sweep(t.Context(), w.door.Store, w.clock.now()); err != nil || n != 1201 {
		t.Errorf("swept %d, %v", n, err)
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d messages are left, one has not expired", n)
	}
	w.fill("q", 1200)
	if _, err := w.DeleteQueue(t.Context(), &sdk.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	if n := w.records(); n != 0 {
		t.Errorf("%d messages are left of a queue that was deleted", n)
	}
	if *most > 500 {
		t.Errorf("a commit deletes %d messages", *most)
	}
}

// What a purge or a deletion has not come to, since the daemon was killed, is not received: not by the next queue of that
// name either. Dead letters do not share their first queue's fate.
func TestWhatIsLeftOfAPurgeIsGone(t *testing.T) {
	w := newWorld(t)
	dead := w.queue("dead", nil)
	url := w.queue("q", map[string]string{
		"VisibilityTimeout": "0", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-west-2:000000000000:dead","maxReceiveCount":1}`,
	})
	left := func(when string) {
		t.Helper()
		out, err := w.GetQueueAttributes(t.Context(), &sdk.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil || out.Attributes["ApproximateNumberOfMessages"] != "0" {
			t.Errorf("%s: %v, %v", when, out, err)
		}
		if got := w.receive(url, 10); len(got) != 0 {
			t.Errorf("%s: received %v", when, bodies(got))
		}
	}
	kept := func() (messages []resource.Message) {
		if err := w.door.Store.View(func(tx *store.Tx) error {
			for _, m := range tx.Messages.All() {
				messages = append(messages, m)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return messages
	}
	killed := func(messages []resource.Message) { // before it had deleted these
		if err := w.door.Store.Update(t.Context(), func(tx *store.Tx) error {
			for _, m := range messages {
				tx.Messages.Put(resource.MessageKey(m.Queue, m.Sent, m.ID), m)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.send(url, "x")
	handle := w.receive(url, 1)[0].ReceiptHandle
	before := kept()
	if _, err := w.PurgeQueue(t.Context(), &sdk.PurgeQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	killed(before)
	left("purged")
	if _, err := w.ChangeMessageVisibility(t.Context(), &sdk.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: handle, VisibilityTimeout: 9}); code(err) != "AWS.SimpleQueueService.MessageNotInflight" {
		t.Errorf("hidden after the purge: %v", err)
	}
	if _, err := w.DeleteQueue(t.Context(), &sdk.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	killed(before)
	w.clock.pass(time.Minute)
	url = w.queue("q", map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-west-2:000000000000:dead","maxReceiveCount":1}`})
	left("made again")
	w.send(url, "y")
	w.receive(url, 1)
	if _, err := w.PurgeQueue(t.Context(), &sdk.PurgeQueueInput{QueueUrl: dead}); err != nil {
		t.Fatal(err)
	}
	w.receive(url, 1) // which moves it to a queue that has been purged since it was sent
	if got := bodies(w.receive(dead, 1)); len(got) != 1 || got[0] != "y" {
		t.Errorf("dead letters: %v", got)
	}
	if n, err := sqs.Sweep(t.Context(), w.door.Store, w.clock.now()); err != nil || n != 1 || len(kept()) != 1 {
		t.Errorf("swept %d, %v", n, err)
	}
}

// A deleted queue's record goes when its name is free again and none of its messages is left.
func TestSweepForgetsDeletedQueues(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", nil)
	if _, err := w.DeleteQueue(t.Context(), &sdk.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pass time.Duration
		want int
	}{{59 * time.Second, 0}, {time.Second, 1}, {0, 0}} {
		w.clock.pass(c.pass)
		if n, err := sqs.Sweep(t.Context(), w.door.Store, w.clock.now()); err != nil || n != c.want {
			t.Errorf("%s later swept %d, %v", c.pass, n, err)
		}
	}
}

// A message is as long as it is, and not as it is written in JSON.
func TestTheLongestMessage(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", nil)
	body := strings.Repeat(`"`, 1<<20)
	w.send(url, body)
	if got := w.receive(url, 1); len(got) != 1 || *got[0].Body != body {
		t.Errorf("received %d messages", len(got))
	}
	_, err := w.SendMessage(t.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String(body + "x")})
	if code(err) != "InvalidParameterValue" {
		t.Errorf("one byte more: %v", err)
	}
}

// A receive is one transaction: of long messages it brings some.
func TestAReceiveOfLongMessages(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", nil)
	for range 3 {
		w.send(url, strings.Repeat("x", 400<<10))
	}
	for _, want := range []int{2, 1, 0} {
		if got := w.receive(url, 10); len(got) != want {
			t.Errorf("received %d, want %d", len(got), want)
		}
	}
}
