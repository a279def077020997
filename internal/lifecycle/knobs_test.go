package lifecycle

import "ekster.dev/ekster/internal/kubeapply/kubeapplytest"

// knobs are what is wrong with the host.
type knobs struct {
	failures int             // so many calls fail from now on
	slow     int             // how often the control plane that is started next is not ready yet
	broken   map[string]bool // Kubernetes versions whose control plane does not become ready
	dies     map[string]bool // the same, whose process ends at once
	strange  bool            // machines that boot do not become nodes
	bloated  bool            // control planes have more data than a standard one holds
	stuck    bool            // nodes have pods that cannot be evicted
	gone     bool            // API servers do not answer
	down     bool            // control planes of clusters that have been ACTIVE are not ready
	cluster  kubeapplytest.Knobs
}

func (k *knobs) heal() { *k = knobs{broken: map[string]bool{}, dies: map[string]bool{}} }
