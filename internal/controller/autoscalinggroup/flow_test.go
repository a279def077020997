package autoscalinggroup_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	genautoscaling "ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/controller/autoscalinggroup"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	service "ekster.dev/ekster/internal/service/autoscaling"
	"ekster.dev/ekster/internal/store"
)

// A flow is a group under the real clock: the AWS SDK, the front door, the service, the store
// and the controller's own loop. Only the machines are played: they run, and end, at once.
type flow struct {
	*testing.T
	*sdk.Client
	door *identitytest.Door
}

func newFlow(t *testing.T) flow {
	t.Helper()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{genautoscaling.Service(service.New(d.Store))}
	})
	home := resource.Home{Account: identitytest.Account, Region: identitytest.Region}
	image, ok := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
	if !ok {
		t.Fatal("no image")
	}
	data, err := json.Marshal(ec2.RequestLaunchTemplateData{ImageId: new(image.ID), InstanceType: new("t3.medium")})
	if err != nil {
		t.Fatal(err)
	}
	d.Update(t, func(tx *store.Tx) {
		if _, err := provision.EnsureRegion(tx, home, time.Now()); err != nil {
			t.Error(err)
		}
		tx.LaunchTemplates.Put("lt-1", resource.LaunchTemplate{Home: home, ID: "lt-1", Name: "web", Default: 1, Latest: 2,
			Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: data}, {Number: 2, Data: data}}})
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- autoscalinggroup.New(d.Store, time.Now, slog.New(slog.DiscardHandler)).Run(ctx) }()
	go func() { ended <- machines(ctx, d.Store) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return flow{t, sdk.NewFromConfig(d.AsRoot()), d}
}

// machines plays EC2: what is pending runs, what is to go is gone.
func machines(ctx context.Context, st *store.Store) error {
	changed := make(chan struct{}, 1)
	st.Subscribe(func([]store.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		err := st.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			for id, in := range tx.Instances.All() {
				switch {
				case in.Status.State == resource.InstanceTerminated:
				case in.Terminating:
					provision.Terminated(tx, id, time.Now())
				case in.Status.State == resource.InstancePending:
					in.Status.State = resource.InstanceRunning
					tx.Instances.Put(id, in)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// members says how many members there are in each state, and waits until that is as wanted.
func (f flow) members(want string) []types.Instance {
	f.Helper()
	return f.until(want, func(i types.Instance) string { return string(i.LifecycleState) })
}

func (f flow) until(want string, of func(types.Instance) string) []types.Instance {
	f.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		out, err := f.DescribeAutoScalingGroups(f.Context(), &sdk.DescribeAutoScalingGroupsInput{})
		if err != nil {
			f.Fatal(err)
		}
		n := map[string]int{}
		for _, i := range out.AutoScalingGroups[0].Instances {
			n[of(i)]++
		}
		got := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(n), "map["), "]")
		if got == want {
			return out.AutoScalingGroups[0].Instances
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("the members are %s, not %s", got, want)
		}
	}
}

func (f flow) complete(hook, result string, i types.Instance) {
	f.Helper()
	_, err := f.CompleteLifecycleAction(f.Context(), &sdk.CompleteLifecycleActionInput{
		AutoScalingGroupName: aws.String("g"), LifecycleHookName: &hook, InstanceId: i.InstanceId, LifecycleActionResult: &result,
	})
	if err != nil {
		f.Fatal(err)
	}
}

func (f flow) desire(n int32) {
	f.Helper()
	if _, err := f.SetDesiredCapacity(f.Context(), &sdk.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: &n}); err != nil {
		f.Fatal(err)
	}
}

// causes are those of the group's activities, the newest first.
func (f flow) causes() (out []string) {
	f.Helper()
	a, err := f.DescribeScalingActivities(f.Context(), &sdk.DescribeScalingActivitiesInput{IncludeDeletedGroups: aws.Bool(true)})
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range a.Activities {
		out = append(out, *a.Cause)
	}
	return out
}

// Hooks hold, a refresh rolls, a schedule acts, and a group that is gone has its activities.
func TestGroupThroughTheAPI(t *testing.T) {
	f, ctx := newFlow(t), t.Context()
	hook := func(name, transition string) types.LifecycleHookSpecification {
		return types.LifecycleHookSpecification{LifecycleHookName: &name, LifecycleTransition: &transition, HeartbeatTimeout: aws.Int32(600)}
	}
	_, err := f.CreateAutoScalingGroup(ctx, &sdk.CreateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String("g"), MinSize: aws.Int32(0), MaxSize: aws.Int32(4), DesiredCapacity: aws.Int32(2), AvailabilityZones: []string{"us-west-2a", "us-west-2b"},
		LaunchTemplate:                 &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("web"), Version: aws.String("1")},
		LifecycleHookSpecificationList: []types.LifecycleHookSpecification{hook("in", "autoscaling:EC2_INSTANCE_LAUNCHING"), hook("out", "autoscaling:EC2_INSTANCE_TERMINATING")},
	})
	if err != nil {
		t.Fatal(err)
	}

	// The launch hook: the one that is let go serves, the abandoned one is replaced.
	held := f.members("Pending:Wait:2")
	f.complete("in", "CONTINUE", held[0])
	f.members("InService:1 Pending:Wait:1")
	f.complete("in", "ABANDON", held[1])
	successor := func(i types.Instance) string {
		if *i.InstanceId == *held[1].InstanceId {
			return "abandoned"
		}
		return string(i.LifecycleState)
	}
	for _, i := range f.until("InService:1 Pending:Wait:1", successor) {
		if i.LifecycleState == types.LifecycleStatePendingWait {
			f.complete("in", "CONTINUE", i)
		}
	}
	f.members("InService:2")

	// The hook at the end.
	f.desire(1)
	for _, i := range f.members("InService:1 Terminating:Wait:1") {
		if i.LifecycleState == types.LifecycleStateTerminatingWait {
			f.complete("out", "CONTINUE", i)
		}
	}
	f.members("InService:1")
	for _, name := range []string{"in", "out"} {
		if _, err := f.DeleteLifecycleHook(ctx, &sdk.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name}); err != nil {
			t.Fatal(err)
		}
	}

	// A schedule.
	_, err = f.PutScheduledUpdateGroupAction(ctx, &sdk.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: aws.String("g"), ScheduledActionName: aws.String("s"),
		StartTime: aws.Time(time.Now().Add(time.Second)), DesiredCapacity: aws.Int32(3)})
	if err != nil {
		t.Fatal(err)
	}
	f.members("InService:3")
	if c := f.causes()[0]; !strings.Contains(c, "a scheduled action update of AutoScalingGroup constraints to min: 0, max: 4, desired: 3 changing the desired capacity from 1 to 3.  At ") {
		t.Errorf("cause %q", c)
	}

	// A refresh to the next version.
	_, err = f.StartInstanceRefresh(ctx, &sdk.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("g"),
		DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: aws.String("2")}}})
	if err != nil {
		t.Fatal(err)
	}
	f.until("2 InService:3", func(i types.Instance) string { return *i.LaunchTemplate.Version + " " + string(i.LifecycleState) })

	// Health, and what is suspended.
	process := []string{"Launch"}
	if _, err := f.SuspendProcesses(ctx, &sdk.SuspendProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: process}); err != nil {
		t.Fatal(err)
	}
	sick := f.members("InService:3")[0].InstanceId
	if _, err := f.SetInstanceHealth(ctx, &sdk.SetInstanceHealthInput{InstanceId: sick, HealthStatus: aws.String("Unhealthy")}); err != nil {
		t.Fatal(err)
	}
	f.members("InService:2")
	if _, err := f.ResumeProcesses(ctx, &sdk.ResumeProcessesInput{AutoScalingGroupName: aws.String("g"), ScalingProcesses: process}); err != nil {
		t.Fatal(err)
	}
	f.members("InService:3")

	if _, err := f.DeleteAutoScalingGroup(ctx, &sdk.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), ForceDelete: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	f.gone()
	all := strings.Join(f.causes(), "\n")
	for _, want := range []string{
		"a user request created an AutoScalingGroup changing the desired capacity from 0 to 2.  At ",
		"a user request explicitly set group desired capacity changing the desired capacity from 2 to 1.  At ",
		"an instance was taken out of service in response to an instance refresh.  At ",
		"an instance was launched in response to an instance refresh.",
		"an instance was taken out of service in response to a user health-check.",
		"an instance was launched in response to an unhealthy instance needing to be replaced.",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no activity has the cause %q in\n%s", want, all)
		}
	}
}

// gone waits until there is no group any more.
func (f flow) gone() {
	f.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		out, err := f.DescribeAutoScalingGroups(f.Context(), &sdk.DescribeAutoScalingGroupsInput{})
		if err != nil {
			f.Fatal(err)
		}
		if len(out.AutoScalingGroups) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("still there: %+v", out.AutoScalingGroups)
		}
	}
}
