package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	gensqs "ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/service/sqs"
)

// A clock goes when a test says so, so that no visibility timeout depends on the machine.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	asked func() // what is done when somebody looks at it
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != nil {
		c.asked()
	}
	return c.at
}

func (c *clock) when(asked func()) { c.mu.Lock(); defer c.mu.Unlock(); c.asked = asked }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

type world struct {
	*testing.T
	*sdk.Client
	clock *clock
	door  *identitytest.Door
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := &clock{at: time.Now()}
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{gensqs.Service(sqs.New(d.Store, c.now))}
	})
	return &world{T: t, Client: sdk.NewFromConfig(d.AsRoot()), clock: c, door: d}
}

func (w *world) queue(name string, attributes map[string]string) *string {
	w.Helper()
	out, err := w.CreateQueue(w.Context(), &sdk.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		w.Fatal(err)
	}
	return out.QueueUrl
}

func (w *world) send(url *string, body string) {
	w.Helper()
	if _, err := w.SendMessage(w.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: &body}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) receive(url *string, most int32) []types.Message {
	w.Helper()
	out, err := w.ReceiveMessage(w.Context(), &sdk.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: most, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		w.Fatal(err)
	}
	return out.Messages
}

func bodies(messages []types.Message) (out []string) {
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return out
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestMessageLife(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", map[string]string{"VisibilityTimeout": "10"})
	if !strings.HasSuffix(*url, "/000000000000/q") {
		t.Errorf("its URL is %s", *url)
	}
	// The SDK compares the checksums of what it sends and receives.
	_, err := w.SendMessage(t.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String("one"), MessageAttributes: map[string]types.MessageAttributeValue{
		"b": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}}, "a": {DataType: aws.String("String.x"), StringValue: aws.String("v")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Millisecond)
	w.send(url, "two")
	got := w.receive(url, 10)
	if !slices.Equal(bodies(got), []string{"one", "two"}) || string(got[0].MessageAttributes["b"].BinaryValue) != "\x00\x01" || got[0].Attributes["ApproximateReceiveCount"] != "1" {
		t.Fatalf("received %+v", got)
	}
	if again := w.receive(url, 10); len(again) != 0 {
		t.Errorf("received in flight: %v", bodies(again))
	}
	attributes, err := w.GetQueueAttributes(t.Context(), &sdk.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := attributes.Attributes; a["ApproximateNumberOfMessagesNotVisible"] != "2" || a["VisibilityTimeout"] != "10" || a["QueueArn"] != "arn:aws:sqs:us-west-2:000000000000:q" {
		t.Errorf("attributes %v", a)
	}
	if _, err := w.DeleteMessage(t.Context(), &sdk.DeleteMessageInput{QueueUrl: url, ReceiptHandle: got[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ChangeMessageVisibility(t.Context(), &sdk.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 60}); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(11 * time.Second)
	if early := w.receive(url, 10); len(early) != 0 {
		t.Errorf("received %v, which is hidden for longer", bodies(early))
	}
	w.clock.pass(50 * time.Second)
	second := w.receive(url, 10)
	if !slices.Equal(bodies(second), []string{"two"}) || second[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Fatalf("received %+v", second)
	}
	// The handle of the first receive deletes nothing any more.
	if _, err := w.DeleteMessage(t.Context(), &sdk.DeleteMessageInput{QueueUrl: url, ReceiptHandle: got[1].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(11 * time.Second)
	if third := w.receive(url, 1); len(third) != 1 {
		t.Error("a stale handle has deleted a message")
	}
}

// A receive that waits is woken by the message, not by a clock: nothing passes here.
func TestLongPoll(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second) // and not as long as it waits
	defer cancel()
	looked := make(chan struct{}) // in the transaction that finds nothing: what is sent now comes after that
	w.clock.when(sync.OnceFunc(func() { close(looked) }))
	got := make(chan string, 1)
	go func() {
		out, err := w.ReceiveMessage(ctx, &sdk.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		if err != nil || len(out.Messages) != 1 {
			got <- fmt.Sprintf("%v, %v", out, err)
			return
		}
		got <- *out.Messages[0].Body
	}()
	<-looked
	w.send(url, "hello")
	if s := <-got; s != "hello" {
		t.Error(s)
	}
}

func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	dead := w.queue("dead", nil)
	url := w.queue("q", map[string]string{
		"VisibilityTimeout": "0", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-west-2:000000000000:dead","maxReceiveCount":"2"}`,
	})
	w.send(url, "x")
	for range 2 {
		if got := w.receive(url, 1); len(got) != 1 {
			t.Fatalf("received %v", got)
		}
	}
	if got := w.receive(url, 1); len(got) != 0 {
		t.Errorf("received a third time: %v", bodies(got))
	}
	if got := w.receive(dead, 1); len(got) != 1 || got[0].Attributes["DeadLetterQueueSourceArn"] != "arn:aws:sqs:us-west-2:000000000000:q" {
		t.Errorf("dead letters: %+v", got)
	}
}

// Dead letters have to go to another queue, of the same account and region.
func TestDeadLetterTarget(t *testing.T) {
	w := newWorld(t)
	url, gone := w.queue("q", nil), w.queue("gone", nil)
	w.queue("dead", nil)
	if _, err := w.DeleteQueue(t.Context(), &sdk.DeleteQueueInput{QueueUrl: gone}); err != nil {
		t.Fatal(err)
	}
	elsewhere := sdk.NewFromConfig(w.door.AsRoot(), func(o *sdk.Options) { o.Region = "us-east-1" })
	if _, err := elsewhere.CreateQueue(t.Context(), &sdk.CreateQueueInput{QueueName: aws.String("dead")}); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"us-west-2:000000000000:dead": "<nil>", "us-west-2:000000000000:none": "InvalidParameterValue", "us-west-2:000000000000:gone": "InvalidParameterValue",
		"us-west-2:000000000000:q": "InvalidParameterValue", "us-east-1:000000000000:dead": "InvalidParameterValue", "us-west-2:000000000001:dead": "InvalidParameterValue",
	} {
		policy := map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:` + target + `","maxReceiveCount":3}`}
		_, err := w.SetQueueAttributes(t.Context(), &sdk.SetQueueAttributesInput{QueueUrl: url, Attributes: policy})
		if got := code(err); got != want || err != nil && !strings.Contains(err.Error(), "is invalid. Reason: Dead letter target does not exist.") {
			t.Errorf("%s: %v", target, err)
		}
		if strings.HasSuffix(target, ":q") {
			continue
		}
		name := "for-" + strings.ReplaceAll(target, ":", "-")
		if _, err := w.CreateQueue(t.Context(), &sdk.CreateQueueInput{QueueName: &name, Attributes: policy}); code(err) != want {
			t.Errorf("a new queue, %s: %v", target, err)
		}
	}
}

// A sender's group is told to receivers. Nothing here is fair or unfair to groups.
func TestMessageGroups(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", nil)
	if _, err := w.SendMessage(t.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x"), MessageGroupId: aws.String("tenant-1")}); err != nil {
		t.Fatal(err)
	}
	out, err := w.SendMessageBatch(t.Context(), &sdk.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("y"), MessageGroupId: aws.String("tenant-1")},
		{Id: aws.String("b"), MessageBody: aws.String("z"), MessageGroupId: aws.String("tenant 1")},
		{Id: aws.String("c"), MessageBody: aws.String("z"), MessageDeduplicationId: aws.String("1")},
	}})
	if err != nil || len(out.Successful) != 1 || len(out.Failed) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	w.send(url, "none")
	groups := 0
	for _, m := range w.receive(url, 10) {
		group, ok := m.Attributes["MessageGroupId"]
		if ok != (*m.Body != "none") || ok && group != "tenant-1" {
			t.Errorf("%s is of %q", *m.Body, group)
		}
		if ok {
			groups++
		}
	}
	if groups != 2 {
		t.Errorf("%d messages have a group", groups)
	}
}

func TestDelayAndRetention(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", map[string]string{"DelaySeconds": "5", "MessageRetentionPeriod": "60"})
	w.send(url, "x")
	if got := w.receive(url, 1); len(got) != 0 {
		t.Error("a delayed message is received")
	}
	w.clock.pass(5 * time.Second)
	if got := w.receive(url, 1); len(got) != 1 {
		t.Error("its delay is over, and it is not received")
	}
	w.clock.pass(55 * time.Second)
	if got := w.receive(url, 1); len(got) != 0 {
		t.Error("an old message is received")
	}
}

func TestBatches(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", map[string]string{"MaximumMessageSize": "1024"})
	out, err := w.SendMessageBatch(t.Context(), &sdk.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("1")}, {Id: aws.String("b"), MessageBody: aws.String(strings.Repeat("x", 1025))},
	}})
	if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Code != "InvalidParameterValue" {
		t.Fatalf("%+v, %v", out, err)
	}
	got := w.receive(url, 10)
	deleted, err := w.DeleteMessageBatch(t.Context(), &sdk.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: aws.String("nonsense")},
	}})
	if err != nil || len(deleted.Successful) != 1 || len(deleted.Failed) != 1 || *deleted.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Fatalf("%+v, %v", deleted, err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	url := w.queue("q", map[string]string{"VisibilityTimeout": "10"})
	create := func(name string, attributes map[string]string) error {
		_, err := w.CreateQueue(t.Context(), &sdk.CreateQueueInput{QueueName: &name, Attributes: attributes})
		return err
	}
	receive := func(most, wait int32) error {
		_, err := w.ReceiveMessage(t.Context(), &sdk.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: most, WaitTimeSeconds: wait})
		return err
	}
	missing := aws.String(strings.TrimSuffix(*url, "q") + "none")
	_, none := w.ReceiveMessage(t.Context(), &sdk.ReceiveMessageInput{QueueUrl: missing})
	_, noURL := w.GetQueueUrl(t.Context(), &sdk.GetQueueUrlInput{QueueName: aws.String("none")})
	_, empty := w.SendMessage(t.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String("a\x01b")})
	_, long := w.SendMessage(t.Context(), &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String("a"), DelaySeconds: 901})
	_, handle := w.DeleteMessage(t.Context(), &sdk.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("x")})
	for what, c := range map[string]struct {
		err  error
		code string
	}{
		"a queue that is not there":  {none, "AWS.SimpleQueueService.NonExistentQueue"},
		"the URL of none":            {noURL, "AWS.SimpleQueueService.NonExistentQueue"},
		"the same again":             {create("q", map[string]string{"VisibilityTimeout": "10"}), "<nil>"},
		"the same, other attributes": {create("q", map[string]string{"VisibilityTimeout": "11"}), "QueueAlreadyExists"},
		"a name":                     {create("a b", nil), "InvalidParameterValue"},
		"an attribute":               {create("r", map[string]string{"VisibilityTimeout": "43201"}), "InvalidAttributeValue"},
		"an attribute not to be set": {create("r", map[string]string{"QueueArn": "red"}), "AWS.SimpleQueueService.UnsupportedOperation"},
		"a policy":                   {create("r", map[string]string{"Policy": "{}"}), "InvalidAttributeValue"},
		"a key of KMS":               {create("r", map[string]string{"KmsMasterKeyId": "alias/x"}), "AWS.SimpleQueueService.UnsupportedOperation"},
		"a FIFO queue":               {create("r.fifo", map[string]string{"FifoQueue": "true"}), "AWS.SimpleQueueService.UnsupportedOperation"},
		"eleven messages":            {receive(11, 0), "InvalidParameterValue"},
		"a long wait":                {receive(1, 21), "InvalidParameterValue"},
		"characters":                 {empty, "InvalidMessageContents"},
		"a long delay":               {long, "InvalidParameterValue"},
		"a handle":                   {handle, "ReceiptHandleIsInvalid"},
	} {
		if got := code(c.err); got != c.code {
			t.Errorf("%s: %s, want %s", what, got, c.code)
		}
	}
	if _, err := w.DeleteQueue(t.Context(), &sdk.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	if got := code(create("q", nil)); got != "AWS.SimpleQueueService.QueueDeletedRecently" {
		t.Errorf("made again at once: %s", got)
	}
	if out, err := w.ListQueues(t.Context(), &sdk.ListQueuesInput{}); err != nil || len(out.QueueUrls) != 0 {
		t.Errorf("left: %v, %v", out.QueueUrls, err)
	}
}

func TestTagsAndPages(t *testing.T) {
	w := newWorld(t)
	url := w.queue("a", nil)
	w.queue("b", nil)
	w.queue("c", nil)
	if _, err := w.TagQueue(t.Context(), &sdk.TagQueueInput{QueueUrl: url, Tags: map[string]string{"k": "v", "l": "w"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.UntagQueue(t.Context(), &sdk.UntagQueueInput{QueueUrl: url, TagKeys: []string{"l"}}); err != nil {
		t.Fatal(err)
	}
	if out, err := w.ListQueueTags(t.Context(), &sdk.ListQueueTagsInput{QueueUrl: url}); err != nil || len(out.Tags) != 1 || out.Tags["k"] != "v" {
		t.Errorf("tags %v, %v", out, err)
	}
	var names []string
	for p := sdk.NewListQueuesPaginator(w.Client, &sdk.ListQueuesInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range out.QueueUrls {
			names = append(names, u[len(u)-1:])
		}
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("listed %v", names)
	}
}
