// Package machine runs EC2 instances as process trees.
//
// An instance has a pid 1 (cmd/machine-init) in mount, pid, uts, ipc and cgroup
// namespaces of its own and in the network namespace that it is given. It is
// bounded by a cgroup of its own and keeps all of its state in one directory:
//
//	<dir>/instance.json   what it is made of, for machine-init (package spec)
//	<dir>/state.json      the generation that was started last, and how often
//	<dir>/init.json       its pid 1 (package process)
//	<dir>/console.log     what its boot and its init print
//	<dir>/ending          how it has ended itself, if it has
//	<dir>/disk/           its root file system, kept over stop and start: either
//	                      the directory itself, or the mount point of
//	<dir>/disk.img        a sparse file of the volume's size (Config.DiskGiB)
//
// On the host it owns <dir>, the cgroups <hierarchy>/<parent>/<id>, and
// processes; its mounts are in its mount namespace and end with pid 1.
//
// The package does not restart an instance that died (see Config.Generation),
// makes no network, and serves no metadata: what an instance does, it learns
// from IMDS at 169.254.169.254.
package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/durable"
	"ekster.dev/ekster/internal/machine/spec"
	"ekster.dev/ekster/internal/process"
)

// Config is one instance as it should be.
type Config struct {
	ID       string // instance id
	Dir      string // directory of its own
	Netns    string // path of its network namespace
	Hostname string // private DNS name
	Region   string

	VCPU      int // as the instance type has; may be more than the host's
	MemoryMiB int
	// DiskGiB is the size of the root volume, and what the node reports as
	// ephemeral storage. 0: no volume of its own, all of the host's disk.
	DiskGiB int
	MaxPods int // by the type's ENI limits; 0: the node's default, 110

	CgroupParent string // name of the cgroup that holds this daemon's instances: "ekster-<prefix>"

	NodePayload string // directory with machine-init, containerd, containerd-shim-runc-v2, runc
	Kube        string // directory with kube, the multi-call binary; "": a plain instance
	// Bottlerocket says that user data is Bottlerocket's settings.
	Bottlerocket bool

	Mirror  string   // URL of the registry that mirrors all others
	Pause   string   // sandbox image
	DNS     []string // addresses of name servers
	Domains []string // that names without a dot are looked up in
	Trusted []byte   // PEM certificates trusted besides the host's

	// Generation counts how often the instance was asked to start. An instance
	// that runs is left alone. One that does not is started if it has not been
	// started in this generation yet; otherwise it has died, and stays dead.
	Generation int
}

// Status is what has become of an instance.
type Status struct {
	Running    bool
	Stopped    bool // does not run because Stop ended it: it did not die
	PoweredOff bool // does not run because somebody on it has shut it down
	Rebooted   bool // does not run because somebody on it wants it to boot again
	PID        int  // of pid 1, on the host
	Started    time.Time
	Generation int // that was started last
	Starts     int // how often it has been started in all
}

// initName is the process's name in the instance's directory.
const initName = "init"

// stopGrace is more than machine-init takes for an orderly stop.
const stopGrace = 8 * time.Second

// state is kept by us, for what package process forgets at a stop.
type state struct {
	Generation int       `json:"generation"`
	Starts     int       `json:"starts"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Stopped    bool      `json:"stopped"`
}

// Ensure starts the instance unless it runs or has died in this generation, and
// says how it is. It returns as soon as pid 1 has been started: the boot shows
// in the console log and in the cluster. Changes of Config other than its
// Generation take effect at the next start.
func Ensure(ctx context.Context, c Config) (Status, error) {
	if err := c.check(); err != nil {
		return Status{}, err
	}
	st, _, err := loadState(c.Dir)
	if err != nil {
		return Status{}, err
	}
	proc, alive, err := process.Find(c.Dir, initName)
	if err != nil {
		return Status{}, fmt.Errorf("looking for instance %s: %w", c.ID, err)
	}
	if alive {
		if proc.PID == st.PID && proc.Started.Equal(st.Started) {
			return st.status(proc, true), nil
		}
		// Started by an Ensure that did not live to write it down.
		return c.started(st, proc)
	}
	if st.Starts > 0 && st.Generation >= c.Generation {
		return st.ended(c.Dir, proc)
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "disk"), 0o755); err != nil {
		return Status{}, err
	}
	// Before anything else that Remove will have to find.
	if err := spec.Write(specFile(c.Dir), c.spec()); err != nil {
		return Status{}, fmt.Errorf("describing instance %s: %w", c.ID, err)
	}
	if err := ensureDisk(ctx, c); err != nil {
		return Status{}, fmt.Errorf("making the disk of instance %s: %w", c.ID, err)
	}
	// What a dead boot left of them would be in the way of this one.
	if err := removeCgroups(ctx, cgroupPath(c)); err != nil {
		return Status{}, fmt.Errorf("clearing the cgroups of instance %s: %w", c.ID, err)
	}
	if err := ensureCgroups(c); err != nil {
		return Status{}, fmt.Errorf("making the cgroups of instance %s: %w", c.ID, err)
	}
	// How an earlier boot has ended says nothing of one that dies before it can say anything.
	if err := os.Remove(spec.EndingFile(c.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Status{}, fmt.Errorf("forgetting how instance %s has ended before: %w", c.ID, err)
	}
	proc, _, err = process.Ensure(c.Dir, initName, process.Spec{
		Path: filepath.Join(c.NodePayload, "machine-init"),
		// The generation is an argument so that a start is told from an earlier one.
		Args:  []string{"boot", specFile(c.Dir), fmt.Sprint(c.Generation)},
		Dir:   "/",
		Log:   ConsoleLog(c.Dir),
		Netns: c.Netns,
		Clone: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	})
	if err != nil {
		return Status{}, fmt.Errorf("starting instance %s: %w", c.ID, err)
	}
	return c.started(st, proc)
}

// started records that this generation has been started.
func (c Config) started(st state, proc process.Process) (Status, error) {
	st = state{Generation: c.Generation, Starts: st.Starts + 1, PID: proc.PID, Started: proc.Started}
	if err := saveState(c.Dir, st); err != nil {
		return Status{}, err
	}
	return st.status(proc, true), nil
}

// Find says how the instance in dir is; false if there is none.
func Find(dir string) (Status, bool, error) {
	st, ok, err := loadState(dir)
	if err != nil || !ok {
		return Status{}, false, err
	}
	proc, alive, err := process.Find(dir, initName)
	if err != nil {
		return Status{}, false, err
	}
	if alive {
		return st.status(proc, true), true, nil
	}
	status, err := st.ended(dir, proc)
	return status, true, err
}

// WaitExit returns nil once the instance in dir does not run, and all that ran
// in it is gone.
func WaitExit(ctx context.Context, dir string) error {
	proc, alive, err := process.Find(dir, initName)
	if err != nil || !alive {
		return err
	}
	return proc.Wait(ctx)
}

// Stop shuts the instance in dir down in order, by force if that takes longer
// than a few seconds. Its disk stays. It may be repeated, and a stopped
// instance starts again in a new generation only.
func Stop(ctx context.Context, dir string) error {
	// Noted first: who is cut off now has stopped it all the same, to whoever
	// finds it dead.
	if err := noteStop(dir); err != nil {
		return err
	}
	if err := process.Stop(ctx, dir, initName, stopGrace); err != nil {
		return fmt.Errorf("stopping the instance in %s: %w", dir, err)
	}
	i, ok, err := readSpec(dir)
	if err != nil || !ok {
		return err
	}
	if err := removeCgroups(ctx, i.Cgroup); err != nil {
		return fmt.Errorf("removing the cgroups of instance %s: %w", i.ID, err)
	}
	return nil
}

func noteStop(dir string) error {
	st, ok, err := loadState(dir)
	if err != nil || !ok || st.Stopped {
		return err
	}
	if _, alive, err := process.Find(dir, initName); err != nil || !alive {
		return err // it died before, and not of this
	}
	st.Stopped = true
	return saveState(dir, st)
}

// Remove stops the instance in dir and deletes all there is of it, the
// directory included. It may be repeated, also after it or Ensure was cut off
// at any point.
func Remove(ctx context.Context, dir string) error {
	if err := Stop(ctx, dir); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil {
		return fmt.Errorf("unmounting below %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The description goes last: it is by what a second try finds the cgroups.
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); path != specFile(dir) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// ConsoleLog is the file with the console output of the instance in dir.
func ConsoleLog(dir string) string { return filepath.Join(dir, "console.log") }

// Console returns the last bytes, as many as most, of what the instance in dir has printed,
// and when it last did; the zero time if it never has.
func Console(dir string, most int64) ([]byte, time.Time, error) {
	f, err := os.Open(ConsoleLog(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-most), most))
	return raw, st.ModTime(), err
}

func stateFile(dir string) string { return filepath.Join(dir, "state.json") }

func specFile(dir string) string { return filepath.Join(dir, "instance.json") }

func (c Config) check() error {
	switch {
	case c.ID == "" || c.ID != filepath.Base(c.ID):
		return fmt.Errorf("instance id %q is no file name", c.ID)
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("instance %s: directory %q is not absolute", c.ID, c.Dir)
	case c.CgroupParent == "" || c.CgroupParent != filepath.Base(c.CgroupParent):
		return fmt.Errorf("instance %s: cgroup parent %q is no name", c.ID, c.CgroupParent)
	case c.VCPU < 1 || c.MemoryMiB < 1:
		return fmt.Errorf("instance %s: %d vCPU and %d MiB", c.ID, c.VCPU, c.MemoryMiB)
	}
	return nil
}

func (c Config) spec() spec.Instance {
	disk := ""
	if c.DiskGiB > 0 {
		disk = diskImage(c.Dir)
	}
	return spec.Instance{
		ID: c.ID, Hostname: c.Hostname, Region: c.Region,
		VCPU: c.VCPU, MemoryMiB: c.MemoryMiB, MaxPods: c.MaxPods,
		Root: filepath.Join(c.Dir, "disk"), Disk: disk, Cgroup: cgroupPath(c),
		Node: c.NodePayload, Kube: c.Kube, Bottlerocket: c.Bottlerocket,
		Mirror: c.Mirror, Pause: c.Pause, NameServers: c.DNS, Domains: c.Domains, Trusted: string(c.Trusted),
	}
}

func (s state) status(p process.Process, alive bool) Status {
	st := Status{Running: alive, Stopped: s.Stopped && !alive, Started: s.Started, Generation: s.Generation, Starts: s.Starts}
	if alive {
		st.PID, st.Started = p.PID, p.Started
	}
	return st
}

// ended is the status of an instance that does not run, with how it has ended itself.
func (s state) ended(dir string, p process.Process) (Status, error) {
	st := s.status(p, false)
	raw, err := os.ReadFile(spec.EndingFile(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return st, fmt.Errorf("reading how an instance has ended: %w", err)
	}
	if !st.Stopped {
		st.PoweredOff, st.Rebooted = string(raw) == spec.PoweredOff, string(raw) == spec.Rebooted
	}
	return st, nil
}

func readSpec(dir string) (spec.Instance, bool, error) {
	i, err := spec.Read(specFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return i, false, nil
	}
	if errors.Is(err, spec.ErrTorn) { // by a power loss, which has ended the cgroup, too
		slog.Warn("the description of an instance cannot be read and counts as none", "err", err)
		return i, false, nil
	}
	return i, err == nil, err
}

// loadState reads the state of the instance in dir. One that was torn by a power loss counts
// as none, as if the instance had not been started: by then it does not run any more.
func loadState(dir string) (state, bool, error) {
	raw, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		slog.Warn("the state of an instance cannot be read and counts as none", "file", stateFile(dir), "err", err)
		return state{}, false, nil
	}
	return s, true, nil
}

func saveState(dir string, s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(stateFile(dir), raw)
}
