package autoscaling_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

func TestScheduledActions(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 1, 3))
	put := func(name string, change func(*sdk.PutScheduledUpdateGroupActionInput)) error {
		in := &sdk.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: aws.String("g"), ScheduledActionName: &name, DesiredCapacity: aws.Int32(2)}
		change(in)
		_, err := w.PutScheduledUpdateGroupAction(ctx, in)
		return err
	}
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	past := aws.Time(time.Now().Add(-time.Hour))
	for _, c := range []struct {
		message string
		change  func(*sdk.PutScheduledUpdateGroupActionInput)
	}{
		{"Either a start time or a recurrence must be specified", func(*sdk.PutScheduledUpdateGroupActionInput) {}},
		{"Given start time is in the past", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.StartTime = past }},
		{"Given end time is in the past", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.Recurrence, in.EndTime = aws.String("0 6 * * *"), past
		}},
		{"Given end time is before start time", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.StartTime, in.EndTime = &soon, aws.Time(soon.Add(-time.Minute))
		}},
		{"Given recurrence string: 0 0 6 * * 1-5 is invalid", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.Recurrence = aws.String("0 0 6 * * 1-5") }},
		{"Given time zone: Mars/Base is invalid", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.StartTime, in.TimeZone = &soon, aws.String("Mars/Base")
		}},
		{"At least one of MinSize, MaxSize or DesiredCapacity must be specified.", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.StartTime, in.DesiredCapacity = &soon, nil
		}},
		{"Max bound, 1, must be greater than or equal to min bound, 2", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.StartTime, in.MinSize, in.MaxSize = &soon, aws.Int32(2), aws.Int32(1)
		}},
	} {
		fails(t, put("a", c.change), "ValidationError", c.message)
	}
	for name, change := range map[string]func(*sdk.PutScheduledUpdateGroupActionInput){
		"once":  func(in *sdk.PutScheduledUpdateGroupActionInput) { in.StartTime = &soon },
		"daily": func(in *sdk.PutScheduledUpdateGroupActionInput) { in.Recurrence = aws.String("0 6 * * *") },
	} {
		if err := put(name, change); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, put("twice", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.StartTime = &soon }), "AlreadyExists", "Scheduled action with the same start time already exists: once")
	describe := func(names ...string) []types.ScheduledUpdateGroupAction {
		out, err := w.DescribeScheduledActions(ctx, &sdk.DescribeScheduledActionsInput{AutoScalingGroupName: aws.String("g"), ScheduledActionNames: names})
		if err != nil {
			t.Fatal(err)
		}
		return out.ScheduledUpdateGroupActions
	}
	if got := describe(); len(got) != 2 || *got[0].ScheduledActionName != "daily" || got[0].StartTime.Hour() != 6 || !got[0].StartTime.After(time.Now()) ||
		!got[1].StartTime.Equal(soon) || *got[1].DesiredCapacity != 2 || got[1].MinSize != nil {
		t.Errorf("%+v", got)
	}
	batch, err := w.BatchPutScheduledUpdateGroupAction(ctx, &sdk.BatchPutScheduledUpdateGroupActionInput{AutoScalingGroupName: aws.String("g"), ScheduledUpdateGroupActions: []types.ScheduledUpdateGroupActionRequest{
		{ScheduledActionName: aws.String("c"), Recurrence: aws.String("1 * * * *"), MinSize: aws.Int32(0)}, {ScheduledActionName: aws.String("bad"), Recurrence: aws.String("x"), MinSize: aws.Int32(0)}}})
	if err != nil || len(batch.FailedScheduledUpdateGroupActions) != 1 || *batch.FailedScheduledUpdateGroupActions[0].ScheduledActionName != "bad" ||
		*batch.FailedScheduledUpdateGroupActions[0].ErrorMessage != "Given recurrence string: x is invalid" || len(describe("c", "bad")) != 1 {
		t.Errorf("%+v, %v", batch, err)
	}
	remove := func(name string) error {
		_, err := w.DeleteScheduledAction(ctx, &sdk.DeleteScheduledActionInput{AutoScalingGroupName: aws.String("g"), ScheduledActionName: &name})
		return err
	}
	if err := remove("c"); err != nil {
		t.Fatal(err)
	}
	fails(t, remove("c"), "ValidationError", "Scheduled action name not found")
	gone, err := w.BatchDeleteScheduledAction(ctx, &sdk.BatchDeleteScheduledActionInput{AutoScalingGroupName: aws.String("g"), ScheduledActionNames: []string{"once", "c"}})
	if err != nil || len(gone.FailedScheduledActions) != 1 || len(describe()) != 1 {
		t.Errorf("%+v, %v", gone, err)
	}
}
