package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// markVar names the environment variable by which a child is told apart from
// everything else on the host.
const markVar = "EKSTER_PROCESS"

// filesVar tells a child how many files it was handed; see EnsureWith.
const filesVar = "EKSTER_FILES"

func mark(dir, name string) string {
	abs, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		abs = filepath.Join(dir, name)
	}
	return markVar + "=" + abs
}

// start forks spec's program in a session of its own and reaps it when it ends.
func start(spec Spec, mark string, files []*os.File) (pid int, err error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	env := append(append([]string{}, spec.Env...), mark)
	if len(files) > 0 {
		env = append(env, fmt.Sprintf("%s=%d", filesVar, len(files)))
	}
	attr := &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   env,
		Files: append([]*os.File{null, log, log}, files...),
		Sys:   &syscall.SysProcAttr{Setsid: true, Cloneflags: spec.Clone},
	}
	var proc *os.Process
	err = inNetns(spec.Netns, func() error {
		proc, err = os.StartProcess(spec.Path, append([]string{spec.Path}, spec.Args...), attr)
		return err
	})
	if err != nil {
		return 0, err
	}
	// The process lives on when the daemon ends; while it is our child it has to be
	// reaped. Nobody needs its exit status: what died is found by Find.
	go func() { _, _ = proc.Wait() }()
	return proc.Pid, nil
}

// inNetns runs f on a thread that is in the named network namespace. A child
// forked by f inherits it.
func inNetns(path string, f func() error) error {
	if path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and no other
		// goroutine ever runs in the foreign namespace.
		runtime.LockOSThread()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- fmt.Errorf("opening network namespace %s: %w", path, err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering network namespace %s: %w", path, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// end asks a process to go, insists after grace, and waits until alive says no.
func end(ctx context.Context, pid int, alive func() bool, grace time.Duration) error {
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	soft, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := (Process{PID: pid}).Wait(soft); err == nil || !alive() {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return (Process{PID: pid}).Wait(ctx)
}

// endStrays kills a child that runs under this name although no record tells of it, and
// waits until it is gone: its daemon died right after the fork, or the record was torn.
func endStrays(dir, name string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	want := []byte(mark(dir, name))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue // gone meanwhile, or a kernel thread
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if !bytes.Equal(v, want) {
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("ending stray process %d of %s: %w", pid, name, err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), killGrace)
			err := Process{PID: pid}.Wait(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("ending stray process %d of %s: %w", pid, name, err)
			}
		}
	}
	return nil
}

type procStat struct {
	state byte
	ticks uint64
}

// stat reads /proc/PID/stat; see proc_pid_stat(5).
func stat(pid int) (procStat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	i := bytes.LastIndexByte(raw, ')')
	if i < 0 {
		return procStat{}, fmt.Errorf("process %d: malformed stat", pid)
	}
	f := bytes.Fields(raw[i+1:])
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("process %d: short stat", pid)
	}
	ticks, err := strconv.ParseUint(string(f[19]), 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return procStat{state: f[0][0], ticks: ticks}, nil
}
