package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	genevents "ekster.dev/ekster/gen/events"
	gensqs "ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/events"
	queues "ekster.dev/ekster/internal/service/sqs"
	"ekster.dev/ekster/internal/store"
)

const (
	account = identitytest.Account
	region  = identitytest.Region
)

type world struct {
	*testing.T
	*sdk.Client
	queues *sqs.Client
	door   *identitytest.Door
	failed []eventbus.Failure
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t}
	w.door = identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		failed := func(f eventbus.Failure) { w.failed = append(w.failed, f) }
		d.Store.Derive(eventbus.Derive(time.Now, failed))
		return []*awsapi.Service{genevents.Service(events.New(d.Store, time.Now, failed)), gensqs.Service(queues.New(d.Store, time.Now))}
	})
	w.Client, w.queues = sdk.NewFromConfig(w.door.AsRoot()), sqs.NewFromConfig(w.door.AsRoot())
	return w
}

// queue makes a queue whose policy lets rules of that name send to it, and returns its URL and ARN.
func (w *world) queue(name, rule string) (url *string, arn string) {
	w.Helper()
	arn = "arn:aws:sqs:" + region + ":" + account + ":" + name
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["events.amazonaws.com","sqs.amazonaws.com"]},`+
		`"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:%s:%s:rule/%s"}}}]}`, arn, region, account, rule)
	out, err := w.queues.CreateQueue(w.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"Policy": policy}})
	if err != nil {
		w.Fatal(err)
	}
	return out.QueueUrl, arn
}

func (w *world) rule(name, pattern string, targets ...types.Target) {
	w.Helper()
	if _, err := w.PutRule(w.Context(), &sdk.PutRuleInput{Name: &name, EventPattern: &pattern}); err != nil {
		w.Fatal(err)
	}
	if len(targets) == 0 {
		return
	}
	if _, err := w.PutTargets(w.Context(), &sdk.PutTargetsInput{Rule: &name, Targets: targets}); err != nil {
		w.Fatal(err)
	}
}

// received takes the messages that are in a queue out of it.
func (w *world) received(url *string) (out []string) {
	w.Helper()
	for {
		got, err := w.queues.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10})
		if err != nil {
			w.Fatal(err)
		}
		if len(got.Messages) == 0 {
			return out
		}
		for _, m := range got.Messages {
			out = append(out, *m.Body)
		}
	}
}

func (w *world) put(source, detail string) *sdk.PutEventsOutput {
	w.Helper()
	out, err := w.PutEvents(w.Context(), &sdk.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: &source, DetailType: aws.String("Test"), Detail: &detail, Resources: []string{"arn:x"}},
	}})
	if err != nil {
		w.Fatal(err)
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

// What happens to an instance reaches the queue of whoever has a rule for it: what Karpenter's
// and the node termination handler's rules are made for.
func TestInstanceEvents(t *testing.T) {
	w := newWorld(t)
	url, arn := w.queue("interruptions", "*")
	w.rule("states", `{"source":["aws.ec2"],"detail-type":["EC2 Instance State-change Notification"],"detail":{"state":["running","shutting-down"]}}`, types.Target{Id: aws.String("q"), Arn: &arn})
	w.rule("spot", `{"source":["aws.ec2"],"detail-type":["EC2 Spot Instance Interruption Warning","EC2 Instance Rebalance Recommendation"]}`, types.Target{Id: aws.String("q"), Arn: &arn})
	w.rule("hooks", `{"source":["aws.autoscaling"]}`, types.Target{Id: aws.String("q"), Arn: &arn})

	home := resource.Home{Account: account, Region: region}
	i := resource.Instance{Home: home, ID: "i-1", Spec: resource.InstanceSpec{Zone: "us-west-2a", SpotRequest: "sir-1"}}
	r := resource.SpotRequest{Home: home, ID: "sir-1", Instance: "i-1", State: resource.SpotActive}
	g := resource.AutoScalingGroup{Home: home, ARN: "arn:g", Name: "g"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	steps := []struct {
		change func(tx *store.Tx)
		want   []string // detail-type and what of the detail tells the events apart
	}{
		{func(*store.Tx) { i.Status.State = resource.InstancePending }, nil},
		{func(*store.Tx) { i.Status.State = resource.InstanceRunning }, []string{"EC2 Instance State-change Notification running"}},
		{func(*store.Tx) { i.Status.Booted = true }, nil},
		{func(*store.Tx) { r.Rebalance = at }, []string{"EC2 Instance Rebalance Recommendation "}},
		{func(*store.Tx) { r.Interruption = at }, []string{"EC2 Spot Instance Interruption Warning terminate"}},
		{func(*store.Tx) { r.StatusCode = "x" }, nil},
		{func(tx *store.Tx) {
			tx.AutoScalingGroups.Put(g.ARN, g)
			tx.GroupInstances.Put("i-1", resource.GroupInstance{Instance: "i-1", Group: g.ARN, Lifecycle: resource.MemberTerminatingWait, Actions: []resource.LifecycleAction{{Hook: resource.LifecycleHook{Name: "h"}, Token: "tok"}}})
		}, []string{"EC2 Instance-terminate Lifecycle Action tok"}},
		{func(*store.Tx) { i.Terminating = true }, []string{"EC2 Instance State-change Notification shutting-down"}},
	}
	for n, s := range steps {
		w.door.Update(t, func(tx *store.Tx) {
			s.change(tx)
			tx.Instances.Put(i.ID, i)
			tx.SpotRequests.Put(r.ID, r)
		})
		var got []string
		for _, body := range w.received(url) {
			var e struct {
				Account, Region, ID string
				DetailType          string `json:"detail-type"`
				Detail              map[string]string
				Resources           []string
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Account != account || e.Region != region || e.ID == "" || len(e.Resources) != 1 {
				t.Fatalf("%s: %v", body, err)
			}
			if id := e.Detail["instance-id"] + e.Detail["EC2InstanceId"]; id != "i-1" {
				t.Errorf("the event is about %q", id)
			}
			got = append(got, e.DetailType+" "+e.Detail["state"]+e.Detail["instance-action"]+e.Detail["LifecycleActionToken"])
		}
		if !slices.Equal(got, s.want) {
			t.Errorf("step %d: %q, want %q", n, got, s.want)
		}
	}
	if len(w.failed) != 0 {
		t.Errorf("not delivered: %+v", w.failed)
	}
}

func TestPutEventsAndInputs(t *testing.T) {
	w := newWorld(t)
	url, arn := w.queue("q", "r")
	w.rule("r", `{"source":["mine"],"detail":{"n":[{"numeric":[">",1]}]}}`,
		types.Target{Id: aws.String("all"), Arn: &arn},
		types.Target{Id: aws.String("const"), Arn: &arn, Input: aws.String(`{"c":1}`)},
		types.Target{Id: aws.String("part"), Arn: &arn, InputPath: aws.String("$.detail")},
		types.Target{Id: aws.String("template"), Arn: &arn, InputTransformer: &types.InputTransformer{
			InputPathsMap: map[string]string{"n": "$.detail.n", "s": "$.detail.s"}, InputTemplate: aws.String(`{"n":<n>,"s":"<s>","rule":"<aws.events.rule-name>"}`),
		}})
	if out := w.put("mine", `{"n":1}`); out.FailedEntryCount != 0 || *out.Entries[0].EventId == "" {
		t.Errorf("%+v", out)
	}
	if got := w.received(url); len(got) != 0 {
		t.Errorf("an event that does not match: %q", got)
	}
	w.put("mine", `{"n":2,"s":"a \"b\""}`)
	got := w.received(url)
	slices.Sort(got)
	if len(got) != 4 || got[0] != `{"c":1}` || got[1] != `{"n":2,"s":"a \"b\"","rule":"r"}` || got[2] != `{"n":2,"s":"a \"b\""}` || !strings.Contains(got[3], `"detail-type":"Test"`) {
		t.Errorf("received %q", got)
	}
	if _, err := w.DisableRule(t.Context(), &sdk.DisableRuleInput{Name: aws.String("r")}); err != nil {
		t.Fatal(err)
	}
	w.put("mine", `{"n":3}`)
	if got := w.received(url); len(got) != 0 {
		t.Errorf("a rule that is off: %q", got)
	}
	for source, want := range map[string]string{"aws.ec2": "NotAuthorizedForSourceException", "": "InvalidArgument"} {
		if out := w.put(source, `{}`); out.FailedEntryCount != 1 || *out.Entries[0].ErrorCode != want {
			t.Errorf("source %q: %+v", source, out)
		}
	}
	if out := w.put("mine", `[1`); out.FailedEntryCount != 1 || *out.Entries[0].ErrorCode != "MalformedDetail" {
		t.Errorf("%+v", out)
	}
}

// A queue that does not let the rule in gets nothing, and its dead-letter queue gets it.
func TestDeadLetter(t *testing.T) {
	w := newWorld(t)
	closed, closedARN := w.queue("closed", "another")
	dead, deadARN := w.queue("dead", "r")
	w.rule("r", `{"source":["mine"]}`, types.Target{Id: aws.String("t"), Arn: &closedARN, DeadLetterConfig: &types.DeadLetterConfig{Arn: &deadARN}})
	w.put("mine", `{}`)
	if got := w.received(closed); len(got) != 0 {
		t.Errorf("its policy does not let this rule in: %q", got)
	}
	if got := w.received(dead); len(got) != 1 || len(w.failed) != 0 {
		t.Errorf("dead letters: %q, failures: %v", got, w.failed)
	}
	w.rule("r", `{"source":["mine"]}`, types.Target{Id: aws.String("t"), Arn: &closedARN})
	if w.put("mine", `{}`); len(w.failed) != 1 || w.failed[0].Target != closedARN {
		t.Errorf("failures without a dead-letter queue: %v", w.failed)
	}
}

func TestRules(t *testing.T) {
	w := newWorld(t)
	_, arn := w.queue("q", "r")
	w.rule("r", `{"source":["mine"]}`, types.Target{Id: aws.String("t"), Arn: &arn})
	w.rule("s", `{"source":["mine"]}`)
	d, err := w.DescribeRule(t.Context(), &sdk.DescribeRuleInput{Name: aws.String("r")})
	if err != nil || d.State != types.RuleStateEnabled || *d.EventBusName != "default" || *d.Arn != "arn:aws:events:us-west-2:000000000000:rule/r" {
		t.Errorf("%+v, %v", d, err)
	}
	l, err := w.ListRules(t.Context(), &sdk.ListRulesInput{Limit: aws.Int32(1)})
	if err != nil || len(l.Rules) != 1 || l.NextToken == nil {
		t.Fatalf("%+v, %v", l, err)
	}
	if l, err = w.ListRules(t.Context(), &sdk.ListRulesInput{NextToken: l.NextToken}); err != nil || len(l.Rules) != 1 || *l.Rules[0].Name != "s" || l.NextToken != nil {
		t.Errorf("%+v, %v", l, err)
	}
	if n, err := w.ListRuleNamesByTarget(t.Context(), &sdk.ListRuleNamesByTargetInput{TargetArn: &arn}); err != nil || !slices.Equal(n.RuleNames, []string{"r"}) {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := w.TagResource(t.Context(), &sdk.TagResourceInput{ResourceARN: d.Arn, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}); err != nil {
		t.Fatal(err)
	}
	if tags, err := w.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceARN: d.Arn}); err != nil || len(tags.Tags) != 1 {
		t.Errorf("%+v, %v", tags, err)
	}
	// An ARN that is not the rule's own is not its: it is what the caller is checked for.
	for foreign, code := range map[string]string{
		"arn:aws:events:us-west-2:111122223333:rule/r":             "ResourceNotFoundException",
		"arn:aws:events:eu-west-1:000000000000:rule/r":             "ResourceNotFoundException",
		"arn:aws:events:us-west-2:000000000000:rule/default/r":     "ResourceNotFoundException",
		"arn:aws:events:us-west-2:000000000000:event-bus/b:rule/r": "ValidationException",
		"arn:aws:sqs:us-west-2:000000000000:rule/r":                "ValidationException",
		"arn:aws:events:us-west-2:000000000000:rule/mine:rule/r":   "ResourceNotFoundException",
		"arn:aws-cn:events:us-west-2:000000000000:rule/r":          "ResourceNotFoundException",
	} {
		_, tag := w.TagResource(t.Context(), &sdk.TagResourceInput{ResourceARN: &foreign, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("w")}}})
		_, untag := w.UntagResource(t.Context(), &sdk.UntagResourceInput{ResourceARN: &foreign, TagKeys: []string{"k"}})
		_, list := w.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceARN: &foreign})
		for _, err := range []error{tag, untag, list} {
			var e smithy.APIError
			if !errors.As(err, &e) || e.ErrorCode() != code {
				t.Errorf("%s: got %v, want %s", foreign, err, code)
			}
		}
	}
	put := func(change func(in *sdk.PutRuleInput)) error {
		in := &sdk.PutRuleInput{Name: aws.String("x"), EventPattern: aws.String(`{"a":["b"]}`)}
		change(in)
		_, err := w.PutRule(t.Context(), in)
		return err
	}
	target := func(t types.Target) error {
		t.Id = aws.String("x")
		_, err := w.PutTargets(w.Context(), &sdk.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{t}})
		return err
	}
	_, missing := w.DescribeRule(t.Context(), &sdk.DescribeRuleInput{Name: aws.String("none")})
	_, targets := w.DeleteRule(t.Context(), &sdk.DeleteRuleInput{Name: aws.String("r")})
	_, bus := w.ListRules(t.Context(), &sdk.ListRulesInput{EventBusName: aws.String("other")})
	for what, c := range map[string]struct {
		err  error
		code string
	}{
		"a rule that is not there": {missing, "ResourceNotFoundException"},
		"a rule with targets":      {targets, "ValidationException"},
		"another bus":              {bus, "ResourceNotFoundException"},
		"a pattern":                {put(func(in *sdk.PutRuleInput) { in.EventPattern = aws.String(`{"a":"b"}`) }), "InvalidEventPatternException"},
		"neither":                  {put(func(in *sdk.PutRuleInput) { in.EventPattern = nil }), "ValidationException"},
		"a schedule":               {put(func(in *sdk.PutRuleInput) { in.ScheduleExpression = aws.String("rate(1 minute)") }), "ValidationException"},
		"a function":               {target(types.Target{Arn: aws.String("arn:aws:lambda:us-west-2:000000000000:function:f")}), "ValidationException"},
		"no ARN":                   {target(types.Target{Arn: aws.String("q")}), "ValidationException"},
		"two inputs":               {target(types.Target{Arn: &arn, Input: aws.String("1"), InputPath: aws.String("$")}), "ValidationException"},
		"a path":                   {target(types.Target{Arn: &arn, InputPath: aws.String("detail")}), "ValidationException"},
	} {
		if got := code(c.err); got != c.code {
			t.Errorf("%s: %s, want %s", what, got, c.code)
		}
	}
	if _, err := w.RemoveTargets(t.Context(), &sdk.RemoveTargetsInput{Rule: aws.String("r"), Ids: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeleteRule(t.Context(), &sdk.DeleteRuleInput{Name: aws.String("r")}); err != nil {
		t.Error(err)
	}
	yes, err := w.TestEventPattern(t.Context(), &sdk.TestEventPatternInput{EventPattern: aws.String(`{"source":["s"]}`),
		Event: aws.String(`{"id":"1","account":"1","source":"s","time":"t","region":"r","resources":[],"detail-type":"d","detail":{}}`)})
	if err != nil || !yes.Result {
		t.Errorf("%+v, %v", yes, err)
	}
}

// When an event happened is its sender's to say, and neither when it came in nor for how long its message is kept.
func TestAnEventOfLongAgo(t *testing.T) {
	w := newWorld(t)
	url, arn := w.queue("q", "*")
	w.rule("r", `{"source":["mine"]}`, types.Target{Id: aws.String("q"), Arn: &arn, InputTransformer: &types.InputTransformer{
		InputPathsMap: map[string]string{"t": "$.time"}, InputTemplate: aws.String(`"<t> <aws.events.event.ingestion-time>"`),
	}})
	start := time.Now().UTC().Truncate(time.Second)
	_, err := w.PutEvents(t.Context(), &sdk.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		Source: aws.String("mine"), DetailType: aws.String("Test"), Detail: aws.String("{}"), Time: aws.Time(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	got := w.received(url)
	if len(got) != 1 {
		t.Fatalf("received %v", got)
	}
	happened, came, _ := strings.Cut(strings.Trim(got[0], `"`), " ")
	at, err := time.Parse(time.RFC3339, came)
	if happened != "2001-02-03T04:05:06Z" || err != nil || at.Before(start) {
		t.Errorf("received %s", got[0])
	}
}
