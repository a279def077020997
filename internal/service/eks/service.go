// Package eks serves the Amazon EKS API: clusters, managed node groups, add-ons, access entries,
// updates, tags and versions.
//
// A create is answered in three steps, of which the second and third are one transaction:
//
//	newX(input)        EKS's defaults, and the checks that need no other record; pure
//	check against      roles, subnets, security groups, templates, quotas, names
//	what is there
//	records            the noun with status CREATING, and what EKS makes at once with it
//
// so that a refused call leaves nothing behind. The controllers of the nouns make the
// records real.
//
// What EKS has and Ekster cannot make real is refused by name (see errors.go, notYet), and
// never recorded as if it were so. Operations without a method here are answered by
// eks.Unimplemented.
package eks

import (
	"context"
	"sync"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Config is what a Service is made of.
type Config struct {
	Store    *store.Store
	Payload  func(minor string) bool // whether a Kubernetes version can be run here
	Policies *identity.Policies      // nil: a cache of its own
	Addons   *addon.Catalogue        // nil: one of its own
}

// A Service serves the EKS API from the records of a store.
type Service struct {
	eks.Unimplemented
	store    *store.Store
	payload  func(minor string) bool
	policies func() (*identity.Policies, error)
	addons   func() (*addon.Catalogue, error)
}

var _ eks.API = (*Service)(nil)

// New returns the EKS API.
func New(c Config) *Service {
	s := &Service{store: c.Store, payload: c.Payload}
	s.addons = func() (*addon.Catalogue, error) { return c.Addons, nil }
	if c.Addons == nil {
		s.addons = sync.OnceValues(addon.Load)
	}
	s.policies = func() (*identity.Policies, error) { return c.Policies, nil }
	if c.Policies == nil {
		s.policies = sync.OnceValues(func() (*identity.Policies, error) {
			aws, err := identity.LoadAWSPolicies()
			if err != nil {
				return nil, err
			}
			return identity.NewPolicies(aws), nil
		})
	}
	return s
}

// view runs a read.
func view[Out any](s *Service, f func(tx *store.Tx) (*Out, error)) (*Out, error) {
	return store.Read(s.store, f)
}

// update runs a write.
func update[Out any](ctx context.Context, s *Service, f func(tx *store.Tx) (*Out, error)) (*Out, error) {
	return store.Write(ctx, s.store, f)
}

func home(call awsapi.Call) resource.Home {
	return resource.Home{Account: call.Account, Region: call.Region}
}

// arn is an ARN of EKS in the account and region of the call.
func arn(call awsapi.Call, rest string) string {
	return "arn:aws:eks:" + call.Region + ":" + call.Account + ":" + rest
}

func clusterARN(call awsapi.Call, name string) string { return arn(call, "cluster/"+name) }

// findCluster returns the cluster of that name, or EKS's ResourceNotFoundException.
func findCluster(tx *store.Tx, call awsapi.Call, name string) (resource.Cluster, error) {
	c, ok := tx.Clusters.Get(clusterARN(call, name))
	if !ok {
		return c, &eks.ResourceNotFoundException{ClusterName: &name, Message: new("No cluster found for name: " + name + ".")}
	}
	return c, nil
}

// findActiveCluster is findCluster for what a cluster can be asked once it has been ACTIVE,
// also during an update.
func findActiveCluster(tx *store.Tx, call awsapi.Call, name string) (resource.Cluster, error) {
	c, err := findCluster(tx, call, name)
	if err != nil {
		return c, err
	}
	if s := c.Current(); s != resource.ClusterActive && s != resource.ClusterUpdating {
		return c, notActive(name)
	}
	return c, nil
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// or is what was given, or the default.
func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

// optional is nil for a zero value: a member without a value is left out.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
