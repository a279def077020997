// Package process starts children that outlive the daemon and finds them again.
//
// A child has a name in a directory, and one file there, <name>.json, that says
// what was started and what became of it:
//
//	<dir>/<name>.json   pid, the kernel's start time of that pid, the boot it was
//	                    started in, the Spec, and how often it has been started
//
// A pid alone names nobody: it is reused, and means nothing after a reboot. With
// its start time and the boot id it names one process for good. A child also
// carries a mark in its environment, so that one whose daemon died between the
// start and the writing of the file is found and ended instead of being doubled.
//
// The package does not restart what died (the caller's reconcile does, by calling
// Ensure again), keeps no goroutine per adopted child, and knows nothing of
// what it starts.
package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/durable"
)

// A Spec says what to start. Two equal Specs are the same process.
type Spec struct {
	Path  string   // the program
	Args  []string // argv[1:]
	Env   []string // the whole environment
	Dir   string   // working directory
	Log   string   // file that stdout and stderr are appended to
	Netns string   // path of the network namespace to start in; "" is the daemon's own
	Clone uintptr  // CLONE_NEW* flags
}

// A Process is a child, of this daemon or of an earlier one.
type Process struct {
	PID     int
	Started time.Time
	Starts  int // how often the name has been started so far, this time included
}

// record is what <name>.json holds.
type record struct {
	PID     int       `json:"pid"`
	Ticks   uint64    `json:"ticks"` // start time in clock ticks since boot, /proc/PID/stat field 22
	Boot    string    `json:"boot"`
	Started time.Time `json:"started"`
	Starts  int       `json:"starts"`
	Spec    Spec      `json:"spec"`
}

// killGrace is how long Ensure lets a child with an outdated Spec end by itself.
const killGrace = 10 * time.Second

// Ensure returns the process named name in dir, started from spec if it does not
// run or runs from another Spec; started says whether it had to. The error holds
// the program's path; a program that starts and exits at once is no error here.
func Ensure(dir, name string, spec Spec) (p Process, started bool, err error) {
	return EnsureWith(dir, name, spec, nil)
}

// EnsureWith is Ensure that hands files to the process if it starts it, as descriptors 3
// and up; EKSTER_FILES in its environment says how many. They are no part of what the
// process is: one that runs is left alone, whatever files it was started with.
func EnsureWith(dir, name string, spec Spec, files []*os.File) (p Process, started bool, err error) {
	rec, ok, err := load(dir, name)
	if err != nil {
		return Process{}, false, err
	}
	if ok && rec.alive() {
		if reflect.DeepEqual(normal(rec.Spec), normal(spec)) {
			return rec.process(), false, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*killGrace)
		defer cancel()
		if err := end(ctx, rec.PID, rec.alive, killGrace); err != nil {
			return Process{}, false, fmt.Errorf("replacing %s: %w", name, err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Process{}, false, err
	}
	if err := endStrays(dir, name); err != nil {
		return Process{}, false, err
	}
	next := record{Boot: bootID(), Started: time.Now(), Starts: rec.Starts + 1, Spec: spec}
	next.PID, err = start(spec, mark(dir, name), files)
	if err != nil {
		return Process{}, false, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	st, err := stat(next.PID)
	if err != nil {
		// Our own child stays a zombie until it is reaped, so its entry is there.
		return Process{}, false, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	next.Ticks = st.ticks
	if err := save(dir, name, next); err != nil {
		return Process{}, false, err
	}
	return next.process(), true, nil
}

// Find returns the process named name in dir if it is alive.
func Find(dir, name string) (Process, bool, error) {
	rec, ok, err := load(dir, name)
	if err != nil || !ok {
		return Process{}, false, err
	}
	return rec.process(), rec.alive(), nil
}

// Stop ends the process with SIGTERM, after grace with SIGKILL, waits until it is
// gone and forgets it. It returns nil if there is none, and may be repeated.
func Stop(ctx context.Context, dir, name string, grace time.Duration) error {
	rec, ok, err := load(dir, name)
	if err != nil {
		return err
	}
	if ok && rec.alive() {
		if err := end(ctx, rec.PID, rec.alive, grace); err != nil {
			return fmt.Errorf("stopping %s: %w", name, err)
		}
	}
	if err := endStrays(dir, name); err != nil {
		return err
	}
	err = os.Remove(file(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Wait returns nil once the process is gone, whoever's child it is. It costs nothing
// meanwhile: the kernel tells the runtime's poller.
func (p Process) Wait(ctx context.Context) error {
	if p.PID <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watching process %d: %w", p.PID, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("watching process %d: %w", p.PID, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) }) // wakes the Read below
	defer stop()
	err = conn.Read(func(fd uintptr) (done bool) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("watching process %d: %w", p.PID, err)
	}
	return nil
}

func (r record) process() Process {
	return Process{PID: r.PID, Started: r.Started, Starts: r.Starts}
}

// alive says whether the very process of the record still runs.
func (r record) alive() bool {
	if r.PID <= 0 || r.Boot != bootID() {
		return false
	}
	st, err := stat(r.PID)
	return err == nil && st.ticks == r.Ticks && st.state != 'Z' && st.state != 'X'
}

// normal makes nil and empty slices alike, as JSON does.
func normal(s Spec) Spec {
	if len(s.Args) == 0 {
		s.Args = nil
	}
	if len(s.Env) == 0 {
		s.Env = nil
	}
	return s
}

func file(dir, name string) string { return filepath.Join(dir, name+".json") }

// load reads the record of a child. One that cannot be read as such counts as none: it is
// the rest of what a power loss or a full disk has torn, and a child that runs all the same
// is found by its mark.
func load(dir, name string) (record, bool, error) {
	raw, err := os.ReadFile(file(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		slog.Warn("the record of a process cannot be read and counts as none", "file", file(dir, name), "err", err)
		return record{}, false, nil
	}
	return r, true, nil
}

// save replaces the file whole or not at all: a torn one would hide a running child.
func save(dir, name string, r record) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(file(dir, name), append(raw, '\n'))
}

func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(raw))
}
