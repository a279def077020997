package resource

// A Payload is what machines can be booted from on this host. The daemon writes the one there
// is, with the key NodePayload.
type Payload struct {
	ID     string
	Minors []string // versions of Kubernetes: 1.35
}

// NodePayload is the key of what nodes are booted from.
const NodePayload = "node"
