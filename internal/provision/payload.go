package provision

import (
	"context"
	"slices"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// SetPayload says which minor versions of Kubernetes there is something of to boot machines
// from. It is for the daemon, at its start and from time to time.
func SetPayload(ctx context.Context, st *store.Store, has func(minor string) bool) error {
	var minors []string
	for _, minor := range ami.Minors() {
		if has(minor) {
			minors = append(minors, minor)
		}
	}
	same := false
	err := st.View(func(tx *store.Tx) error {
		p, ok := tx.Payloads.Get(resource.NodePayload)
		same = ok && slices.Equal(p.Minors, minors)
		return nil
	})
	if err != nil || same {
		return err
	}
	return st.Update(ctx, func(tx *store.Tx) error {
		tx.Payloads.Put(resource.NodePayload, resource.Payload{ID: resource.NodePayload, Minors: minors})
		return nil
	})
}

// Bootable says whether an image's machines can boot: those of versions that are not built are
// no images at all for a caller. Where nobody has said what there is, all are.
func Bootable(tx *store.Tx, i ami.Image) bool {
	p, ok := tx.Payloads.Get(resource.NodePayload)
	return !ok || slices.Contains(p.Minors, i.Minor)
}

// LookupImage returns an image of home's region, or InvalidAMIID.NotFound.
func LookupImage(tx *store.Tx, home resource.Home, id string) (ami.Image, error) {
	if err := Images.Check(id); err != nil {
		return ami.Image{}, err
	}
	i, ok := ami.ByID(home.Region, id)
	if !ok || !Bootable(tx, i) {
		return ami.Image{}, Images.NotFound(id)
	}
	return i, nil
}
