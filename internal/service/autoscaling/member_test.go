package autoscaling_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestHealthAndProtection(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := group("g", 0, 3)
	in.HealthCheckGracePeriod = aws.Int32(300)
	w.create(t, in)
	w.member(t, "g", "i-1")
	health := func(id, status string, respect *bool) error {
		_, err := w.SetInstanceHealth(ctx, &sdk.SetInstanceHealthInput{InstanceId: &id, HealthStatus: &status, ShouldRespectGracePeriod: respect})
		return err
	}
	fails(t, health("i-1", "Fine", nil), "ValidationError", "Valid instance health states are: [Healthy, Unhealthy]")
	fails(t, health("i-none", "Healthy", nil), "ValidationError", "Instance Id not found - No managed instance found for instance ID i-none")
	for _, c := range []struct {
		age     time.Duration
		respect *bool
		want    string
	}{{time.Minute, nil, "Healthy"}, {time.Minute, aws.Bool(false), "Unhealthy"}, {10 * time.Minute, nil, "Unhealthy"}} {
		w.edit(t, "i-1", func(m *resource.GroupInstance) { m.Health, m.Served = "Healthy", time.Now().Add(-c.age) })
		if err := health("i-1", "Unhealthy", c.respect); err != nil {
			t.Fatal(err)
		}
		if got := *w.describe(t, "g").Instances[0].HealthStatus; got != c.want {
			t.Errorf("after %s, respect %v: %s", c.age, c.respect, got)
		}
	}
	protect := func(id string) error {
		_, err := w.SetInstanceProtection(ctx, &sdk.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)})
		return err
	}
	fails(t, protect("i-none"), "ValidationError", "The instance i-none is not part of Auto Scaling group g.")
	if err := protect("i-1"); err != nil {
		t.Fatal(err)
	}
	if !*w.describe(t, "g").Instances[0].ProtectedFromScaleIn {
		t.Error("it is not protected")
	}
	w.edit(t, "i-1", func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberTerminating })
	fails(t, protect("i-1"), "ValidationError", "The instance i-1 is not in InService or EnteringStandby or Standby.")
}

func TestStandbyAndDetach(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := group("g", 1, 2)
	in.DesiredCapacity = aws.Int32(2)
	w.create(t, in)
	w.member(t, "g", "i-1")
	w.member(t, "g", "i-2")
	standby := func(decrement bool, ids ...string) ([]types.Activity, error) {
		out, err := w.EnterStandby(ctx, &sdk.EnterStandbyInput{AutoScalingGroupName: aws.String("g"), InstanceIds: ids, ShouldDecrementDesiredCapacity: &decrement})
		if err != nil {
			return nil, err
		}
		return out.Activities, nil
	}
	_, err := standby(true, "i-1", "i-2")
	fails(t, err, "ValidationError", "AutoScalingGroup g has min-size=1, max-size=2, and desired-size=2. To place into standby 2 instances, please update the AutoScalingGroup sizes appropriately.")
	a, err := standby(true, "i-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != 1 || *a[0].Description != "Moving EC2 instance to Standby: i-1" || a[0].StatusCode != "InProgress" || *a[0].Progress != 50 ||
		!strings.HasSuffix(*a[0].Cause, "Z instance i-1 was moved to standby in response to a user request, shrinking the capacity from 2 to 1.") ||
		*a[0].Details != `{"Availability Zone":"us-west-2a","Subnet ID":""}` {
		t.Errorf("%+v", a)
	}
	if got := w.record("i-1").Lifecycle; got != "EnteringStandby" || *w.describe(t, "g").DesiredCapacity != 1 {
		t.Errorf("it is %s", got)
	}
	exit := func() error {
		out, err := w.ExitStandby(ctx, &sdk.ExitStandbyInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{"i-1"}})
		if err == nil && (len(out.Activities) != 1 || *out.Activities[0].Description != "Moving EC2 instance out of Standby: i-1" || out.Activities[0].StatusCode != "PreInService" || *out.Activities[0].Progress != 30) {
			t.Errorf("%+v", out.Activities)
		}
		return err
	}
	fails(t, exit(), "ValidationError", "The instance i-1 is not in Standby.")
	w.edit(t, "i-1", func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberStandby })
	if err := exit(); err != nil {
		t.Fatal(err)
	}
	if got := w.record("i-1").Lifecycle; got != "Pending" || *w.describe(t, "g").DesiredCapacity != 2 {
		t.Errorf("it is %s", got)
	}
	detach := func(id string, decrement bool) error {
		_, err := w.DetachInstances(ctx, &sdk.DetachInstancesInput{AutoScalingGroupName: aws.String("g"), InstanceIds: []string{id}, ShouldDecrementDesiredCapacity: &decrement})
		return err
	}
	fails(t, detach("i-1", false), "ValidationError", "The instance i-1 is not in InService or Standby.")
	if err := detach("i-2", true); err != nil {
		t.Fatal(err)
	}
	if got := w.record("i-2").Lifecycle; got != "Detaching" || *w.describe(t, "g").DesiredCapacity != 1 {
		t.Errorf("it is %s", got)
	}
}

func TestAttach(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 1))
	w.create(t, group("h", 0, 1))
	w.member(t, "h", "i-h")
	w.Update(t, func(tx *store.Tx) {
		for id, zone := range map[string]string{"i-1": "us-west-2a", "i-2": "us-west-2a", "i-far": "us-west-2d", "i-off": "us-west-2a", "i-h": "us-west-2a"} {
			i := resource.Instance{Home: home, ID: id, Spec: resource.InstanceSpec{Zone: zone, Subnet: "subnet-a"}, Status: resource.InstanceStatus{State: "running"}}
			if id == "i-off" {
				i.Status.State = "stopped"
			}
			tx.Instances.Put(id, i)
		}
	})
	attach := func(ids ...string) error {
		_, err := w.AttachInstances(ctx, &sdk.AttachInstancesInput{AutoScalingGroupName: aws.String("g"), InstanceIds: ids})
		return err
	}
	fails(t, attach("i-none"), "ValidationError", "Invalid Instance ID(s): [i-none] specified")
	fails(t, attach("i-off"), "ValidationError", "Instance i-off is not in correct state. Instance(s) must be in 'running' state.")
	fails(t, attach("i-h"), "ValidationError", "Instance i-h is already part of AutoScalingGroup:h")
	fails(t, attach("i-far"), "ValidationError", "The availability zone of instance i-far, us-west-2d, is none of AutoScalingGroup:g")
	fails(t, attach("i-1", "i-2"), "ValidationError", "AutoScalingGroup g has min-size=0, max-size=1, and desired-size=0. To attach 2 instances, please update the AutoScalingGroup sizes appropriately.")
	if err := attach("i-1"); err != nil {
		t.Fatal(err)
	}
	if g := w.describe(t, "g"); *g.DesiredCapacity != 1 || len(g.Instances) != 1 || g.Instances[0].LifecycleState != "Pending" {
		t.Errorf("%+v", g)
	}
}
