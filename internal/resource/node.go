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

	Conditions []NodeCondition // those that are bad, by type
}

// NodeKey is the key of a node's record.
func NodeKey(cluster, name string) string { return cluster + "|" + name }

// A NodeChange is what an update of a node group changes on live nodes. controller/nodegroup
// says it and controller/node does it.
type NodeChange struct {
	Cordon       *bool // whether the node takes no more pods; nil: as it is
	SetLabels    map[string]string
	RemoveLabels []string
	SetTaints    []Taint
	RemoveTaints []Taint
}

// Empty says whether nothing is to be changed.
func (n NodeChange) Empty() bool {
	return n.Cordon == nil && len(n.SetLabels)+len(n.RemoveLabels)+len(n.SetTaints)+len(n.RemoveTaints) == 0
}
