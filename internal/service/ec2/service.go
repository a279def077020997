// Package ec2 serves the slice of the EC2 API that EKS's clients use: networks,
// security groups, interfaces, launch templates, instances, fleets, Spot requests, and the
// catalogues of regions, images and instance types.
//
// A file holds one noun: its operations, its filters and its shape. A handler reads
// the request, has package provision do the work in one store transaction, and
// describes the records. Every first call in a region makes its default VPC.
//
//	filter.go, page.go   what all Describe operations share
//	tag.go               tags of all nouns
//	dry run              a transaction that is done, checks and all, and then given up
//
// Nothing here is real: controller/vpc and controller/instance make it so. There is no
// subnet without IPv4 and no service of AWS's by IPv6, no endpoint policy, no capacity
// reservation, elastic GPU or licence. Members of a request that ask for those are refused
// where a client would otherwise be misled, and ignored where they only tune.
package ec2

import (
	"context"
	"net/http"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Service is the EC2 API over a store.
type Service struct {
	ec2.Unimplemented
	store *store.Store

	// Console returns the last bytes of what an instance's machine has printed, and when it
	// last did; the zero time if there is none. It is nil where no machines are run.
	Console func(instance string, most int64) ([]byte, time.Time, error)
}

// New returns the EC2 API over s.
func New(s *store.Store) *Service { return &Service{store: s} }

func homeOf(call awsapi.Call) resource.Home {
	return resource.Home{Account: call.Account, Region: call.Region}
}

// view runs f on the records, with the region's default VPC among them.
func (s *Service) view(ctx context.Context, call awsapi.Call, dryRun *bool, f func(tx *store.Tx) error) error {
	if is(dryRun) {
		return dryRunOperation()
	}
	if err := s.ensureRegion(ctx, call); err != nil {
		return err
	}
	return s.store.View(f)
}

// update runs f in a transaction. A dry run does all that f does, and nothing of it is
// kept: it ends with EC2's error for a dry run that would have succeeded.
func (s *Service) update(ctx context.Context, call awsapi.Call, dryRun *bool, f func(tx *store.Tx) error) error {
	if err := s.ensureRegion(ctx, call); err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if is(dryRun) {
			return dryRunOperation()
		}
		return nil
	})
}

func (s *Service) ensureRegion(ctx context.Context, call awsapi.Call) error {
	ready := false
	err := s.store.View(func(tx *store.Tx) error {
		ready = provision.RegionReady(tx, homeOf(call))
		return nil
	})
	if err != nil || ready {
		return err
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		_, err := provision.EnsureRegion(tx, homeOf(call), call.Time)
		return err
	})
}

func dryRunOperation() error {
	return awsapi.Errorf("DryRunOperation", http.StatusPreconditionFailed, "Request would have succeeded, but DryRun flag is set.")
}

// fault is an error of EC2's that the caller can mend.
func fault(code, format string, args ...any) error {
	return awsapi.Errorf(code, http.StatusBadRequest, format, args...)
}

func missing(parameter string) error {
	return fault("MissingParameter", "The request must contain the parameter %s", parameter)
}

// unsupported is the answer to a member that asks for what is not there.
func unsupported(what string) error {
	return fault("UnsupportedOperation", "%s is not supported yet.", what)
}

// An ask is something that a request may ask for, and whether it does.
type ask struct {
	what string
	is   bool
}

// reject returns an error for the first thing that is asked for.
func reject(asks ...ask) error {
	for _, a := range asks {
		if a.is {
			return unsupported(a.what)
		}
	}
	return nil
}

func is(b *bool) bool { return b != nil && *b }

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// some returns a pointer to s, or nil where s is empty: EC2 leaves out what is not so.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
