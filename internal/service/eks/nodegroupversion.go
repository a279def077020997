package eks

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// UpdateNodegroupVersion has a node group's nodes replaced by ones of another Kubernetes
// version, release or launch template version. Package controller/nodegroup rolls them.
func (s *Service) UpdateNodegroupVersion(ctx context.Context, call awsapi.Call, in *eks.UpdateNodegroupVersionInput) (*eks.UpdateNodegroupVersionOutput, error) {
	same := *in
	same.ClientRequestToken = nil
	request, err := fingerprint(same)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.UpdateNodegroupVersionOutput, error) {
		c, n, err := findNodegroup(tx, call, in.ClusterName, in.NodegroupName)
		if err != nil {
			return nil, err
		}
		u, err := updateNodegroup(tx, call, n, versionUpdate, deref(in.ClientRequestToken), request, func(spec *resource.NodegroupSpec) ([]resource.UpdateParam, error) {
			return s.planRoll(tx, call, c, n.Name, in, spec)
		})
		return &eks.UpdateNodegroupVersionOutput{Update: u}, err
	})
}

// planRoll sets what new nodes are to be, and leaves the rest of the Spec as the nodes are.
func (s *Service) planRoll(tx *store.Tx, call awsapi.Call, c resource.Cluster, name string, in *eks.UpdateNodegroupVersionInput, spec *resource.NodegroupSpec) ([]resource.UpdateParam, error) {
	sub := subject{cluster: c.Name, nodegroup: name}
	want := *spec
	want.Version = or(in.Version, spec.Version)
	if !slices.Contains(nodeVersions(c.Version()), want.Version) {
		return nil, sub.invalidParameter("Cluster Kubernetes version %s supports the following Nodegroup Kubernetes versions: [%s]", c.Version(), strings.Join(nodeVersions(c.Version()), ", "))
	}
	// Back is the way only before a rollback of the cluster, or after one.
	if older := slices.Contains(nodeVersions(spec.Version)[1:], want.Version); older && want.Version != c.Status.UpgradedFrom && want.Version != c.Version() {
		return nil, sub.invalidParameter("Unsupported Kubernetes minor version update from %s to %s", spec.Version, want.Version)
	}
	if err := sameTemplate(sub, in.LaunchTemplate, &want); err != nil {
		return nil, err
	}
	if want.TemplateType {
		want.InstanceTypes, want.TemplateType = nil, false
	}
	image, err := resolveTemplate(tx, call, sub, c, &want)
	if err != nil {
		return nil, err
	}
	custom := spec.AMIType == customAMI
	switch {
	case custom != (image != ""):
		return nil, sub.invalidParameter("A node group cannot change between a custom image and one of Amazon EKS.")
	case custom && (in.Version != nil || in.ReleaseVersion != nil):
		return nil, sub.invalidParameter("You cannot specify the kubernetesVersion or releaseVersion when an image id is specified within the launch template.")
	case custom:
		want.ReleaseVersion = image
		if _, err := typesOf(sub, want.InstanceTypes); err != nil {
			return nil, err
		}
	default:
		if err := resolveImage(sub, c, &eks.CreateNodegroupInput{ReleaseVersion: in.ReleaseVersion}, &want, s.payload); err != nil {
			return nil, err
		}
	}
	spec.Roll = &resource.Roll{
		Revision: spec.ForcedConfigUpdateRevision, Version: want.Version, ReleaseVersion: want.ReleaseVersion,
		LaunchTemplateVersion: want.LaunchTemplateVersion, InstanceTypes: want.InstanceTypes, Force: deref(in.Force),
	}
	params := []resource.UpdateParam{{Type: "Version", Value: want.Version}, {Type: "ReleaseVersion", Value: want.ReleaseVersion}}
	if in.LaunchTemplate != nil {
		params = append(params, resource.UpdateParam{Type: "LaunchTemplateName", Value: want.LaunchTemplateName},
			resource.UpdateParam{Type: "LaunchTemplateVersion", Value: want.LaunchTemplateVersion})
	}
	return params, nil
}

// sameTemplate takes the version of the node group's launch template that a request names;
// it has to be the template that the group was made with.
func sameTemplate(sub subject, lt *eks.LaunchTemplateSpecification, spec *resource.NodegroupSpec) error {
	switch {
	case lt == nil:
		return nil
	case deref(lt.Id) == "" && deref(lt.Name) == "":
		return sub.invalidParameter("Either a launch template ID or a launch template name must be specified in the request.")
	case deref(lt.Id) != "" && deref(lt.Name) != "":
		return sub.invalidParameter("Either provide launch template ID or launch template name in the request.")
	case spec.LaunchTemplateID == "":
		return sub.invalidParameter("You cannot specify a launch template for a node group that was not created with one.")
	case or(lt.Id, spec.LaunchTemplateID) != spec.LaunchTemplateID, or(lt.Name, spec.LaunchTemplateName) != spec.LaunchTemplateName:
		return sub.invalidParameter("The launch template must be the one that the node group was created with: %s", spec.LaunchTemplateID)
	}
	spec.LaunchTemplateVersion = or(lt.Version, "$Default")
	return nil
}
