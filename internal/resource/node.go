package resource

import "time"

// A Node is what controller/node sees of a Kubernetes Node in one of our clusters.
// Its key is NodeKey(cluster ARN, node name). controller/node writes it; heartbeats do
// not show here, so it is written seldom.
type Node struct {
	Cluster  string // ARN
	Name     string
	Instance string // i-…, from the provider id
	Ready    bool
	Reason   string // of not being ready
	Version  string // of the kubelet
	Cordoned bool
	Since    time.Time // of Ready's value
}

// NodeKey is the key of a node's record.
func NodeKey(cluster, name string) string { return cluster + "|" + name }
