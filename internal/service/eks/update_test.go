package eks_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestUpdateNodegroupConfig(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	arn := w.activeNodegroup(t, "c", "ng", func(in *sdk.CreateNodegroupInput) {
		in.ScalingConfig = sizes(1, 5, 2)
		in.Labels = map[string]string{"old": "1", "kept": "1"}
		in.Taints = []types.Taint{{Key: aws.String("old"), Effect: "NO_SCHEDULE"}, {Key: aws.String("kept"), Value: aws.String("1"), Effect: "NO_SCHEDULE"}}
	})
	request := func() *sdk.UpdateNodegroupConfigInput {
		return &sdk.UpdateNodegroupConfigInput{ClusterName: aws.String("c"), NodegroupName: aws.String("ng")}
	}
	in := request()
	in.ClientRequestToken = aws.String("one")
	in.ScalingConfig = &types.NodegroupScalingConfig{DesiredSize: aws.Int32(4)}
	in.Labels = &types.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"new": "2"}, RemoveLabels: []string{"old"}}
	in.Taints = &types.UpdateTaintsPayload{
		AddOrUpdateTaints: []types.Taint{{Key: aws.String("kept"), Value: aws.String("2"), Effect: "NO_SCHEDULE"}},
		RemoveTaints:      []types.Taint{{Key: aws.String("old"), Effect: "NO_SCHEDULE"}},
	}
	in.UpdateConfig = &types.NodegroupUpdateConfig{MaxUnavailablePercentage: aws.Int32(50)}
	in.NodeRepairConfig = &types.NodeRepairConfig{Enabled: aws.Bool(true), MaxParallelNodesRepairedCount: aws.Int32(2)}
	out, err := w.root.UpdateNodegroupConfig(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	w.golden(t, "update-nodegroup-config.json")
	n := w.change(t, arn, func(*resource.Nodegroup) {})
	if n.Spec.ForcedConfigUpdateRevision != 1 || n.Current() != resource.NodegroupUpdating || n.Spec.Desired != 4 || n.Spec.MaxUnavailable != 0 || !n.Spec.Repair.Enabled ||
		!reflect.DeepEqual(n.Spec.Labels, map[string]string{"kept": "1", "new": "2"}) ||
		!reflect.DeepEqual(n.Spec.Taints, []resource.Taint{{Key: "kept", Value: "2", Effect: "NO_SCHEDULE"}}) {
		t.Errorf("recorded %+v", n.Spec)
	}
	again, err := w.root.UpdateNodegroupConfig(t.Context(), in)
	if err != nil || *again.Update.Id != *out.Update.Id {
		t.Errorf("the replay answered %+v, %v", again, err)
	}
	_, err = w.root.UpdateNodegroupConfig(t.Context(), &sdk.UpdateNodegroupConfigInput{ClusterName: in.ClusterName, NodegroupName: in.NodegroupName, ScalingConfig: sizes(1, 1, 1)})
	fails(t, err, "ResourceInUseException", "Nodegroup cannot be updated as it is currently not in Active State")

	// The controller has carried it out, and an autoscaler has gone on.
	n = w.change(t, arn, func(n *resource.Nodegroup) { n.Status.AppliedRevision = 1 })
	w.Update(t, func(tx *store.Tx) {
		tx.AutoScalingGroups.Put("g", resource.AutoScalingGroup{Home: home(), ARN: "g", Name: n.Status.AutoScalingGroup, Spec: resource.AutoScalingGroupSpec{Desired: 5}})
	})
	in = request()
	in.UpdateConfig = &types.NodegroupUpdateConfig{MaxUnavailable: aws.Int32(2)}
	if _, err := w.root.UpdateNodegroupConfig(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if n = w.change(t, arn, func(n *resource.Nodegroup) { n.Status.AppliedRevision = 2 }); n.Spec.Desired != 5 {
		t.Errorf("the autoscaler's size has become %d", n.Spec.Desired)
	}
	for _, c := range []struct {
		change  func(*sdk.UpdateNodegroupConfigInput)
		message string
	}{
		{func(*sdk.UpdateNodegroupConfigInput) {}, "At least one of labels, taints, scalingConfig, updateConfig and nodeRepairConfig must be provided"},
		{func(in *sdk.UpdateNodegroupConfigInput) {
			in.ScalingConfig = &types.NodegroupScalingConfig{MaxSize: aws.Int32(2)}
		}, "desiredSize can't be greater than maxSize"},
		{func(in *sdk.UpdateNodegroupConfigInput) { in.ScalingConfig = sizes(3, 2, 2) }, "minSize can't be greater than desiredSize"},
		{func(in *sdk.UpdateNodegroupConfigInput) {
			in.Labels = &types.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"k8s.io/x": "1"}}
		},
			"Label cannot start with reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]"},
		{func(in *sdk.UpdateNodegroupConfigInput) { in.UpdateConfig = &types.NodegroupUpdateConfig{} }, "UpdateConfig cannot be empty if set in the request."},
	} {
		in := request()
		c.change(in)
		before := w.records(t)
		_, err := w.root.UpdateNodegroupConfig(t.Context(), in)
		fails(t, err, "InvalidParameterException", c.message)
		if after := w.records(t); after != before {
			t.Errorf("half made: %s, %s", before, after)
		}
	}
	if n := w.change(t, arn, func(*resource.Nodegroup) {}); n.Spec.ForcedConfigUpdateRevision != 2 {
		t.Errorf("revision %d", n.Spec.ForcedConfigUpdateRevision)
	}
}

func TestUpdates(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c")
	ng := w.activeNodegroup(t, "c", "ng")
	w.Update(t, func(tx *store.Tx) {
		for i := range 5 {
			id := fmt.Sprintf("u%d", i)
			tx.Updates.Put(id, resource.Update{ID: id, Cluster: c.ARN, Nodegroup: ng, Type: "ConfigUpdate", State: resource.UpdateInProgress, Created: time.Unix(int64(i/2), 0)})
		}
		tx.Updates.Put("own", resource.Update{
			ID: "own", Cluster: c.ARN, Type: "VersionUpdate", State: resource.UpdateFailed, Created: time.Unix(1, 0),
			Errors: []resource.UpdateError{{Code: "IpNotAvailable", Message: "no", ResourceIDs: []string{"subnet-1"}}},
		})
	})
	var got []string
	pages := sdk.NewListUpdatesPaginator(w.root, &sdk.ListUpdatesInput{Name: aws.String("c"), NodegroupName: aws.String("ng"), MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.UpdateIds...)
	}
	if fmt.Sprint(got) != "[u4 u3 u2 u1 u0]" {
		t.Errorf("listed %v", got)
	}
	own, err := w.root.ListUpdates(t.Context(), &sdk.ListUpdatesInput{Name: aws.String("c")})
	if err != nil || fmt.Sprint(own.UpdateIds) != "[own]" {
		t.Errorf("listed %v, %v", own, err)
	}
	out, err := w.root.DescribeUpdate(t.Context(), &sdk.DescribeUpdateInput{Name: aws.String("c"), UpdateId: aws.String("own")})
	if err != nil || out.Update.Status != "Failed" || out.Update.Errors[0].ErrorCode != "IpNotAvailable" {
		t.Errorf("described %+v, %v", out, err)
	}
	if _, err := w.root.DescribeUpdate(t.Context(), &sdk.DescribeUpdateInput{Name: aws.String("c"), UpdateId: aws.String("u1"), NodegroupName: aws.String("ng")}); err != nil {
		t.Error(err)
	}
	_, err = w.root.DescribeUpdate(t.Context(), &sdk.DescribeUpdateInput{Name: aws.String("c"), UpdateId: aws.String("u1")})
	fails(t, err, "ResourceNotFoundException", "No update found for ID: u1")
}
