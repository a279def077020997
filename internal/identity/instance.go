package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	instanceLifetime = 6 * time.Hour
	ec2Service       = "ec2.amazonaws.com"
)

// ErrNotTrusted is for a role whose trust policy does not let EC2 assume it.
var ErrNotTrusted = errors.New("the role does not trust " + ec2Service)

// Instances gives instances credentials of the roles in their profiles.
type Instances struct {
	Store    *store.Store
	Policies *Policies
	Lifetime Lifetime
}

// Credentials returns credentials of the role in the instance's profile, for IMDS of a
// version, 1.0 or 2.0, which has its own: policies may tell them apart. They
// last six hours and are handed out again until an hour, a sixth of their time, before
// their end: SDKs refresh some minutes before the expiration that they are told, so the two
// overlap amply. What is handed out already outlives a change of the trust policy.
// ok is false while the instance has no profile, or its profile no role.
func (g Instances) Credentials(ctx context.Context, i resource.Instance, version string, now time.Time) (s resource.Session, ok bool, err error) {
	var role resource.Role
	err = g.Store.View(func(tx *store.Tx) error {
		if role, ok = instanceRole(tx, i); !ok {
			return nil
		}
		s, _ = freshSession(tx, i, role, version, now)
		return nil
	})
	if err != nil || !ok || s.AccessKeyID != "" {
		return s, ok, err
	}
	err = g.Store.Update(ctx, func(tx *store.Tx) error {
		if role, ok = instanceRole(tx, i); !ok {
			return nil
		}
		var fresh bool
		if s, fresh = freshSession(tx, i, role, version, now); fresh {
			return nil
		}
		trusted, err := g.Policies.ServiceMayAssume(tx, role, ec2Service, instanceARN(i))
		if err == nil && !trusted {
			err = fmt.Errorf("%w: %s", ErrNotTrusted, role.ARN)
		}
		if err != nil {
			return err
		}
		s = NewSession(tx, role, Grant{Name: i.ID, Lifetime: g.Lifetime.Of(instanceLifetime), Instance: i.ID, Delivery: version}, now)
		return nil
	})
	if err != nil {
		return s, false, fmt.Errorf("making credentials for %s: %w", i.ID, err)
	}
	return s, ok, nil
}

func instanceARN(i resource.Instance) string {
	return "arn:aws:ec2:" + i.Region + ":" + i.Account + ":instance/" + i.ID
}

// instanceRole returns the role in the instance's profile.
func instanceRole(tx *store.Tx, i resource.Instance) (resource.Role, bool) {
	p, ok := tx.InstanceProfiles.Get(i.Spec.InstanceProfileARN)
	if !ok {
		return resource.Role{}, false
	}
	return tx.Roles.Get(p.Role)
}

// freshSession finds the newest session of the instance that is good for a while yet.
func freshSession(tx *store.Tx, i resource.Instance, role resource.Role, version string, now time.Time) (best resource.Session, ok bool) {
	for _, s := range tx.Sessions.All() {
		if s.Instance == i.ID && s.RoleID == role.ID && s.Delivery == version && s.Expires.Sub(now) > s.Expires.Sub(s.Issued)/6 && s.Expires.After(best.Expires) {
			best, ok = s, true
		}
	}
	return best, ok
}
