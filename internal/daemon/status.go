package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Status is what `ekster status` shows.
type Status struct {
	PID        int               `json:"pid"`
	Endpoint   string            `json:"endpoint"`
	Account    string            `json:"account"`
	Versions   []string          `json:"versions"` // Kubernetes minors whose payload is there
	Clusters   []ClusterStatus   `json:"clusters"`
	Nodegroups []NodegroupStatus `json:"nodegroups"`
	Machines   []MachineStatus   `json:"machines"`
	Errors     map[string]string `json:"errors,omitempty"` // controller and key → last error
}

// ClusterStatus is a line of Status.
type ClusterStatus struct {
	ARN, Name, Account, Region, Version, State, Endpoint, Waiting string
	Dir                                                           string // of its control plane
}

// NodegroupStatus is a line of Status.
type NodegroupStatus struct {
	Name, Cluster, State, Waiting string
	Ready, Desired                int
}

// MachineStatus is a line of Status.
type MachineStatus struct {
	ID, Type, State, Zone, Address, Node, Waiting string
	Ready                                         bool
}

// Status gathers what there is and what it waits for.
func (d *Daemon) Status() Status {
	out := Status{
		PID: os.Getpid(), Endpoint: d.Endpoint(), Account: d.settings.Account, Versions: d.cfg.Payload.Minors(), Errors: map[string]string{},
		Clusters: []ClusterStatus{}, Nodegroups: []NodegroupStatus{}, Machines: []MachineStatus{},
	}
	_ = d.store.View(func(tx *store.Tx) error {
		for _, c := range tx.Clusters.All() {
			out.Clusters = append(out.Clusters, ClusterStatus{
				ARN: c.ARN, Name: c.Name, Account: c.Account, Region: c.Region, Version: c.Version(), State: c.Current(),
				Endpoint: c.Status.Endpoint, Waiting: c.Status.Waiting, Dir: cluster.Dir(d.cfg.Dir.Clusters(), c),
			})
		}
		for _, n := range tx.Nodegroups.All() {
			_, clusterName, _ := strings.Cut(n.Cluster, "cluster/")
			out.Nodegroups = append(out.Nodegroups, NodegroupStatus{
				Name: n.Name, Cluster: clusterName, State: n.Current(), Waiting: n.Status.Waiting, Ready: n.Status.ReadyNodes, Desired: int(provision.DesiredNodes(tx, n)),
			})
		}
		nodes := map[string]resource.Node{}
		for _, n := range tx.Nodes.All() {
			nodes[n.Instance] = n
		}
		for _, i := range tx.Instances.All() {
			if i.Status.State == resource.InstanceTerminated {
				continue
			}
			n := nodes[i.ID]
			m := MachineStatus{
				ID: i.ID, Type: i.Spec.Type, State: i.Current(), Zone: i.Spec.Zone, Address: i.Spec.PrivateIP, Node: n.Name, Ready: n.Ready, Waiting: i.Status.Waiting,
			}
			if m.Waiting == "" && n.Name != "" && !n.Ready {
				m.Waiting = n.Reason
			}
			out.Machines = append(out.Machines, m)
		}
		return nil
	})
	for name, errs := range d.controllerErrors() {
		for key, err := range errs {
			out.Errors[name+" "+key] = err.Error()
		}
	}
	return out
}

// serveAdmin answers the CLI on a unix socket that only root may open.
func (d *Daemon) serveAdmin() (*http.Server, error) {
	path := d.cfg.Dir.Socket()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the socket for the CLI: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(d.Status()); err != nil {
			d.log.Debug("answering the CLI", "err", err)
		}
	})
	d.serveAccounts(mux)
	d.serveCapacity(mux)
	d.serveZones(mux)
	d.serveShifts(mux)
	s := &http.Server{Handler: mux}
	go d.serve(s, l)
	return s, nil
}
