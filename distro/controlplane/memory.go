package controlplane

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// gcPercent trades a little processor time for memory: there are many control planes on one machine, most of
// them idle, and an API server's heap is mostly caches that live for ever.
const gcPercent = 50

// gcPercentStarting is for the start, which makes much that lives on and little garbage: at 50, collecting it took a
// quarter of the time. More than 100 starts no sooner, and leaves a heap so sparse that 12 MB more stay in use.
const gcPercentStarting = 100

// trimAfterStart gives back to the kernel what only starting needed: building the API schemas and filling the
// caches leaves a heap twice the size of what is alive, and has run through most of the program's code. It is
// done a few times, as the caches fill by and by.
func trimAfterStart(ctx context.Context) {
	debug.SetGCPercent(gcPercent)
	for _, after := range []time.Duration{3 * time.Second, 10 * time.Second, 30 * time.Second} {
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return
		}
		debug.FreeOSMemory()
		if err := releaseProgram(); err != nil {
			klog.ErrorS(err, "Releasing the program's pages")
		}
	}
}

// releaseProgram unmaps the pages of the program's file, code and constants, that this process has touched. They
// stay in the page cache, where the next use finds them; but the kernel may drop those that nobody uses any more,
// which are most: 130 MB are touched by a start and a third of it by an idle control plane. Huge pages are declined
// for them, as one touch would map 2 MB again.
func releaseProgram() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		// 00400000-04165000 r-xp 00000000 fe:00 9981597   /path/of/kube
		var from, to uintptr
		var mode, rest string
		if _, err := fmt.Sscanf(line, "%x-%x %s %s", &from, &to, &mode, &rest); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		// Writable pages hold data that is nowhere else.
		if !strings.HasSuffix(strings.TrimSpace(line), " "+self) || strings.Contains(mode, "w") {
			continue
		}
		if err := madvise(from, to, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL { // a kernel without them
			return err
		}
		if err := madvise(from, to, unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}

func madvise(from, to uintptr, advice uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, advice); errno != 0 {
		return errno
	}
	return nil
}
