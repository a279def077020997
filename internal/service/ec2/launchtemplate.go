package ec2

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var templateName = regexp.MustCompile(`^[a-zA-Z0-9().\-/_]{3,128}$`)

// CreateLaunchTemplate makes a template with its first version.
func (s *Service) CreateLaunchTemplate(ctx context.Context, call awsapi.Call, in *ec2.CreateLaunchTemplateInput) (*ec2.CreateLaunchTemplateOutput, error) {
	tags, err := specTags(in.TagSpecifications, "launch-template")
	if err != nil {
		return nil, err
	}
	if !templateName.MatchString(*in.LaunchTemplateName) {
		return nil, fault("InvalidLaunchTemplateName.MalformedException", "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.")
	}
	version, err := newVersion(call, 1, in.LaunchTemplateData, nil, deref(in.VersionDescription), deref(in.ClientToken))
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateLaunchTemplateOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lt := resource.LaunchTemplate{
			Home: homeOf(call), ID: awsid.New("lt"), Name: *in.LaunchTemplateName, Created: call.Time, Creator: call.Caller.ARN, Default: 1, Latest: 1,
			Versions: []resource.LaunchTemplateVersion{version}, Tags: tags["launch-template"], Token: deref(in.ClientToken),
		}
		for _, prior := range tx.LaunchTemplates.All() {
			if prior.Home != lt.Home {
				continue
			}
			if lt.Token != "" && prior.Token == lt.Token {
				if prior.Name != lt.Name || !bytes.Equal(prior.Versions[0].Data, version.Data) {
					return idempotentMismatch()
				}
				out.LaunchTemplate = new(describeTemplate(prior))
				return nil
			}
			if prior.Name == lt.Name {
				return fault("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
			}
		}
		tx.LaunchTemplates.Put(lt.ID, lt)
		out.LaunchTemplate = new(describeTemplate(lt))
		return nil
	})
}

// newVersion checks what a template is to hold. base is the data of the version that
// it builds upon, if any.
func newVersion(call awsapi.Call, number int64, data *ec2.RequestLaunchTemplateData, base []byte, description, token string) (resource.LaunchTemplateVersion, error) {
	v := resource.LaunchTemplateVersion{Number: number, Description: description, Created: call.Time, Creator: call.Caller.ARN, Token: token}
	if _, err := provision.UserData(deref(data.UserData)); err != nil {
		return v, err
	}
	for _, spec := range data.TagSpecifications {
		if deref(spec.ResourceType) == "" {
			return v, missing("ResourceType")
		}
		if _, err := readTags(spec.Tags); err != nil {
			return v, err
		}
	}
	var err error
	v.Data, err = mergeData(base, data)
	return v, err
}

// mergeData encodes data over base: members that data has replace those of base whole.
// Members without a value are left out, which makes a template some hundred bytes
// instead of some thousand.
func mergeData(base []byte, data *ec2.RequestLaunchTemplateData) ([]byte, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding launch template data: %w", err)
	}
	members := map[string]any{}
	for _, part := range [][]byte{base, raw} {
		if part == nil {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(part))
		d.UseNumber()
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			return nil, fmt.Errorf("encoding launch template data: %w", err)
		}
		for k, v := range m {
			if v = compact(v); v != nil {
				members[k] = v
			}
		}
	}
	return json.Marshal(members)
}

// compact takes null members out of a JSON value.
func compact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			if member = compact(member); member == nil {
				delete(v, k)
			} else {
				v[k] = member
			}
		}
	case []any:
		for i := range v {
			v[i] = compact(v[i])
		}
	}
	return v
}

// ModifyLaunchTemplate sets the default version.
func (s *Service) ModifyLaunchTemplate(ctx context.Context, call awsapi.Call, in *ec2.ModifyLaunchTemplateInput) (*ec2.ModifyLaunchTemplateOutput, error) {
	out := &ec2.ModifyLaunchTemplateOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lt, err := oneTemplate(tx, call, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return err
		}
		if in.DefaultVersion != nil {
			v, err := provision.TemplateVersion(lt, *in.DefaultVersion)
			if err != nil {
				return err
			}
			lt.Default = v.Number
			tx.LaunchTemplates.Put(lt.ID, lt)
		}
		out.LaunchTemplate = new(describeTemplate(lt))
		return nil
	})
}

// DeleteLaunchTemplate takes a template away with all its versions.
func (s *Service) DeleteLaunchTemplate(ctx context.Context, call awsapi.Call, in *ec2.DeleteLaunchTemplateInput) (*ec2.DeleteLaunchTemplateOutput, error) {
	out := &ec2.DeleteLaunchTemplateOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lt, err := oneTemplate(tx, call, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return err
		}
		tx.LaunchTemplates.Delete(lt.ID)
		out.LaunchTemplate = new(describeTemplate(lt))
		return nil
	})
}

// oneTemplate is the template that a request names, by id or by name.
func oneTemplate(tx *store.Tx, call awsapi.Call, id, name *string) (resource.LaunchTemplate, error) {
	switch {
	case deref(id) == "" && deref(name) == "":
		return resource.LaunchTemplate{}, fault("MissingParameter", "Either launch template ID or launch template name must be specified.")
	case deref(id) != "" && deref(name) != "":
		return resource.LaunchTemplate{}, fault("InvalidParameterCombination", "You cannot specify both a launch template ID and a launch template name.")
	}
	return provision.LookupLaunchTemplate(tx, homeOf(call), deref(id), deref(name))
}

// DescribeLaunchTemplates lists launch templates.
func (s *Service) DescribeLaunchTemplates(ctx context.Context, call awsapi.Call, in *ec2.DescribeLaunchTemplatesInput) (*ec2.DescribeLaunchTemplatesOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.LaunchTemplate]{
		"create-time":          func(t ec2.LaunchTemplate) []string { return []string{t.CreateTime.UTC().Format(filterTime)} },
		"launch-template-name": func(t ec2.LaunchTemplate) []string { return text(t.LaunchTemplateName) },
	}, func(t ec2.LaunchTemplate) []ec2.Tag { return t.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeLaunchTemplatesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		var list []resource.LaunchTemplate
		for _, id := range in.LaunchTemplateIds {
			lt, err := provision.LookupLaunchTemplate(tx, homeOf(call), id, "")
			if err != nil {
				return err
			}
			list = append(list, lt)
		}
		for _, name := range in.LaunchTemplateNames {
			lt, err := provision.LookupLaunchTemplate(tx, homeOf(call), "", name)
			if err != nil {
				return err
			}
			list = append(list, lt)
		}
		if len(in.LaunchTemplateIds)+len(in.LaunchTemplateNames) == 0 {
			list = slices.Collect(tx.LaunchTemplates.Values(func(lt resource.LaunchTemplate) bool { return lt.Home == homeOf(call) }))
		}
		var all []ec2.LaunchTemplate
		for _, lt := range list {
			if d := describeTemplate(lt); match(d) {
				all = append(all, d)
			}
		}
		key := func(t ec2.LaunchTemplate) string { return *t.LaunchTemplateId }
		slices.SortFunc(all, func(a, b ec2.LaunchTemplate) int { return cmp.Compare(key(a), key(b)) })
		all = slices.CompactFunc(all, func(a, b ec2.LaunchTemplate) bool { return key(a) == key(b) })
		out.LaunchTemplates, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 0)
		return err
	})
}

func describeTemplate(lt resource.LaunchTemplate) ec2.LaunchTemplate {
	return ec2.LaunchTemplate{
		LaunchTemplateId: &lt.ID, LaunchTemplateName: &lt.Name, CreateTime: &lt.Created, CreatedBy: &lt.Creator,
		DefaultVersionNumber: &lt.Default, LatestVersionNumber: &lt.Latest, Tags: tagSet(lt.Tags),
		Operator: &ec2.OperatorResponse{Managed: new(false)},
	}
}

// versionNumber reads a bound of a range of versions.
func versionNumber(s *string, otherwise int64) (int64, error) {
	if s == nil {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(*s, 10, 64)
	if err != nil {
		return 0, fault("InvalidParameterValue", "Invalid launch template version: %s", *s)
	}
	return n, nil
}
