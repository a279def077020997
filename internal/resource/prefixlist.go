package resource

import "net/netip"

// A PrefixList is a customer-managed prefix list: blocks of addresses that security group
// rules and routes name together. Its key is its id.
type PrefixList struct {
	Home
	ID         string // pl-…
	Name       string
	Family     string // IPv4, IPv6
	MaxEntries int32
	Versions   [][]PrefixListEntry // the last one holds
	State      string              // as the API spells it
	Message    string              // why the last change has failed
	Managed    bool                // by AWS: it has no versions, and nobody changes it
	Token      string              // ClientToken of the create
	Print      string              // of the request that Token stands for
	Tags       Tags
}

// A PrefixListEntry is one block.
type PrefixListEntry struct {
	CIDR        netip.Prefix
	Description string
}

// Entries are the blocks of the list as it is now.
func (l PrefixList) Entries() []PrefixListEntry {
	if len(l.Versions) == 0 {
		return nil
	}
	return l.Versions[len(l.Versions)-1]
}

// Version is the number of the version that holds.
func (l PrefixList) Version() int64 { return int64(len(l.Versions)) }
