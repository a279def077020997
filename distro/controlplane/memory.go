package controlplane

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// gcPercent trades a little processor time for memory: there are many control planes on one machine, most of
// them idle, and an API server's heap is mostly caches that live for ever.
const gcPercent = 50

func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// trimAfterStart gives back to the kernel what only starting needed: building the API schemas and filling the
// caches leaves a heap twice the size of what is alive. It is done a few times, as the caches fill by and by.
func trimAfterStart(ctx context.Context) {
	for _, after := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second} {
		select {
		case <-time.After(after):
			debug.FreeOSMemory()
		case <-ctx.Done():
			return
		}
	}
}
