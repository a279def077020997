package resource

// DHCPOptions are what the machines of VPCs are told when they boot. The key is the id.
type DHCPOptions struct {
	Home
	ID          string // dopt-…
	Default     bool   // the set that new VPCs of the region get
	Domain      string // one or several, separated by spaces
	NameServers []string
	NTPServers  []string
	Tags        Tags
}

// AmazonDNS among NameServers is the VPC's own DNS server.
const AmazonDNS = "AmazonProvidedDNS"

// NoDHCPOptions is the VPC's DHCPOptions where its machines are told nothing.
const NoDHCPOptions = "default"
