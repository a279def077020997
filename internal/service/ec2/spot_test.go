package ec2_test

import (
	"encoding/base64"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/ami"
)

func spotLaunch(price *string) *sdk.RunInstancesInput {
	in := launch(1)
	in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &types.SpotMarketOptions{MaxPrice: price}}
	return in
}

// A Spot instance of RunInstances has a request, as every one has.
func TestRunSpotInstances(t *testing.T) {
	w := newWorld(t)
	in := spotLaunch(nil)
	in.TagSpecifications = tagSpec(types.ResourceTypeSpotInstancesRequest, "team", "blue")
	i := must(w.RunInstances(t.Context(), in))(w).Instances[0]
	if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot || aws.ToString(i.SpotInstanceRequestId) == "" {
		t.Fatalf("lifecycle %q, request %q", i.InstanceLifecycle, aws.ToString(i.SpotInstanceRequestId))
	}
	r := must(w.DescribeSpotInstanceRequests(t.Context(), &sdk.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*i.SpotInstanceRequestId}}))(w).SpotInstanceRequests[0]
	if *r.InstanceId != *i.InstanceId || r.State != types.SpotInstanceStateActive || *r.Status.Code != "fulfilled" || tags(r.Tags)["team"] != "blue" ||
		r.LaunchSpecification.InstanceType != types.InstanceTypeT3Medium || *r.LaunchedAvailabilityZone != *i.Placement.AvailabilityZone {
		t.Errorf("%+v, %+v", r, r.LaunchSpecification)
	}
	found := must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: filters("instance-lifecycle", "spot", "spot-instance-request-id", *r.SpotInstanceRequestId)}))(w)
	if len(found.Reservations) != 1 {
		t.Error("not found by its lifecycle and its request")
	}
	fails(w.StopInstances(t.Context(), &sdk.StopInstancesInput{InstanceIds: []string{*i.InstanceId}}))(w, "UnsupportedOperation", "")
	fails(w.RunInstances(t.Context(), spotLaunch(aws.String("0.0001"))))(w, "SpotMaxPriceTooLow", "")
	in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypePersistent
	in.ClientToken = nil
	fails(w.RunInstances(t.Context(), in))(w, "UnsupportedOperation", "A persistent Spot Instance request is not supported yet.")
}

func TestRequestSpotInstances(t *testing.T) {
	w := newWorld(t)
	out := must(w.RequestSpotInstances(t.Context(), &sdk.RequestSpotInstancesInput{
		InstanceCount: aws.Int32(2), SpotPrice: aws.String("0.5"), TagSpecifications: tagSpec(types.ResourceTypeSpotInstancesRequest, "a", "b"),
		LaunchSpecification: &types.RequestSpotLaunchSpecification{
			ImageId: image(ami.X8664), InstanceType: types.InstanceTypeM5Large, UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh"))),
		},
	}))(w).SpotInstanceRequests
	if len(out) != 2 || out[0].State != types.SpotInstanceStateOpen || *out[0].SpotPrice != "0.5" || *out[0].LaunchSpecification.ImageId != *image(ami.X8664) ||
		*out[0].LaunchSpecification.UserData != "IyEvYmluL3No" || out[0].InstanceId != nil {
		t.Fatalf("%+v", out)
	}
	gone := must(w.CancelSpotInstanceRequests(t.Context(), &sdk.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*out[0].SpotInstanceRequestId}}))(w)
	if gone.CancelledSpotInstanceRequests[0].State != types.CancelSpotInstanceRequestStateCancelled {
		t.Errorf("cancelled: %+v", gone.CancelledSpotInstanceRequests)
	}
	fails(w.CancelSpotInstanceRequests(t.Context(), &sdk.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{"sir-0123456789abcdef0"}}))(w,
		"InvalidSpotInstanceRequestID.NotFound", "The spot instance request ID 'sir-0123456789abcdef0' does not exist")
	open := must(w.DescribeSpotInstanceRequests(t.Context(), &sdk.DescribeSpotInstanceRequestsInput{Filters: filters("state", "open", "tag:a", "b")}))(w)
	if len(open.SpotInstanceRequests) != 1 {
		t.Errorf("%d open", len(open.SpotInstanceRequests))
	}
}

// Prices are below on-demand's, one for each zone, and the same every time.
func TestSpotPriceHistory(t *testing.T) {
	w := newWorld(t)
	in := &sdk.DescribeSpotPriceHistoryInput{InstanceTypes: []types.InstanceType{"m5.large"}, ProductDescriptions: []string{"Linux/UNIX"}}
	first := must(w.DescribeSpotPriceHistory(t.Context(), in))(w).SpotPriceHistory
	if len(first) != 4 {
		t.Fatalf("%d prices in the four zones", len(first))
	}
	for _, p := range first {
		if usd, err := strconv.ParseFloat(*p.SpotPrice, 64); err != nil || usd < 0.096*0.3 || usd > 0.096*0.4 {
			t.Errorf("m5.large in %s costs %s", *p.AvailabilityZone, *p.SpotPrice)
		}
	}
	in.ProductDescriptions = []string{"Windows"}
	if none := must(w.DescribeSpotPriceHistory(t.Context(), in))(w).SpotPriceHistory; len(none) != 0 {
		t.Error("Windows has a price")
	}
	pages := sdk.NewDescribeSpotPriceHistoryPaginator(w.Client, &sdk.DescribeSpotPriceHistoryInput{})
	n := 0
	for pages.HasMorePages() {
		n += len(must(pages.NextPage(t.Context()))(w).SpotPriceHistory)
	}
	if n < 2000 {
		t.Errorf("%d prices in all", n)
	}
}
