// Package ssm serves of Systems Manager what leads to the machine images of EKS: its
// public parameters, read-only. They are data of package ami, and the same in every
// account.
//
// Nobody can put a parameter of their own yet.
package ssm

import (
	"context"
	"strings"

	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

// A Service serves the SSM API.
type Service struct {
	store *store.Store
}

var _ ssm.API = Service{}

// New returns the SSM API. It has no records of its own, and looks into st for which images there are.
func New(st *store.Store) Service { return Service{st} }

// version is that of every public parameter: each has had one value so far.
const version = 1

// GetParameter tells a parameter's value. The name may be an ARN, and may end in ":1", a
// version.
func (s Service) GetParameter(_ context.Context, call awsapi.Call, in *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
	if in.Name == nil {
		return nil, awsapi.Errorf("ValidationException", 400, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null")
	}
	name, selector := identity.ParameterName(call.Region, *in.Name)
	value, ok := ami.Parameter(call.Region, name)
	image := imageOf(call.Region, name)
	err := s.store.View(func(tx *store.Tx) error {
		ok = ok && provision.Bootable(tx, image) // SSM has none of images that are not there
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &ssm.ParameterNotFound{}
	}
	if selector != "" && selector != ":1" {
		return nil, &ssm.ParameterVersionNotFound{Message: new("Systems Manager could not find version " + selector[1:] + " of " + name + ". Verify the version and try again.")}
	}
	p := &ssm.Parameter{
		Name:             &name,
		Type:             new("String"),
		Value:            &value,
		Version:          new(int64(version)),
		LastModifiedDate: new(image.Created),
		ARN:              new(identity.ParameterARN(call.Region, call.Account, name)),
		DataType:         new("text"),
	}
	if selector != "" {
		p.Selector = &selector
	}
	return &ssm.GetParameterOutput{Parameter: p}, nil
}

// imageOf is the image that a parameter leads to. Its value is as old as the image.
func imageOf(region, name string) ami.Image {
	for _, i := range ami.All(region) {
		if strings.Contains(name, i.Minor+"/") && strings.Contains(name, "/"+i.Arch+"/") && (i.Variant == ami.Bottlerocket) == strings.Contains(name, "/bottlerocket/") {
			return i
		}
	}
	return ami.Image{}
}
