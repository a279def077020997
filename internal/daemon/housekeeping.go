package daemon

import (
	"context"
	"os"
	"strings"
	"time"

	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/provision"
	sqsservice "ekster.dev/ekster/internal/service/sqs"
)

// housekeepingEvery is how often what has expired is forgotten.
const housekeepingEvery = time.Minute

// housekeeping forgets expired sessions and messages, writes when keys were last used and which versions have
// been built meanwhile, and keeps logs short.
type housekeeping struct {
	d          *Daemon
	authorizer *identity.Authorizer
}

// Run works until ctx ends.
func (h *housekeeping) Run(ctx context.Context) error {
	tick := time.NewTicker(housekeepingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := identity.PurgeSessions(ctx, h.d.store, time.Now()); err != nil {
			h.d.log.Error("forgetting expired sessions", "err", err)
		}
		if _, err := sqsservice.Sweep(ctx, h.d.store, time.Now()); err != nil {
			h.d.log.Error("sweeping queues", "err", err)
		}
		if err := h.authorizer.Flush(ctx); err != nil {
			h.d.log.Error("recording the use of access keys", "err", err)
		}
		if err := provision.SetPayload(ctx, h.d.store, h.d.hasVersion); err != nil {
			h.d.log.Error("recording the versions that are built", "err", err)
		}
		if err := h.d.rotateLogs(); err != nil {
			h.d.log.Error("rotating the logs", "err", err)
		}
	}
}

// bootID names this boot of the host.
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
