package ec2_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestLaunchTemplates(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	data := func(typ types.InstanceType) *types.RequestLaunchTemplateData {
		return &types.RequestLaunchTemplateData{
			ImageId: image(ami.X8664), InstanceType: typ, UserData: new("aGVsbG8="),
			MetadataOptions:   &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: new(int32(2))},
			TagSpecifications: []types.LaunchTemplateTagSpecificationRequest{{ResourceType: "instance", Tags: []types.Tag{{Key: new("eks:cluster-name"), Value: new("c1")}}}},
		}
	}
	create := &sdk.CreateLaunchTemplateInput{LaunchTemplateName: new("eks-1"), LaunchTemplateData: data("t3.medium"), ClientToken: new("t"), TagSpecifications: tagSpec("launch-template", "a", "b")}
	lt := must(w.CreateLaunchTemplate(ctx, create))(w).LaunchTemplate
	if *lt.DefaultVersionNumber != 1 || *lt.LatestVersionNumber != 1 || tags(lt.Tags)["a"] != "b" || *lt.CreatedBy != "arn:aws:iam::000000000000:root" {
		t.Errorf("got %+v", lt)
	}
	if again := must(w.CreateLaunchTemplate(ctx, create))(w).LaunchTemplate; *again.LaunchTemplateId != *lt.LaunchTemplateId {
		t.Error("a replay made a second template")
	}
	create.LaunchTemplateName = new("eks-2")
	fails(w.CreateLaunchTemplate(ctx, create))(w, "IdempotentParameterMismatch", "")
	fails(w.CreateLaunchTemplate(ctx, &sdk.CreateLaunchTemplateInput{LaunchTemplateName: new("eks-1"), LaunchTemplateData: data("t3.medium")}))(w, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")

	v2 := must(w.CreateLaunchTemplateVersion(ctx, &sdk.CreateLaunchTemplateVersionInput{
		LaunchTemplateName: new("eks-1"), SourceVersion: new("1"), VersionDescription: new("bigger"), LaunchTemplateData: &types.RequestLaunchTemplateData{InstanceType: "m5.xlarge"},
	}))(w).LaunchTemplateVersion
	if *v2.VersionNumber != 2 || *v2.DefaultVersion || v2.LaunchTemplateData.InstanceType != "m5.xlarge" || *v2.LaunchTemplateData.UserData != "aGVsbG8=" ||
		*v2.LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit != 2 || *v2.LaunchTemplateData.TagSpecifications[0].Tags[0].Value != "c1" {
		t.Errorf("got %+v", v2)
	}
	for want, versions := range map[types.InstanceType][]string{"m5.xlarge": {"$Latest"}, "t3.medium": {"$Default"}} {
		for _, in := range []*sdk.DescribeLaunchTemplateVersionsInput{{LaunchTemplateName: new("eks-1"), Versions: versions}, {LaunchTemplateId: lt.LaunchTemplateId, Versions: versions}, {Versions: versions}} {
			out := must(w.DescribeLaunchTemplateVersions(ctx, in))(w).LaunchTemplateVersions
			if len(out) != 1 || out[0].LaunchTemplateData.InstanceType != want {
				t.Errorf("%v: got %+v", versions, out)
			}
		}
	}
	all := must(w.DescribeLaunchTemplateVersions(ctx, &sdk.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplateId}))(w).LaunchTemplateVersions
	if len(all) != 2 || *all[0].VersionNumber != 2 {
		t.Errorf("got %+v", all)
	}
	var pages []int64
	in := &sdk.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplateId, MaxResults: new(int32(1))}
	for p := sdk.NewDescribeLaunchTemplateVersionsPaginator(w.Client, in); p.HasMorePages(); {
		for _, v := range must(p.NextPage(ctx))(w).LaunchTemplateVersions {
			pages = append(pages, *v.VersionNumber)
		}
	}
	if len(pages) != 2 || pages[1] != 1 {
		t.Errorf("got %v", pages)
	}
	fails(w.DescribeLaunchTemplateVersions(ctx, &sdk.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplateId, Versions: []string{"7"}}))(w, "InvalidLaunchTemplateId.VersionNotFound", "")
	must(w.ModifyLaunchTemplate(ctx, &sdk.ModifyLaunchTemplateInput{LaunchTemplateId: lt.LaunchTemplateId, DefaultVersion: new("2")}))(w)

	// Launched from it, the request's own members winning.
	ran := must(w.RunInstances(ctx, &sdk.RunInstancesInput{
		MinCount: new(int32(1)), MaxCount: new(int32(1)), InstanceType: "c5.large", TagSpecifications: tagSpec("instance", "own", "1"),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: new("eks-1"), Version: new("$Default")},
	}))(w).Instances[0]
	got := tags(ran.Tags)
	if ran.InstanceType != "c5.large" || got["eks:cluster-name"] != "c1" || got["own"] != "1" || got["aws:ec2launchtemplate:id"] != *lt.LaunchTemplateId || got["aws:ec2launchtemplate:version"] != "2" {
		t.Errorf("got %+v", ran)
	}
	w.edit(func(tx *store.Tx) {
		for i := range tx.Instances.Values(func(resource.Instance) bool { return true }) {
			if string(i.Spec.UserData) != "hello" {
				t.Errorf("user data is %q", i.Spec.UserData)
			}
		}
	})

	list := must(w.DescribeLaunchTemplates(ctx, &sdk.DescribeLaunchTemplatesInput{Filters: filters("tag:a", "b", "launch-template-name", "eks-*")}))(w).LaunchTemplates
	if len(list) != 1 || *list[0].DefaultVersionNumber != 2 {
		t.Errorf("got %+v", list)
	}
	fails(w.DescribeLaunchTemplates(ctx, &sdk.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"none"}}))(w, "InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name none, does not exist.")
	must(w.DeleteLaunchTemplate(ctx, &sdk.DeleteLaunchTemplateInput{LaunchTemplateName: new("eks-1")}))(w)
	fails(w.DeleteLaunchTemplate(ctx, &sdk.DeleteLaunchTemplateInput{LaunchTemplateId: lt.LaunchTemplateId}))(w, "InvalidLaunchTemplateId.NotFound", "")
}

func TestImages(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	out := must(w.DescribeImages(ctx, &sdk.DescribeImagesInput{Owners: []string{"amazon"}, Filters: filters("name", "amazon-eks-node-al2023-x86_64-standard-1.35-*", "architecture", "x86_64")}))(w).Images
	if len(out) != 1 || *out[0].ImageId != *image(ami.X8664) || *out[0].OwnerId != "602401143452" || *out[0].BlockDeviceMappings[0].Ebs.VolumeSize != 20 || *out[0].DeprecationTime == "" {
		t.Errorf("got %+v", out)
	}
	if own := must(w.DescribeImages(ctx, &sdk.DescribeImagesInput{Owners: []string{"self"}}))(w).Images; len(own) != 0 {
		t.Errorf("got %+v", own)
	}
	fails(w.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: []string{"ami-0123456789abcdef0"}}))(w, "InvalidAMIID.NotFound", "The image id '[ami-0123456789abcdef0]' does not exist")
	in := launch(1)
	in.ImageId = new("resolve:ssm:/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")
	if i := must(w.RunInstances(ctx, in))(w).Instances[0]; *i.ImageId != *image(ami.X8664) {
		t.Errorf("got %s", *i.ImageId)
	}
	// Of versions that are not built there are no images.
	if err := provision.SetPayload(ctx, w.store, func(minor string) bool { return minor == "1.36" }); err != nil {
		t.Fatal(err)
	}
	fails(w.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: []string{*image(ami.X8664)}}))(w, "InvalidAMIID.NotFound", "")
	fails(w.RunInstances(ctx, launch(1)))(w, "InvalidAMIID.NotFound", "The image id '["+*image(ami.X8664)+"]' does not exist")
	for _, i := range must(w.DescribeImages(ctx, &sdk.DescribeImagesInput{}))(w).Images {
		if !strings.Contains(*i.Name, "1.36") {
			t.Errorf("got %s", *i.Name)
		}
	}
}

func TestInstanceTypes(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	fails(w.DescribeInstanceTypes(ctx, &sdk.DescribeInstanceTypesInput{DryRun: new(true)}))(w, "DryRunOperation", "")
	seen := map[types.InstanceType]bool{}
	for p := sdk.NewDescribeInstanceTypesPaginator(w.Client, &sdk.DescribeInstanceTypesInput{}); p.HasMorePages(); {
		page := must(p.NextPage(ctx))(w).InstanceTypes
		for _, i := range page {
			seen[i.InstanceType] = true
		}
		if len(page) > 100 {
			t.Errorf("a page of %d", len(page))
		}
	}
	if len(seen) != 1108 {
		t.Errorf("%d types", len(seen))
	}
	one := must(w.DescribeInstanceTypes(ctx, &sdk.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m5.large", "t3.medium", "m5.large"}}))(w).InstanceTypes
	if len(one) != 2 || *one[1].VCpuInfo.DefaultVCpus != 2 || *one[1].MemoryInfo.SizeInMiB != 4096 || *one[1].NetworkInfo.Ipv4AddressesPerInterface != 6 || *one[1].NetworkInfo.MaximumNetworkInterfaces != 3 {
		t.Errorf("got %+v", one)
	}
	arm := must(w.DescribeInstanceTypes(ctx, &sdk.DescribeInstanceTypesInput{Filters: filters("processor-info.supported-architecture", "arm64", "instance-type", "t4g.*", "supported-virtualization-type", "hvm")}))(w).InstanceTypes
	if len(arm) != 7 || arm[0].ProcessorInfo.SupportedArchitectures[0] != "arm64" {
		t.Errorf("%d types", len(arm))
	}
	fails(w.DescribeInstanceTypes(ctx, &sdk.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"x.y"}}))(w, "InvalidInstanceType", "The following supplied instance types do not exist: [x.y]")

	offers := must(w.DescribeInstanceTypeOfferings(ctx, &sdk.DescribeInstanceTypeOfferingsInput{LocationType: "availability-zone", Filters: filters("instance-type", "m5.large")}))(w).InstanceTypeOfferings
	if len(offers) != 4 || *offers[0].Location != "us-west-2a" {
		t.Errorf("got %+v", offers)
	}
	n := 0
	for p := sdk.NewDescribeInstanceTypeOfferingsPaginator(w.Client, &sdk.DescribeInstanceTypeOfferingsInput{LocationType: "availability-zone-id"}); p.HasMorePages(); {
		n += len(must(p.NextPage(ctx))(w).InstanceTypeOfferings)
	}
	if n != 4*1108 {
		t.Errorf("%d offerings", n)
	}
}

// Versions go one by one, but for the default one, and their numbers do not come back.
func TestDeleteLaunchTemplateVersions(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	data := &types.RequestLaunchTemplateData{ImageId: image(ami.X8664)}
	lt := must(w.CreateLaunchTemplate(ctx, &sdk.CreateLaunchTemplateInput{LaunchTemplateName: new("web"), LaunchTemplateData: data}))(w).LaunchTemplate
	add := func() int64 {
		return *must(w.CreateLaunchTemplateVersion(ctx, &sdk.CreateLaunchTemplateVersionInput{LaunchTemplateName: new("web"), LaunchTemplateData: data}))(w).LaunchTemplateVersion.VersionNumber
	}
	add()
	add()
	out := must(w.DeleteLaunchTemplateVersions(ctx, &sdk.DeleteLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplateId, Versions: []string{"1", "3", "7"}}))(w)
	if ok := out.SuccessfullyDeletedLaunchTemplateVersions; len(ok) != 1 || *ok[0].VersionNumber != 3 {
		t.Errorf("got %+v", ok)
	}
	left := out.UnsuccessfullyDeletedLaunchTemplateVersions
	if len(left) != 2 || *left[0].VersionNumber != 1 || left[0].ResponseError.Code != types.LaunchTemplateErrorCodeUnexpectedError ||
		left[1].ResponseError.Code != types.LaunchTemplateErrorCodeLaunchTemplateVersionDoesNotExist {
		t.Errorf("got %+v", left)
	}
	got := must(w.DescribeLaunchTemplates(ctx, &sdk.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{*lt.LaunchTemplateId}}))(w).LaunchTemplates[0]
	if *got.LatestVersionNumber != 2 || *got.DefaultVersionNumber != 1 {
		t.Errorf("got %+v", got)
	}
	if n := add(); n != 4 {
		t.Errorf("the version after a deleted third one has number %d", n)
	}
}
