package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the pause before a daemon that ended is started again; one that
// has lived longer than the upper bound starts from the lower one.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 10 * time.Second
)

// How long an orderly stop gives the kubelet, then the pods: EC2 waits longer,
// nobody who waits for a terminated instance wants that.
const (
	kubeletGrace = 2 * time.Second
	podGrace     = 3 * time.Second
)

// A service is a program that pid 1 starts; what it prints goes to
// /var/log/<name>.log in the instance.
type service struct {
	name string
	path string
	args []string
	env  []string
	// console, if there is one, has what it prints go to the instance's console, too, and
	// is closed when nobody prints any more.
	console chan struct{}
}

// running is a service with a process. Only the supervisor's loop touches it.
type running struct {
	service
	started time.Time
	backoff time.Duration
	done    chan unix.WaitStatus // of a program that is run once; nil: restart it
}

// A supervisor is pid 1's loop: all forking and reaping happens in it, so a
// process cannot be reaped before its pid is known.
type supervisor struct {
	forks    chan *running
	signals  chan os.Signal
	byPID    map[int]*running
	stopping bool
	end      ending
}

func newSupervisor(end ending) *supervisor {
	s := &supervisor{forks: make(chan *running), signals: make(chan os.Signal, 16), byPID: map[int]*running{}, end: end}
	signal.Notify(s.signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGPWR, sigPowerOff, sigReboot)
	return s
}

// start has the service run from now on.
func (s *supervisor) start(v service) { s.forks <- &running{service: v, backoff: backoffMin} }

// runOnce returns how the program ended.
func (s *supervisor) runOnce(v service) string {
	r := &running{service: v, done: make(chan unix.WaitStatus, 1)}
	s.forks <- r
	status, ok := <-r.done
	if !ok {
		return "did not start"
	}
	return describe(status)
}

// run returns after an orderly stop.
func (s *supervisor) run() error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, r := range s.byPID {
				if err := rotate(logFile(r.name), maxLog); err != nil {
					console("log of %s: %v", r.name, err)
				}
			}
		case r := <-s.forks:
			s.fork(r)
		case sig := <-s.signals:
			if sig == unix.SIGCHLD {
				s.reap()
				continue
			}
			console("stopping: %v", sig)
			s.end.note(sig)
			return s.stop()
		}
	}
}

func (s *supervisor) fork(r *running) {
	pid, err := forkService(r.service)
	if err != nil {
		console("starting %s: %v", r.name, err)
		s.ended(r)
		return
	}
	r.started = time.Now()
	s.byPID[pid] = r
	console("started %s, pid %d", r.name, pid)
}

func forkService(v service) (int, error) {
	log, err := os.OpenFile(logFile(v.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return 0, err
	}
	out := log
	if v.console != nil {
		if out, err = teed(log, v.console); err != nil {
			return 0, errors.Join(err, log.Close())
		}
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(v.path, append([]string{v.name}, v.args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   v.env,
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("executing %s: %w", v.path, err)
	}
	return pid, nil
}

// reap collects all that has ended, orphans of containers included.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		r, ok := s.byPID[pid]
		if !ok {
			continue
		}
		delete(s.byPID, pid)
		if r.done != nil {
			r.done <- status
			continue
		}
		if !s.stopping {
			console("%s ended: %s%s", r.name, describe(status), lastWords(r.name))
		}
		s.ended(r)
	}
}

// ended starts a service again after its pause.
func (s *supervisor) ended(r *running) {
	if s.stopping || r.done != nil {
		if r.done != nil {
			close(r.done)
		}
		return
	}
	if time.Since(r.started) > backoffMax {
		r.backoff = backoffMin
	}
	time.AfterFunc(r.backoff, func() { s.forks <- r })
	r.backoff = min(2*r.backoff, backoffMax)
}

// lastWords is the end of a service's log, for the console.
func lastWords(name string) string {
	f, err := os.Open(logFile(name))
	if err != nil {
		return ""
	}
	defer f.Close()
	tail := make([]byte, 600)
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	n, _ := f.ReadAt(tail, max(0, st.Size()-int64(len(tail)))) // io.EOF on a short log
	lines := strings.Split(strings.TrimSpace(string(tail[:n])), "\n")
	return "; its last words: " + lines[len(lines)-1]
}

// stop ends the kubelet first, lest it starts pods again, then everything.
func (s *supervisor) stop() error {
	s.stopping = true
	for pid, r := range s.byPID {
		if r.name == "kubelet" {
			if err := unix.Kill(pid, unix.SIGTERM); err != nil {
				console("stopping the kubelet: %v", err)
			}
			s.await(kubeletGrace, func() bool { return s.byPID[pid] == nil })
		}
	}
	if err := unix.Kill(-1, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("asking processes to end: %w", err)
	}
	s.await(podGrace, alone)
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending processes: %w", err)
	}
	console("power off")
	return nil
}

// await reaps until the condition holds or the time is over.
func (s *supervisor) await(limit time.Duration, done func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		s.reap()
		if done() {
			return
		}
	}
}

// alone says whether nobody else is left in this pid namespace.
func alone() bool { return errors.Is(unix.Kill(-1, 0), unix.ESRCH) }
