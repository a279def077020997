package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ekster.dev/ekster/internal/process"
)

// A Status is what `ekster status -o json` prints, as far as the lab reads it.
type Status struct {
	PID        int
	Endpoint   string
	Account    string
	Versions   []string
	Clusters   []ClusterStatus
	Nodegroups []struct {
		Name, Cluster, State, Waiting string
		Ready, Desired                int
	}
	Machines []MachineStatus
	Errors   map[string]string
}

// ClusterStatus is a cluster in Status.
type ClusterStatus struct{ ARN, Name, Version, State, Endpoint, Waiting, Dir string }

// MachineStatus is an instance in Status.
type MachineStatus struct {
	ID, Type, State, Zone, Address, Node, Waiting string
	Ready                                         bool
}

// Status is `ekster status -o json`.
func (d *Daemon) Status(ctx context.Context) (Status, error) {
	var st Status
	out, err := d.Run(ctx, "status", "-o", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// Prefix is how the daemon's things on this host begin; known once it was started.
func (d *Daemon) Prefix() (string, error) {
	var settings struct{ Prefix string }
	raw, err := os.ReadFile(filepath.Join(d.State, "config.json"))
	if err != nil {
		return "", err
	}
	return settings.Prefix, json.Unmarshal(raw, &settings)
}

// PlanePID is the process of a cluster's control plane.
func (d *Daemon) PlanePID(ctx context.Context, name string) (int, error) {
	st, err := d.Status(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range st.Clusters {
		if c.Name == name {
			return alive(filepath.Join(c.Dir, "process"), "control-plane")
		}
	}
	return 0, fmt.Errorf("there is no cluster %s", name)
}

// InstancePID is pid 1 of an instance, as the host numbers it.
func (d *Daemon) InstancePID(id string) (int, error) {
	return alive(filepath.Join(d.State, "instances", id), "init")
}

func alive(dir, name string) (int, error) {
	p, ok, err := process.Find(dir, name)
	if err == nil && !ok {
		err = fmt.Errorf("%s of %s does not run", name, dir)
	}
	return p.PID, err
}

// ChildPID is the process called name that the process parent has started.
func ChildPID(parent int, name string) (int, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		return 0, err
	}
	for _, t := range threads {
		raw, err := os.ReadFile(t)
		if err != nil {
			continue // that thread has ended
		}
		for child := range strings.FieldsSeq(string(raw)) {
			comm, err := os.ReadFile(filepath.Join("/proc", child, "comm"))
			if err != nil || string(comm) != name+"\n" {
				continue
			}
			var pid int
			_, err = fmt.Sscan(child, &pid)
			return pid, err
		}
	}
	return 0, fmt.Errorf("process %d has no child %s", parent, name)
}
