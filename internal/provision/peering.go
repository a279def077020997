package provision

import (
	"net/netip"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// LookupPeering returns a peering connection of which home has a side.
func LookupPeering(tx *store.Tx, home resource.Home, id string, now time.Time) (resource.PeeringConnection, error) {
	if p, ok := tx.PeeringConnections.Get(id); ok && p.Home == home && (p.Ended.IsZero() || now.Sub(p.Ended) < EndedVisible) {
		return p, nil
	}
	return resource.PeeringConnection{}, fault("InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '%s' does not exist", id)
}

// Peering asks one VPC of home's to be joined to another.
func Peering(tx *store.Tx, home resource.Home, requester, accepter string, tags resource.Tags, now time.Time) (resource.PeeringConnection, error) {
	none := resource.PeeringConnection{}
	for id, p := range tx.PeeringConnections.All() {
		if !p.Ended.IsZero() && now.Sub(p.Ended) > EndedVisible {
			tx.PeeringConnections.Delete(id)
		}
	}
	from, err := LookupVPC(tx, home, requester)
	if err != nil {
		return none, err
	}
	to, err := LookupVPC(tx, home, accepter)
	if err != nil {
		return none, err
	}
	if from.ID == to.ID {
		return none, fault("InvalidParameterValue", "Source and peer VPCs must be different")
	}
	for _, p := range tx.PeeringConnections.All() {
		same := p.Requester == from.ID && p.Accepter == to.ID || p.Requester == to.ID && p.Accepter == from.ID
		if same && p.Ended.IsZero() {
			return none, fault("VpcPeeringConnectionAlreadyExists", "vpc-peering-connection %s already exists", p.ID)
		}
	}
	p := resource.PeeringConnection{
		Home: home, ID: awsid.New("pcx"), Requester: from.ID, Accepter: to.ID, RequesterCIDR: blocks(from), AccepterCIDR: blocks(to),
		State: resource.PeeringPending, Tags: tags,
	}
	for _, a := range p.RequesterCIDR {
		for _, b := range p.AccepterCIDR {
			if a.Overlaps(b) {
				p.State, p.Ended = resource.PeeringFailed, now
			}
		}
	}
	tx.PeeringConnections.Put(p.ID, p)
	return p, nil
}

// Peered says whether two VPCs are joined.
func Peered(tx *store.Tx, a, b string) bool {
	for range tx.PeeringConnections.Values(func(p resource.PeeringConnection) bool {
		return p.State == resource.PeeringActive && (p.Requester == a && p.Accepter == b || p.Requester == b && p.Accepter == a)
	}) {
		return true
	}
	return false
}

func blocks(v resource.VPC) (out []netip.Prefix) {
	for _, c := range v.CIDRs {
		out = append(out, c.CIDR)
	}
	return out
}

// MovePeering changes the state of a peering connection: accepted and rejected ones were
// pending, any that has not ended may be deleted.
func MovePeering(tx *store.Tx, home resource.Home, id, state string, now time.Time) (resource.PeeringConnection, error) {
	p, err := LookupPeering(tx, home, id, now)
	if err != nil {
		return p, err
	}
	switch {
	case p.State == state && state != resource.PeeringRejected:
		return p, nil
	case !p.Ended.IsZero(), state != resource.PeeringDeleted && p.State != resource.PeeringPending:
		return p, fault("InvalidStateTransition", "Invalid state transition for %s, attempted to transition from %s to %s", id, p.State, state)
	}
	p.State = state
	if state != resource.PeeringActive {
		p.Ended = now
	}
	tx.PeeringConnections.Put(id, p)
	return p, nil
}
