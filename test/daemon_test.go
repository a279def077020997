package test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/test/lab"
)

// needsClusters skips a test where clusters cannot be run.
func needsClusters(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real clusters")
	}
	if why := lab.Missing(); why != "" {
		t.Skip(why)
	}
}

// newDaemon starts a daemon of the test's own, which differ may change before. At the end of
// the test it is purged, and nothing of it may be left.
func newDaemon(t *testing.T, differ ...func(*lab.Daemon)) (*lab.Daemon, *lab.Cloud) {
	t.Helper()
	needsClusters(t)
	d, err := lab.New()
	no(t, err)
	for _, f := range differ {
		f(d)
	}
	t.Cleanup(func() { purge(t, d) })
	if err := d.Up(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, d.Logs())
	}
	cloud, err := d.Cloud(t.Context())
	no(t, err)
	return d, cloud
}

// purge ends a daemon and proves that nothing of it is left. It may be repeated.
func purge(t *testing.T, d *lab.Daemon) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if t.Failed() {
		if st, err := d.Run(ctx, "status"); err == nil {
			t.Log(st)
		}
		t.Logf("end of the daemon's log:\n%s", d.Logs())
		if keep := os.Getenv("EKSTER_TEST_KEEP"); keep != "" {
			t.Logf("kept: %s", d.State)
			return
		}
	}
	prefix, err := d.Prefix()
	if os.IsNotExist(err) && d.Gone() {
		return
	}
	if err != nil {
		t.Error(err)
	}
	if err := d.Purge(ctx); err != nil {
		t.Errorf("purge: %v", err)
	}
	left, err := d.Leftovers(prefix)
	if err != nil {
		t.Error(err)
	}
	if len(left) > 0 {
		t.Errorf("left after purge:\n%s", strings.Join(left, "\n"))
	}
}

// no ends the test with err, if it is one.
func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A stopwatch logs how long the steps of a test took.
type stopwatch struct {
	t     *testing.T
	last  time.Time
	steps []string
}

func newStopwatch(t *testing.T) *stopwatch {
	s := &stopwatch{t: t, last: time.Now()}
	t.Cleanup(func() { t.Logf("times: %s", strings.Join(s.steps, ", ")) })
	return s
}

// done logs the time since the step before.
func (s *stopwatch) done(step string) {
	now := time.Now()
	s.steps = append(s.steps, fmt.Sprintf("%s %.1fs", step, now.Sub(s.last).Seconds()))
	s.last = now
}
