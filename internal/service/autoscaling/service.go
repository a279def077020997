// Package autoscaling serves the Auto Scaling API: groups, what they have done, their
// instances and tags.
//
// It writes what a group should be (Spec, Deleting) and reads what it is. Package
// controller/autoscalinggroup launches and terminates; EKS's managed node groups have
// their groups here too, made by their controller, and these can be seen and changed like any other.
//
// A client's wish about an instance (Standby, Detaching, a health) begins in the record of its
// membership, with its activity, and the group's controller takes it on from there.
//
// Groups launch from launch templates. Launch configurations, notifications of lifecycle hooks, load
// balancers, warm pools and attribute-based instance selection are refused by name.
package autoscaling

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Service serves the Auto Scaling API from the records of a store.
type Service struct {
	store *store.Store
}

var _ autoscaling.API = (*Service)(nil)

// New returns the Auto Scaling API over st.
func New(st *store.Store) *Service { return &Service{store: st} }

// change runs f on the group of that name and writes what f made of it.
func (s *Service) change(ctx context.Context, call awsapi.Call, name *string, f func(tx *store.Tx, g *resource.AutoScalingGroup) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, call, deref(name))
		if err != nil {
			return err
		}
		if err := f(tx, &g); err != nil {
			return err
		}
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
}

// findGroup looks a group up by name.
func findGroup(tx *store.Tx, call awsapi.Call, name string) (resource.AutoScalingGroup, error) {
	for arn, g := range tx.AutoScalingGroups.All() {
		if g.Home == home(call) && g.Name == name {
			g, _ = tx.AutoScalingGroups.Get(arn)
			return g, nil
		}
	}
	return resource.AutoScalingGroup{}, validation("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

func home(call awsapi.Call) resource.Home {
	return resource.Home{Account: call.Account, Region: call.Region}
}

// members are a group's instances, in the order of their ids.
func members(tx *store.Tx, group string) []resource.GroupInstance {
	return slices.Collect(tx.GroupInstances.Values(func(m resource.GroupInstance) bool { return m.Group == group }))
}

// page cuts a list, which is in the order of its keys, into pages.
func page[T any](items []T, key func(T) string, order func(a, b string) int, token *string, max *int32, most int) ([]T, *string, error) {
	if max != nil {
		if *max < 1 || int(*max) > most {
			return nil, nil, validation("MaxRecords must be between 1 and %d", most)
		}
		most = int(*max)
	}
	out, next, ok := awsapi.Page(items, key, order, token, most)
	if !ok {
		return nil, nil, &autoscaling.InvalidNextToken{Message: new("The token '" + *token + "' is invalid.")}
	}
	return out, next, nil
}

func ascending(a, b string) int { return cmp.Compare(a, b) }

func validation(format string, args ...any) error {
	return awsapi.Errorf("ValidationError", 400, format, args...)
}

func resourceInUse(message string) error {
	return &autoscaling.ResourceInUseFault{Message: &message}
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional is nil for a zero value: a member without a value is left out.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// set overwrites a setting if the caller has given it.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

// unsupported refuses by name what is not built.
func unsupported(parameter string) error {
	return awsapi.Errorf("NotImplemented", 501, "The parameter %s of Auto Scaling groups is not supported yet.", parameter)
}

func groupARN(call awsapi.Call, uuid, name string) string {
	return fmt.Sprintf("arn:aws:autoscaling:%s:%s:autoScalingGroup:%s:autoScalingGroupName/%s", call.Region, call.Account, uuid, name)
}
