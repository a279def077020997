package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sleeper(dir, arg string) Spec {
	return Spec{Path: "/bin/sleep", Args: []string{arg}, Dir: dir, Log: filepath.Join(dir, "log"), Env: []string{"PATH=/bin"}}
}

func ensure(t *testing.T, dir string, s Spec) (Process, bool) {
	t.Helper()
	p, started, err := Ensure(dir, "child", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Stop(context.Background(), dir, "child", time.Second); err != nil {
			t.Error(err)
		}
	})
	return p, started
}

func waitGone(t *testing.T, p Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("process %d: %v", p.PID, err)
	}
}

func TestEnsureStartsOnce(t *testing.T) {
	dir := t.TempDir()
	first, started := ensure(t, dir, sleeper(dir, "600"))
	if !started {
		t.Fatal("not started")
	}
	again, started := ensure(t, dir, sleeper(dir, "600"))
	if started || again.PID != first.PID {
		t.Fatalf("a second Ensure started pid %d beside %d", again.PID, first.PID)
	}
}

func TestEnsureReplacesChangedSpec(t *testing.T) {
	dir := t.TempDir()
	first, _ := ensure(t, dir, sleeper(dir, "600"))
	second, started := ensure(t, dir, sleeper(dir, "601"))
	if !started || second.PID == first.PID || second.Starts != 2 {
		t.Fatalf("got %+v, started %v", second, started)
	}
	waitGone(t, first)
}

func TestEnsureStartsWhatDied(t *testing.T) {
	dir := t.TempDir()
	first, _ := ensure(t, dir, sleeper(dir, "600"))
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, first)
	if _, alive, err := Find(dir, "child"); err != nil || alive {
		t.Fatalf("Find says alive=%v, %v", alive, err)
	}
	second, started := ensure(t, dir, sleeper(dir, "600"))
	if !started || second.PID == first.PID {
		t.Fatalf("got %+v, started %v", second, started)
	}
}

// A daemon that dies between the fork and the record must not leave a twin.
func TestEnsureEndsAnUnrecordedChild(t *testing.T) {
	dir := t.TempDir()
	lost, _ := ensure(t, dir, sleeper(dir, "600"))
	if err := os.Remove(file(dir, "child")); err != nil {
		t.Fatal(err)
	}
	_, started := ensure(t, dir, sleeper(dir, "600"))
	if !started {
		t.Fatal("not started")
	}
	waitGone(t, lost)
}

// A record that a power loss has torn hides nothing, and is in nobody's way.
func TestTornRecordCountsAsNone(t *testing.T) {
	for _, content := range []string{"", "{\n \"pid\": 12", "\x00\x00\x00\x00", "[]"} {
		dir := t.TempDir()
		tear := func() {
			if err := os.WriteFile(file(dir, "child"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lost, _ := ensure(t, dir, sleeper(dir, "600"))
		tear()
		if _, alive, err := Find(dir, "child"); err != nil || alive {
			t.Errorf("%q: Find says alive=%v, %v", content, alive, err)
		}
		second, started := ensure(t, dir, sleeper(dir, "600"))
		if !started {
			t.Errorf("%q: not started", content)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", lost.PID)); err == nil {
			t.Errorf("%q: the child without a record still runs", content)
		}
		tear()
		if err := Stop(t.Context(), dir, "child", time.Second); err != nil {
			t.Errorf("%q: Stop: %v", content, err)
		}
		waitGone(t, second)
		if _, err := os.Stat(file(dir, "child")); !os.IsNotExist(err) {
			t.Errorf("%q: the record is still there: %v", content, err)
		}
	}
}

// A pid that another process has got meanwhile is nobody we know.
func TestReusedPidIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	err := save(dir, "child", record{PID: os.Getpid(), Ticks: 1, Boot: bootID()})
	if err != nil {
		t.Fatal(err)
	}
	if _, alive, err := Find(dir, "child"); err != nil || alive {
		t.Fatalf("Find says alive=%v, %v", alive, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	p, _ := ensure(t, dir, sleeper(dir, "600"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Wait(ctx) }()
	select {
	case err := <-done:
		t.Fatalf("returned while the process runs: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
	}
}

func TestStopInsists(t *testing.T) {
	dir := t.TempDir()
	s := sleeper(dir, "")
	s.Path, s.Args = "/bin/sh", []string{"-c", `trap "" TERM; echo ready; while :; do sleep 600; done`}
	p, _ := ensure(t, dir, s)
	deadline := time.Now().Add(10 * time.Second)
	for {
		raw, err := os.ReadFile(s.Log)
		if err == nil && strings.Contains(string(raw), "ready") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the shell never came up")
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := Stop(context.Background(), dir, "child", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waitGone(t, p)
	if err := Stop(context.Background(), dir, "child", time.Second); err != nil {
		t.Fatalf("stopping again: %v", err)
	}
}

func TestStartInNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a uts namespace")
	}
	dir := t.TempDir()
	s := sleeper(dir, "")
	s.Path, s.Args = "/bin/sh", []string{"-c", "readlink /proc/self/ns/uts; sleep 600"}
	s.Clone = unix.CLONE_NEWUTS
	ensure(t, dir, s)
	own, err := os.Readlink("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		raw, _ := os.ReadFile(s.Log)
		if got := strings.TrimSpace(string(raw)); got != "" {
			if got == own {
				t.Fatalf("the child shares namespace %s", own)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no output")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestFilesReachTheChild(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := sleeper(dir, "")
	s.Path, s.Args = "/bin/sh", []string{"-c", "echo her$EKSTER_FILES >&3; exec sleep 600"}
	if _, started, err := EnsureWith(dir, "child", s, []*os.File{w}); err != nil || !started {
		t.Fatal(started, err)
	}
	t.Cleanup(func() {
		if err := Stop(context.Background(), dir, "child", time.Second); err != nil {
			t.Error(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := r.Read(got); err != nil || string(got) != "her1\n" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestMissingProgramNamesIt(t *testing.T) {
	dir := t.TempDir()
	s := sleeper(dir, "1")
	s.Path = "/nonexistent/program"
	_, _, err := Ensure(dir, "child", s)
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/program") {
		t.Fatalf("got %v", err)
	}
}
