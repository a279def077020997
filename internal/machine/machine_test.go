package machine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine"
)

const conflist = `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"none"}]}`

func (w *world) config(payload string) machine.Config {
	return machine.Config{
		ID: "i-0123456789abcdef0", Dir: filepath.Join(w.dir, "i-0123456789abcdef0"), Netns: w.guest,
		Hostname: hostName, Region: region, VCPU: 8, MemoryMiB: 32768, MaxPods: 58, DiskGiB: 20,
		CgroupParent: filepath.Base(w.dir),
		NodePayload:  filepath.Join(payload, "node"), Kube: filepath.Join(payload, "kubernetes", kubeMinor),
		Mirror: "http://198.18.0.1:5000", Pause: "registry.ekster.internal/pause:3.10",
		DNS: []string{"169.254.169.253"}, Domains: []string{region + ".compute.internal"}, Generation: 1,
	}
}

// ensure starts the instance and has it removed, and looked for, at the end.
func ensure(t *testing.T, c machine.Config) machine.Status {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			logTail(t, machine.ConsoleLog(c.Dir), 3000)
			if st, ok, err := machine.Find(c.Dir); err == nil && ok && st.Running {
				logTail(t, inside(st, "/var/log/containerd.log"), 3000)
				logTail(t, inside(st, "/var/log/kubelet.log"), 4000)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := machine.Remove(ctx, c.Dir); err != nil {
			t.Error(err)
		}
		nothingLeft(t, c)
	})
	st, err := machine.Ensure(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// inside is the path on the host of a file in a running instance.
func inside(st machine.Status, path string) string {
	return fmt.Sprintf("/proc/%d/root%s", st.PID, path)
}

func nothingLeft(t *testing.T, c machine.Config) {
	t.Helper()
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", c.Dir, err)
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/" + c.CgroupParent + "/" + c.ID)
	if err != nil || len(left) > 0 {
		t.Errorf("cgroups are left: %v, %v", left, err)
	}
	poll(t, 5*time.Second, "its loop device to go", func() error { return noLoop(c.Dir) })
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(raw), c.Dir) {
		t.Errorf("mounts are left, or cannot be told: %v", err)
	}
	if pids := inNetns(t, c.Netns); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
}

// noLoop tells of a loop device with a file in dir behind it.
func noLoop(dir string) error {
	images, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, image := range images {
		if raw, err := os.ReadFile(image); err == nil && strings.Contains(string(raw), dir) {
			return fmt.Errorf("%s: %s", image, raw)
		}
	}
	return nil
}

// inNetns lists the processes in a network namespace.
func inNetns(t *testing.T, path string) []string {
	t.Helper()
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		t.Fatal(err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	// A test's thread that was in the namespace stays there if it is the first
	// one, which cannot end before the process.
	self := fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	for _, l := range links {
		var st unix.Stat_t
		if l != self && unix.Stat(l, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev {
			pids = append(pids, l)
		}
	}
	return pids
}

func TestLife(t *testing.T) {
	_, p, c, first := boot(t)
	ctx := t.Context()
	node := p.ready(t, "")

	again, err := machine.Ensure(ctx, c)
	if err != nil || again.PID != first.PID || again.Starts != 1 {
		t.Errorf("Ensure of a running instance: %+v, %v, was %+v", again, err, first)
	}

	// As after an Ensure that was cut off before it could write down what it did.
	if err := os.Remove(filepath.Join(c.Dir, "state.json")); err != nil {
		t.Fatal(err)
	}
	again, err = machine.Ensure(ctx, c)
	if err != nil || !again.Running || again.PID != first.PID || again.Starts != 1 || again.Generation != 1 {
		t.Errorf("Ensure of an instance it does not know of: %+v, %v, was %+v", again, err, first)
	}

	neighbour := neighbours(t, c)
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := machine.WaitExit(wait, c.Dir); err != nil {
		t.Fatal(err)
	}
	poll(t, 5*time.Second, "all that ran in it to be gone", func() error {
		if pids := inNetns(t, c.Netns); len(pids) > 0 {
			return fmt.Errorf("left: %v", pids)
		}
		return nil
	})
	neighbour()
	dead, err := machine.Ensure(ctx, c)
	if err != nil || dead.Running || dead.Stopped || dead.Starts != 1 {
		t.Errorf("a dead instance: %+v, %v", dead, err)
	}

	c.Generation++
	began := time.Now()
	second, err := machine.Ensure(ctx, c)
	if err != nil || !second.Running || second.Starts != 2 {
		t.Fatalf("a new generation: %+v, %v", second, err)
	}
	p.ready(t, node.Status.NodeInfo.BootID)
	t.Logf("ready again after %v", time.Since(began))
	script, err := os.ReadFile(inside(second, "/root/script-ran"))
	if err != nil || string(script) != "run\n" {
		t.Errorf("the user's script ran %q, %v: want once in the instance's life", script, err)
	}

	began = time.Now()
	if err := machine.Stop(ctx, c.Dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped within %v", time.Since(began))
	raw, err := os.ReadFile(machine.ConsoleLog(c.Dir))
	if err != nil || !strings.Contains(string(raw), "power off") {
		t.Errorf("it was not stopped in order: %s, %v", raw, err)
	}
	stopped, ok, err := machine.Find(c.Dir)
	if err != nil || !ok || stopped.Running || !stopped.Stopped || stopped.Starts != 2 {
		t.Errorf("stopped: %+v, %v, %v", stopped, ok, err)
	}
	if st, err := machine.Ensure(ctx, c); err != nil || st.Running {
		t.Errorf("a stopped instance: %+v, %v", st, err)
	}
	if err := machine.Stop(ctx, c.Dir); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

// TestRemoveUnfinished removes what an Ensure left that was cut off anywhere.
func TestRemoveUnfinished(t *testing.T) {
	payload := payload(t)
	w := newWorld(t)
	c := w.config(payload)
	c.Netns = "/nowhere" // fails after the disk and the cgroups have been made
	ctx := t.Context()
	if _, err := machine.Ensure(ctx, c); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("Ensure without a network: %v", err)
	}
	if _, ok, err := machine.Find(c.Dir); ok || err != nil {
		t.Errorf("Find: %v, %v", ok, err)
	}
	for range 2 {
		if err := machine.Remove(ctx, c.Dir); err != nil {
			t.Fatal(err)
		}
	}
	c.Netns = w.guest
	nothingLeft(t, c)
	for _, bad := range []func(*machine.Config){
		func(c *machine.Config) { c.ID = "../x" }, func(c *machine.Config) { c.Dir = "x" },
		func(c *machine.Config) { c.CgroupParent = "" }, func(c *machine.Config) { c.VCPU = 0 },
	} {
		c := c
		bad(&c)
		if _, err := machine.Ensure(ctx, c); err == nil {
			t.Errorf("no error for %+v", c)
		}
	}
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("a refused Config left %s: %v", c.Dir, err)
	}
}

// TestWithoutDisk boots an instance on a directory, on hosts without loop devices.
func TestWithoutDisk(t *testing.T) {
	payload := payload(t)
	w := newWorld(t)
	w.metadata(t)
	w.instance.UserData = []byte("#!/bin/sh\nhostname; cat /proc/1/cgroup; touch /var/tmp/x\n")
	c := w.config(payload)
	c.DiskGiB, c.Kube = 0, ""
	ensure(t, c)
	poll(t, 10*time.Second, "the user's script", func() error {
		raw, err := os.ReadFile(filepath.Join(c.Dir, "disk/var/log/cloud-init-output.log"))
		if err == nil && !strings.Contains(string(raw), ":/\n") {
			err = fmt.Errorf("output so far: %s", raw)
		}
		return err
	})
	raw, err := os.ReadFile(filepath.Join(c.Dir, "disk/var/log/cloud-init-output.log"))
	if err != nil || !strings.HasPrefix(string(raw), hostName+"\n") || strings.Contains(string(raw), c.CgroupParent) {
		t.Errorf("%s, %v: want the host name, and no cgroup but the root", raw, err)
	}
	poll(t, 10*time.Second, "the end of the boot", func() error {
		raw, err := os.ReadFile(machine.ConsoleLog(c.Dir))
		if err == nil && !strings.Contains(string(raw), "this is a plain instance") {
			err = fmt.Errorf("console: %s", raw)
		}
		return err
	})
	if _, err := os.Stat(filepath.Join(c.Dir, "disk/var/tmp/x")); err != nil {
		t.Error(err)
	}
}

// Somebody on the instance reboots it, and in its second boot shuts it down: it has not died.
func TestShutDownFromWithin(t *testing.T) {
	payload := payload(t)
	w := newWorld(t)
	w.metadata(t)
	w.instance.UserData = []byte("#!/bin/sh\nreboot\n")
	c := w.config(payload)
	c.DiskGiB, c.Kube = 0, ""
	ensure(t, c)
	ended := func(want string, is func(machine.Status) bool) {
		t.Helper()
		wait, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := machine.WaitExit(wait, c.Dir); err != nil {
			t.Fatal(err)
		}
		if st, err := machine.Ensure(t.Context(), c); err != nil || st.Running || st.Stopped || !is(st) {
			t.Fatalf("it does not say that it was %s: %+v, %v", want, st, err)
		}
	}
	ended("rebooted", func(st machine.Status) bool { return st.Rebooted && !st.PoweredOff })
	c.Generation++
	st, err := machine.Ensure(t.Context(), c)
	if err != nil || !st.Running || st.Rebooted || st.PoweredOff {
		t.Fatalf("the second boot: %+v, %v", st, err)
	}
	// What scripts run once has run; this is somebody with a shell, which may end with the instance.
	poll(t, 10*time.Second, "the shutdown to be taken", func() error {
		shell := exec.CommandContext(t.Context(), "nsenter", "-t", fmt.Sprint(st.PID), "-m", "-p", "-r", "-w", "/opt/ekster/bin/shutdown", "-h", "now")
		out, err := shell.CombinedOutput()
		if now, ok, findErr := machine.Find(c.Dir); err == nil || findErr == nil && ok && !now.Running {
			return nil
		}
		return fmt.Errorf("%w: %s", err, out)
	})
	ended("powered off", func(st machine.Status) bool { return st.PoweredOff && !st.Rebooted })
}

// TestManyAtOnce starts and removes instances side by side: they share loop
// devices and the parent cgroup.
func TestManyAtOnce(t *testing.T) {
	payload := payload(t)
	w := newWorld(t)
	var all errgroup.Group
	for n := range 8 {
		c := w.config(payload)
		c.ID = fmt.Sprintf("i-%017x", n)
		c.Dir = filepath.Join(w.dir, c.ID)
		all.Go(func() error {
			for c.Generation = 1; c.Generation < 4; c.Generation++ {
				if _, err := machine.Ensure(t.Context(), c); err != nil {
					return err
				}
				if err := until(func() error {
					raw, err := os.ReadFile(machine.ConsoleLog(c.Dir))
					if err == nil && strings.Count(string(raw), "root file system is up") != c.Generation {
						err = fmt.Errorf("console of %s: %s", c.ID, raw)
					}
					return err
				}); err != nil {
					return err
				}
				if err := machine.Stop(t.Context(), c.Dir); err != nil {
					return err
				}
			}
			return machine.Remove(t.Context(), c.Dir)
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if err := until(func() error { return noLoop(w.dir) }); err != nil {
		t.Error(err)
	}
}

// neighbours starts a second instance, without user data, and returns a check
// that it lives on.
func neighbours(t *testing.T, c machine.Config) func() {
	t.Helper()
	other := c
	other.ID, other.Dir = "i-0fedcba9876543210", filepath.Join(filepath.Dir(c.Dir), "i-0fedcba9876543210")
	other.Netns = namespace(t, filepath.Join(filepath.Dir(c.Dir), "other"))
	other.VCPU, other.MemoryMiB = 1, 1024
	st := ensure(t, other)
	return func() {
		t.Helper()
		now, ok, err := machine.Find(other.Dir)
		if err != nil || !ok || !now.Running || now.PID != st.PID {
			t.Errorf("the neighbour: %+v, %v, %v", now, ok, err)
		}
	}
}
