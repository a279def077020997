package ec2_test

import (
	"slices"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/ami"
)

func TestInstanceTypesFromRequirements(t *testing.T) {
	w := newWorld(t)
	in := &sdk.GetInstanceTypesFromInstanceRequirementsInput{
		ArchitectureTypes: []types.ArchitectureType{"arm64"}, VirtualizationTypes: []types.VirtualizationType{"hvm"},
		InstanceRequirements: &types.InstanceRequirementsRequest{
			VCpuCount: &types.VCpuCountRangeRequest{Min: new(int32(2)), Max: new(int32(2))}, MemoryMiB: &types.MemoryMiBRequest{Min: new(int32(8192)), Max: new(int32(8192))},
		},
	}
	var got []string
	for _, i := range must(w.GetInstanceTypesFromInstanceRequirements(t.Context(), in))(w).InstanceTypes {
		got = append(got, *i.InstanceType)
	}
	if !slices.Contains(got, "m6g.large") || slices.Contains(got, "m5.large") || slices.Contains(got, "t4g.large") {
		t.Errorf("got %v", got)
	}
	in.InstanceRequirements.NetworkBandwidthGbps = &types.NetworkBandwidthGbpsRequest{Min: new(10.0)}
	fails(w.GetInstanceTypesFromInstanceRequirements(t.Context(), in))(w, "UnsupportedOperation", "Choosing instance types by NetworkBandwidthGbps is not supported yet.")
}

// A fleet's override by requirements launches one of the types that have them, of the image's
// architecture.
func TestFleetByRequirements(t *testing.T) {
	w := newWorld(t)
	lt := must(w.CreateLaunchTemplate(t.Context(), &sdk.CreateLaunchTemplateInput{LaunchTemplateName: new("web"), LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: image(ami.X8664)}}))(w).LaunchTemplate
	out := must(w.CreateFleet(t.Context(), &sdk.CreateFleetInput{
		Type: types.FleetTypeInstant, TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: new(int32(1)), DefaultTargetCapacityType: "on-demand"},
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateId: lt.LaunchTemplateId, Version: new("1")},
			Overrides: []types.FleetLaunchTemplateOverridesRequest{{InstanceRequirements: &types.InstanceRequirementsRequest{
				VCpuCount: &types.VCpuCountRangeRequest{Min: new(int32(2)), Max: new(int32(2))}, MemoryMiB: &types.MemoryMiBRequest{Min: new(int32(8192)), Max: new(int32(8192))},
				AllowedInstanceTypes: []string{"m5.*", "m5a.*", "m6g.*"},
			}}},
		}},
	}))(w)
	if len(out.Instances) != 1 || out.Instances[0].InstanceType != "m5a.large" { // the cheapest of them on x86
		t.Errorf("got %+v, %+v", out.Instances, out.Errors)
	}
}
