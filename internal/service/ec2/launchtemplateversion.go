package ec2

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateLaunchTemplateVersion adds a version to a template.
func (s *Service) CreateLaunchTemplateVersion(ctx context.Context, call awsapi.Call, in *ec2.CreateLaunchTemplateVersionInput) (*ec2.CreateLaunchTemplateVersionOutput, error) {
	out := &ec2.CreateLaunchTemplateVersionOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lt, err := oneTemplate(tx, call, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return err
		}
		var base []byte
		if in.SourceVersion != nil {
			source, err := provision.TemplateVersion(lt, *in.SourceVersion)
			if err != nil {
				return err
			}
			base = source.Data
		}
		v, err := newVersion(call, max(lt.Latest, lt.Last)+1, in.LaunchTemplateData, base, deref(in.VersionDescription), deref(in.ClientToken))
		if err != nil {
			return err
		}
		if v.Token != "" {
			if at := slices.IndexFunc(lt.Versions, func(o resource.LaunchTemplateVersion) bool { return o.Token == v.Token }); at >= 0 {
				if string(lt.Versions[at].Data) != string(v.Data) {
					return idempotentMismatch()
				}
				out.LaunchTemplateVersion, err = describeVersion(lt, lt.Versions[at], call.Region, false)
				return err
			}
		}
		lt.Latest = v.Number
		lt.Versions = append(lt.Versions, v)
		tx.LaunchTemplates.Put(lt.ID, lt)
		out.LaunchTemplateVersion, err = describeVersion(lt, v, call.Region, is(in.ResolveAlias))
		return err
	})
}

// maxDeleteVersions bounds one request.
const maxDeleteVersions = 200

// DeleteLaunchTemplateVersions takes versions away, each for itself: the answer says which
// could not be. The default version stays.
func (s *Service) DeleteLaunchTemplateVersions(ctx context.Context, call awsapi.Call, in *ec2.DeleteLaunchTemplateVersionsInput) (*ec2.DeleteLaunchTemplateVersionsOutput, error) {
	if n := len(in.Versions); n == 0 || n > maxDeleteVersions {
		return nil, fault("InvalidParameterValue", "You can delete between 1 and %d launch template versions in a request, not %d.", maxDeleteVersions, n)
	}
	out := &ec2.DeleteLaunchTemplateVersionsOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		*out = ec2.DeleteLaunchTemplateVersionsOutput{}
		lt, err := oneTemplate(tx, call, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return err
		}
		for _, want := range in.Versions {
			n, err := strconv.ParseInt(want, 10, 64)
			if err != nil { // $Latest and $Default are no version numbers either
				return fault("InvalidParameterValue", "Invalid launch template version: %s", want)
			}
			at := slices.IndexFunc(lt.Versions, func(v resource.LaunchTemplateVersion) bool { return v.Number == n })
			problem := (*ec2.ResponseError)(nil)
			switch {
			case at < 0:
				problem = &ec2.ResponseError{
					Code: new(ec2.LaunchTemplateErrorCodeLaunchTemplateVersionDoesNotExist), Message: new("The specified launch template version does not exist."),
				}
			case n == lt.Default:
				problem = &ec2.ResponseError{
					Code: new(ec2.LaunchTemplateErrorCodeUnexpectedError), Message: new("The default version of a launch template cannot be deleted."),
				}
			}
			if problem != nil {
				out.UnsuccessfullyDeletedLaunchTemplateVersions = append(out.UnsuccessfullyDeletedLaunchTemplateVersions,
					ec2.DeleteLaunchTemplateVersionsResponseErrorItem{LaunchTemplateId: &lt.ID, LaunchTemplateName: &lt.Name, VersionNumber: &n, ResponseError: problem})
				continue
			}
			lt.Versions = slices.Delete(lt.Versions, at, at+1)
			out.SuccessfullyDeletedLaunchTemplateVersions = append(out.SuccessfullyDeletedLaunchTemplateVersions,
				ec2.DeleteLaunchTemplateVersionsResponseSuccessItem{LaunchTemplateId: &lt.ID, LaunchTemplateName: &lt.Name, VersionNumber: &n})
		}
		lt.Last = max(lt.Last, lt.Latest)
		lt.Latest = lt.Versions[len(lt.Versions)-1].Number
		tx.LaunchTemplates.Put(lt.ID, lt)
		return nil
	})
}

// DescribeLaunchTemplateVersions lists versions of one template, or the latest or
// default ones of all.
func (s *Service) DescribeLaunchTemplateVersions(ctx context.Context, call awsapi.Call, in *ec2.DescribeLaunchTemplateVersionsInput) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
	match, err := matcher(in.Filters, versionFields, nil)
	if err != nil {
		return nil, err
	}
	low, err := versionNumber(in.MinVersion, 0)
	if err != nil {
		return nil, err
	}
	high, err := versionNumber(in.MaxVersion, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	if len(in.Versions) > 0 && (in.MinVersion != nil || in.MaxVersion != nil) {
		return nil, fault("InvalidParameterCombination", "You cannot specify both versions and a range of versions.")
	}
	out := &ec2.DescribeLaunchTemplateVersionsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		var all []ec2.LaunchTemplateVersion
		templates, err := versionsOf(tx, call, in)
		if err != nil {
			return err
		}
		for _, lt := range templates {
			versions := lt.Versions
			if len(in.Versions) > 0 {
				versions = nil
				for _, want := range in.Versions {
					v, err := provision.TemplateVersion(lt, want)
					if err != nil {
						return err
					}
					versions = append(versions, v)
				}
			}
			for _, v := range versions {
				if v.Number < low || v.Number > high {
					continue
				}
				d, err := describeVersion(lt, v, call.Region, is(in.ResolveAlias))
				if err != nil {
					return err
				}
				if match(*d) {
					all = append(all, *d)
				}
			}
		}
		// The newest first, as EC2 does. The key counts down, so that it is in order.
		key := func(v ec2.LaunchTemplateVersion) string {
			return fmt.Sprintf("%s/%019d", *v.LaunchTemplateId, math.MaxInt64-*v.VersionNumber)
		}
		slices.SortFunc(all, func(a, b ec2.LaunchTemplateVersion) int { return cmp.Compare(key(a), key(b)) })
		all = slices.CompactFunc(all, func(a, b ec2.LaunchTemplateVersion) bool { return key(a) == key(b) })
		out.LaunchTemplateVersions, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 200)
		return err
	})
}

// versionsOf are the templates whose versions a request asks for.
func versionsOf(tx *store.Tx, call awsapi.Call, in *ec2.DescribeLaunchTemplateVersionsInput) ([]resource.LaunchTemplate, error) {
	if in.LaunchTemplateId != nil || in.LaunchTemplateName != nil {
		lt, err := oneTemplate(tx, call, in.LaunchTemplateId, in.LaunchTemplateName)
		return []resource.LaunchTemplate{lt}, err
	}
	if len(in.Versions) == 0 || slices.ContainsFunc(in.Versions, func(v string) bool { return v != "$Latest" && v != "$Default" }) {
		return nil, fault("MissingParameter", "Either a launch template ID or a launch template name must be specified, unless the versions are $Latest or $Default.")
	}
	return slices.Collect(tx.LaunchTemplates.Values(func(lt resource.LaunchTemplate) bool { return lt.Home == homeOf(call) })), nil
}

var versionFields = fields[ec2.LaunchTemplateVersion]{
	"create-time":        func(v ec2.LaunchTemplateVersion) []string { return []string{v.CreateTime.UTC().Format(filterTime)} },
	"is-default-version": func(v ec2.LaunchTemplateVersion) []string { return flag(v.DefaultVersion) },
	"ebs-optimized":      func(v ec2.LaunchTemplateVersion) []string { return flag(v.LaunchTemplateData.EbsOptimized) },
	"image-id":           func(v ec2.LaunchTemplateVersion) []string { return text(v.LaunchTemplateData.ImageId) },
	"instance-type":      func(v ec2.LaunchTemplateVersion) []string { return text(v.LaunchTemplateData.InstanceType) },
	"kernel-id":          func(v ec2.LaunchTemplateVersion) []string { return text(v.LaunchTemplateData.KernelId) },
	"ram-disk-id":        func(v ec2.LaunchTemplateVersion) []string { return text(v.LaunchTemplateData.RamDiskId) },
	"iam-instance-profile": func(v ec2.LaunchTemplateVersion) []string {
		if p := v.LaunchTemplateData.IamInstanceProfile; p != nil {
			return append(text(p.Arn), text(p.Name)...)
		}
		return nil
	},
	"http-endpoint":      metadataOption(func(o ec2.LaunchTemplateInstanceMetadataOptions) []string { return text(o.HttpEndpoint) }),
	"http-tokens":        metadataOption(func(o ec2.LaunchTemplateInstanceMetadataOptions) []string { return text(o.HttpTokens) }),
	"http-protocol-ipv4": always[ec2.LaunchTemplateVersion]("enabled"),
	"network-card-index": func(v ec2.LaunchTemplateVersion) []string {
		return each(v.LaunchTemplateData.NetworkInterfaces, func(n ec2.LaunchTemplateInstanceNetworkInterfaceSpecification) []string {
			return integer(n.NetworkCardIndex)
		})
	},
}

func metadataOption(f func(ec2.LaunchTemplateInstanceMetadataOptions) []string) func(ec2.LaunchTemplateVersion) []string {
	return func(v ec2.LaunchTemplateVersion) []string {
		if o := v.LaunchTemplateData.MetadataOptions; o != nil {
			return f(*o)
		}
		return nil
	}
}

// describeVersion shows a version. What a caller gave and what EC2 answers are two
// shapes with the same members. resolve puts the id of the image in the place of the
// name of a parameter that leads to it.
func describeVersion(lt resource.LaunchTemplate, v resource.LaunchTemplateVersion, region string, resolve bool) (*ec2.LaunchTemplateVersion, error) {
	var data ec2.ResponseLaunchTemplateData
	if err := json.Unmarshal(v.Data, &data); err != nil {
		return nil, fmt.Errorf("reading version %s of launch template %s: %w", strconv.FormatInt(v.Number, 10), lt.ID, err)
	}
	if resolve {
		if id, ok := ami.Resolve(region, deref(data.ImageId)); ok {
			data.ImageId = &id
		}
	}
	return &ec2.LaunchTemplateVersion{
		LaunchTemplateId: &lt.ID, LaunchTemplateName: &lt.Name, VersionNumber: &v.Number, VersionDescription: some(v.Description),
		CreateTime: &v.Created, CreatedBy: &v.Creator, DefaultVersion: new(v.Number == lt.Default), LaunchTemplateData: &data,
		Operator: &ec2.OperatorResponse{Managed: new(false)},
	}, nil
}
