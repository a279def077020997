package autoscaling_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func (w world) refresh(t *testing.T, change func(*sdk.StartInstanceRefreshInput)) (string, error) {
	t.Helper()
	in := &sdk.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("g"), Preferences: &types.RefreshPreferences{}}
	if change != nil {
		change(in)
	}
	out, err := w.StartInstanceRefresh(t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.InstanceRefreshId, nil
}

func (w world) refreshes(t *testing.T) []types.InstanceRefresh {
	t.Helper()
	out, err := w.DescribeInstanceRefreshes(t.Context(), &sdk.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("g")})
	if err != nil {
		t.Fatal(err)
	}
	return out.InstanceRefreshes
}

func TestInstanceRefresh(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := group("g", 1, 3)
	in.LaunchTemplate.Version = aws.String("1")
	in.DefaultInstanceWarmup = aws.Int32(7)
	w.create(t, in)
	for _, c := range []struct {
		code, message string
		change        func(*sdk.StartInstanceRefreshInput)
	}{
		{"ValidationError", "You must specify MinHealthyPercentage when specifying MaxHealthyPercentage.", func(in *sdk.StartInstanceRefreshInput) { in.Preferences.MaxHealthyPercentage = aws.Int32(110) }},
		{"ValidationError", "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100.", func(in *sdk.StartInstanceRefreshInput) {
			in.Preferences.MinHealthyPercentage, in.Preferences.MaxHealthyPercentage = aws.Int32(50), aws.Int32(200)
		}},
		{"ValidationError", "CheckpointPercentages must be in ascending order and without duplicates.", func(in *sdk.StartInstanceRefreshInput) { in.Preferences.CheckpointPercentages = []int32{50, 20} }},
		{"IrreversibleInstanceRefresh", "The Instance Refresh cannot be rolled back: it needs a desired configuration, and the launch template version of the group must be a number.",
			func(in *sdk.StartInstanceRefreshInput) { in.Preferences.AutoRollback = aws.Bool(true) }},
		{"ValidationError", "You must use a valid fully-formed launch template. Could not find the specified version 9 for the launch template with ID lt-1.", func(in *sdk.StartInstanceRefreshInput) {
			in.DesiredConfiguration = &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: aws.String("9")}}
		}},
		{"NotImplemented", "The parameter Strategy=ReplaceRootVolume of Auto Scaling groups is not supported yet.", func(in *sdk.StartInstanceRefreshInput) { in.Strategy = "ReplaceRootVolume" }},
	} {
		_, err := w.refresh(t, c.change)
		fails(t, err, c.code, c.message)
	}
	if got := w.refreshes(t); len(got) != 0 {
		t.Fatalf("refused, and there: %+v", got)
	}
	cancel := func() error {
		_, err := w.CancelInstanceRefresh(ctx, &sdk.CancelInstanceRefreshInput{AutoScalingGroupName: aws.String("g")})
		return err
	}
	rollback := func() error {
		_, err := w.RollbackInstanceRefresh(ctx, &sdk.RollbackInstanceRefreshInput{AutoScalingGroupName: aws.String("g")})
		return err
	}
	const none = "No in progress or pending Instance Refresh found for Auto Scaling group g"
	fails(t, cancel(), "ActiveInstanceRefreshNotFound", none)
	fails(t, rollback(), "ActiveInstanceRefreshNotFound", none)
	first, err := w.refresh(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.refresh(t, nil)
	fails(t, err, "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
	fails(t, rollback(), "IrreversibleInstanceRefresh", "The Instance Refresh cannot be rolled back: it needs a desired configuration, and the launch template version of the group must be a number.")
	f := w.refreshes(t)[0]
	if *f.InstanceRefreshId != first || f.Status != "Pending" || *f.Preferences.MinHealthyPercentage != 90 || *f.Preferences.MaxHealthyPercentage != 100 || *f.Preferences.InstanceWarmup != 7 ||
		f.Preferences.ScaleInProtectedInstances != "Wait" || f.Preferences.CheckpointDelay != nil || f.DesiredConfiguration != nil {
		t.Errorf("%+v, %+v", f, f.Preferences)
	}
	if err := cancel(); err != nil {
		t.Fatal(err)
	}
	w.Update(t, func(tx *store.Tx) {
		f, _ := tx.InstanceRefreshes.Get(first)
		if f.State != resource.RefreshCancelling {
			t.Errorf("%+v", f)
		}
		f.State = resource.RefreshCancelled
		f.Started = f.Started.Add(-1)
		tx.InstanceRefreshes.Put(first, f)
	})
	second, err := w.refresh(t, func(in *sdk.StartInstanceRefreshInput) {
		in.DesiredConfiguration = &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("web"), Version: aws.String("2")}}
		in.Preferences.AutoRollback = aws.Bool(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rollback(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range w.refreshes(t) {
		ids = append(ids, *f.InstanceRefreshId)
	}
	f = w.refreshes(t)[0]
	if !slices.Equal(ids, []string{second, first}) || f.Status != "RollbackInProgress" || *f.RollbackDetails.RollbackReason != "User initiated rollback." ||
		*f.DesiredConfiguration.LaunchTemplate.Version != "2" || *w.describe(t, "g").LaunchTemplate.Version != "1" {
		t.Errorf("%v, %+v", ids, f)
	}
}
