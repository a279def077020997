package eks_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestUpdateNodegroupVersion(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c", at("1.35"))
	arn := w.activeNodegroup(t, "c", "ng", func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.34") })
	roll := func(f func(*sdk.UpdateNodegroupVersionInput)) (*sdk.UpdateNodegroupVersionOutput, error) {
		in := &sdk.UpdateNodegroupVersionInput{ClusterName: aws.String("c"), NodegroupName: aws.String("ng")}
		f(in)
		return w.root.UpdateNodegroupVersion(t.Context(), in)
	}
	for _, c := range []struct {
		change  func(*sdk.UpdateNodegroupVersionInput)
		message string
	}{
		{func(in *sdk.UpdateNodegroupVersionInput) { in.Version = aws.String("1.36") }, "Cluster Kubernetes version 1.35 supports the following Nodegroup Kubernetes versions: [1.35, 1.34, 1.33, 1.32]"},
		{func(in *sdk.UpdateNodegroupVersionInput) { in.Version = aws.String("1.33") }, "Unsupported Kubernetes minor version update from 1.34 to 1.33"},
		{func(in *sdk.UpdateNodegroupVersionInput) { in.ReleaseVersion = aws.String("1.34.1-20250101") }, "Requested Nodegroup release version 1.34.1-20250101 is invalid. Allowed release version is 1.34.4-20261105"},
		{func(in *sdk.UpdateNodegroupVersionInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{Name: aws.String("lt")}
		}, "You cannot specify a launch template for a node group that was not created with one."},
	} {
		_, err := roll(c.change)
		fails(t, err, "InvalidParameterException", c.message)
	}
	to := func(in *sdk.UpdateNodegroupVersionInput) {
		in.Version, in.ClientRequestToken = aws.String("1.35"), aws.String("t")
	}
	out, err := roll(to)
	if err != nil {
		t.Fatal(err)
	}
	w.golden(t, "updatenodegroupversion.json")
	if again, err := roll(to); err != nil || *again.Update.Id != *out.Update.Id {
		t.Errorf("the same token again: %+v, %v", again, err)
	}
	_, err = roll(func(*sdk.UpdateNodegroupVersionInput) {})
	fails(t, err, "ResourceInUseException", "Nodegroup cannot be updated as it is currently not in Active State")
	describe := func(status types.NodegroupStatus, version string) {
		t.Helper()
		d, err := w.root.DescribeNodegroup(t.Context(), &sdk.DescribeNodegroupInput{ClusterName: aws.String("c"), NodegroupName: aws.String("ng")})
		if err != nil || d.Nodegroup.Status != status || *d.Nodegroup.Version != version {
			t.Errorf("it is %s at %s, %v", d.Nodegroup.Status, *d.Nodegroup.Version, err)
		}
	}
	describe(types.NodegroupStatusUpdating, "1.34")
	end := func(rolled bool) {
		w.change(t, arn, func(n *resource.Nodegroup) {
			n.Status.AppliedRevision = n.Spec.ForcedConfigUpdateRevision
			if rolled {
				n.Status.RolledRevision = n.Spec.Roll.Revision
			}
		})
	}
	end(false) // one that failed leaves the group as it was
	describe(types.NodegroupStatusActive, "1.34")
	_, err = w.root.UpdateNodegroupConfig(t.Context(), &sdk.UpdateNodegroupConfigInput{
		ClusterName: aws.String("c"), NodegroupName: aws.String("ng"), Labels: &types.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"a": "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	end(false)
	describe(types.NodegroupStatusActive, "1.34")
	if _, err := roll(func(in *sdk.UpdateNodegroupVersionInput) { in.Version = aws.String("1.35") }); err != nil {
		t.Fatal(err)
	}
	end(true)
	describe(types.NodegroupStatusActive, "1.35")
}

func TestUpdateNodegroupVersionOfATemplate(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c", at("1.35"))
	template := func(id, name string, versions ...string) {
		w.Update(t, func(tx *store.Tx) {
			lt := resource.LaunchTemplate{Home: home(), ID: id, Name: name, Default: 1, Latest: int64(len(versions))}
			for i, data := range versions {
				lt.Versions = append(lt.Versions, resource.LaunchTemplateVersion{Number: int64(i + 1), Data: []byte(data)})
			}
			tx.LaunchTemplates.Put(id, lt)
		})
	}
	template("lt-1", "one", `{"InstanceType":"t3.medium"}`, `{"InstanceType":"t3.large"}`, `{"ImageId":"ami-1"}`)
	template("lt-2", "two", `{}`)
	arn := w.activeNodegroup(t, "c", "ng", func(in *sdk.CreateNodegroupInput) {
		in.LaunchTemplate = &types.LaunchTemplateSpecification{Id: aws.String("lt-1")}
	})
	roll := func(lt types.LaunchTemplateSpecification) error {
		_, err := w.root.UpdateNodegroupVersion(t.Context(), &sdk.UpdateNodegroupVersionInput{ClusterName: aws.String("c"), NodegroupName: aws.String("ng"), LaunchTemplate: &lt})
		return err
	}
	fails(t, roll(types.LaunchTemplateSpecification{Name: aws.String("two")}), "InvalidParameterException", "The launch template must be the one that the node group was created with: lt-1")
	fails(t, roll(types.LaunchTemplateSpecification{Id: aws.String("lt-1"), Version: aws.String("3")}), "InvalidParameterException", "A node group cannot change between a custom image and one of Amazon EKS.")
	if err := roll(types.LaunchTemplateSpecification{Name: aws.String("one"), Version: aws.String("2")}); err != nil {
		t.Fatal(err)
	}
	n := w.change(t, arn, func(*resource.Nodegroup) {})
	if target := n.Target(); target.LaunchTemplateVersion != "2" || target.InstanceTypes[0] != "t3.large" || n.Rolled().LaunchTemplateVersion != "1" {
		t.Errorf("%+v", target)
	}
}
