package autoscaling_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func (w world) edit(t *testing.T, instance string, f func(*resource.GroupInstance)) {
	t.Helper()
	w.Update(t, func(tx *store.Tx) {
		m, _ := tx.GroupInstances.Get(instance)
		f(&m)
		tx.GroupInstances.Put(instance, m)
	})
}

func (w world) record(instance string) (m resource.GroupInstance) {
	_ = w.Store.View(func(tx *store.Tx) error { m, _ = tx.GroupInstances.Get(instance); return nil })
	return m
}

// held has an instance wait in a transition of the hook, as the group's controller does.
func (w world) held(t *testing.T, instance, state, hook, token string) {
	t.Helper()
	w.edit(t, instance, func(m *resource.GroupInstance) {
		now := time.Now()
		m.Lifecycle = state
		m.Actions = []resource.LifecycleAction{{Hook: resource.LifecycleHook{Name: hook, Heartbeat: 60}, Token: token, Since: now, Beat: now}}
	})
}

func TestLifecycleHooks(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 3))
	put := func(change func(*sdk.PutLifecycleHookInput)) error {
		in := &sdk.PutLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h")}
		change(in)
		_, err := w.PutLifecycleHook(ctx, in)
		return err
	}
	fails(t, put(func(*sdk.PutLifecycleHookInput) {}), "ValidationError", "You must specify a lifecycle transition for the lifecycle hook")
	fails(t, put(func(in *sdk.PutLifecycleHookInput) {
		in.LifecycleTransition = aws.String("autoscaling:EC2_INSTANCE_DREAMING")
	}), "ValidationError",
		"Unsupported lifecycle transition: autoscaling:EC2_INSTANCE_DREAMING. Valid values are: [autoscaling:EC2_INSTANCE_LAUNCHING, autoscaling:EC2_INSTANCE_TERMINATING]")
	launching := func(in *sdk.PutLifecycleHookInput) {
		in.LifecycleTransition = aws.String("autoscaling:EC2_INSTANCE_LAUNCHING")
	}
	if err := put(launching); err != nil {
		t.Fatal(err)
	}
	fails(t, put(func(in *sdk.PutLifecycleHookInput) { in.HeartbeatTimeout = aws.Int32(3) }), "ValidationError", "Heartbeat Timeout must be between 30 and 7200 seconds.")
	fails(t, put(func(in *sdk.PutLifecycleHookInput) { in.DefaultResult = aws.String("MAYBE") }), "ValidationError", "Lifecycle Action Result must be one of the following: [CONTINUE, ABANDON]")
	fails(t, put(func(in *sdk.PutLifecycleHookInput) {
		in.NotificationTargetARN = aws.String("arn:aws:sqs:us-west-2:000000000000:q")
	}), "NotImplemented",
		"The parameter NotificationTargetARN of lifecycle hooks is not supported yet.")
	if err := put(func(in *sdk.PutLifecycleHookInput) { in.HeartbeatTimeout = aws.Int32(600) }); err != nil {
		t.Fatal(err)
	}
	out, err := w.DescribeLifecycleHooks(ctx, &sdk.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String("g")})
	if err != nil || len(out.LifecycleHooks) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	h := out.LifecycleHooks[0]
	if *h.LifecycleTransition != "autoscaling:EC2_INSTANCE_LAUNCHING" || *h.HeartbeatTimeout != 600 || *h.GlobalTimeout != 60000 || *h.DefaultResult != "ABANDON" {
		t.Errorf("%+v", h)
	}
	remove := func() error {
		_, err := w.DeleteLifecycleHook(ctx, &sdk.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h")})
		return err
	}
	w.member(t, "g", "i-1")
	w.held(t, "i-1", resource.MemberPendingWait, "h", "t1")
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if a := w.record("i-1").Actions[0]; a.Result != resource.ActionAbandon {
		t.Errorf("a hook deleted leaves %+v", a)
	}
	fails(t, remove(), "ValidationError", "No Lifecycle Hook found with name h for AutoScalingGroup g")
}

func TestLifecycleActions(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 3))
	w.member(t, "g", "i-1")
	complete := func(token, instance *string, result string) error {
		_, err := w.CompleteLifecycleAction(ctx, &sdk.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h"),
			LifecycleActionToken: token, InstanceId: instance, LifecycleActionResult: &result})
		return err
	}
	beat := func() error {
		_, err := w.RecordLifecycleActionHeartbeat(ctx, &sdk.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: aws.String("h"), InstanceId: aws.String("i-1")})
		return err
	}
	fails(t, complete(nil, aws.String("i-1"), "CONTINUE"), "ValidationError", "No active Lifecycle Action found with instance ID i-1")
	fails(t, beat(), "ValidationError", "No active Lifecycle Action found with instance ID i-1")
	const token = "0c3b7d3e-0c3b-4c3b-8c3b-0c3b7d3e0c3b"
	w.held(t, "i-1", resource.MemberTerminatingWait, "h", token)
	fails(t, complete(nil, nil, "CONTINUE"), "ValidationError", "Either LifecycleActionToken or InstanceId must be specified")
	fails(t, complete(nil, aws.String("i-1"), "LATER"), "ValidationError", "Lifecycle Action Result must be one of the following: [CONTINUE, ABANDON]")
	fails(t, complete(aws.String("11111111-0c3b-4c3b-8c3b-0c3b7d3e0c3b"), nil, "CONTINUE"), "ValidationError",
		"No active Lifecycle Action found with token 11111111-0c3b-4c3b-8c3b-0c3b7d3e0c3b")
	before := w.record("i-1").Actions[0].Ends()
	if err := beat(); err != nil {
		t.Fatal(err)
	}
	if after := w.record("i-1").Actions[0].Ends(); !after.After(before) {
		t.Errorf("a heartbeat moves the end from %s to %s", before, after)
	}
	if err := complete(aws.String(token), nil, "ABANDON"); err != nil {
		t.Fatal(err)
	}
	if m := w.record("i-1"); m.Held() || m.Actions[0].Reason != "Lifecycle Action Completed with ABANDON Result" {
		t.Errorf("%+v", m)
	}
	fails(t, complete(aws.String(token), nil, "ABANDON"), "ValidationError", "No active Lifecycle Action found with token "+token)
	// One whose time is over is none any more, before the controller has seen it, too.
	w.held(t, "i-1", resource.MemberTerminatingWait, "h", token)
	w.edit(t, "i-1", func(m *resource.GroupInstance) { m.Actions[0].Beat = time.Now().Add(-time.Hour) })
	fails(t, beat(), "ValidationError", "No active Lifecycle Action found with instance ID i-1")
}

func TestSuspendedProcesses(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 3))
	change := func(suspend bool, names ...string) error {
		if suspend {
			_, err := w.SuspendProcesses(ctx, &sdk.SuspendProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: names})
			return err
		}
		_, err := w.ResumeProcesses(ctx, &sdk.ResumeProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: names})
		return err
	}
	fails(t, change(true, "Dance"), "ValidationError",
		"Invalid scaling process name(s): Dance. Valid scaling process names are: [AZRebalance, AddToLoadBalancer, AlarmNotification, HealthCheck, InstanceRefresh, Launch, ReplaceUnhealthy, ScheduledActions, Terminate]")
	for _, c := range []struct {
		suspend bool
		names   []string
		want    int
	}{{true, []string{"Launch", "AZRebalance"}, 2}, {true, []string{"Launch"}, 2}, {false, []string{"Launch", "Terminate"}, 1}, {true, nil, 9}, {false, nil, 0}} {
		if err := change(c.suspend, c.names...); err != nil {
			t.Fatal(err)
		}
		got := w.describe(t, "g").SuspendedProcesses
		if len(got) != c.want {
			t.Errorf("suspend %t %v: %d are suspended, want %d", c.suspend, c.names, len(got), c.want)
		}
	}
	types, err := w.DescribeScalingProcessTypes(ctx, &sdk.DescribeScalingProcessTypesInput{})
	if err != nil || len(types.Processes) != 9 {
		t.Errorf("%+v, %v", types, err)
	}
	hooks, err := w.DescribeLifecycleHookTypes(ctx, &sdk.DescribeLifecycleHookTypesInput{})
	if err != nil || len(hooks.LifecycleHookTypes) != 2 {
		t.Errorf("%+v, %v", hooks, err)
	}
	policies, err := w.DescribeTerminationPolicyTypes(ctx, &sdk.DescribeTerminationPolicyTypesInput{})
	if err != nil || len(policies.TerminationPolicyTypes) != 7 {
		t.Errorf("%+v, %v", policies, err)
	}
	limits, err := w.DescribeAccountLimits(ctx, &sdk.DescribeAccountLimitsInput{})
	if err != nil || *limits.MaxNumberOfAutoScalingGroups != 500 || *limits.NumberOfAutoScalingGroups != 1 {
		t.Errorf("%+v, %v", limits, err)
	}
}
