package instance

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// machines runs one machine in memory, as package machine runs real ones.
type machines struct {
	calls               []string
	running             bool
	generation, started int
	fail                map[string]bool // calls that fail once
}

func (m *machines) call(name string) error {
	m.calls = append(m.calls, name)
	if m.fail[name] {
		delete(m.fail, name)
		return errors.New(name + " fails once")
	}
	return nil
}

func (m *machines) Ensure(_ context.Context, c machine.Config) (machine.Status, error) {
	if err := m.call("ensure"); err != nil {
		return machine.Status{}, err
	}
	if !m.running && c.Generation > m.generation {
		m.running, m.generation = true, c.Generation
		m.started++
	}
	return machine.Status{Running: m.running, Generation: m.generation}, nil
}

func (m *machines) Stop(context.Context, string) error {
	if err := m.call("stop"); err != nil {
		return err
	}
	m.running = false
	return nil
}

func (m *machines) Remove(context.Context, string) error {
	m.running = false
	return m.call("remove")
}

func (m *machines) WaitExit(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

type guests struct{}

func (guests) GuestPath(guest string) string             { return "/run/netns/x-" + guest }
func (guests) RemoveGuest(context.Context, string) error { return nil }

// newInstance is one in a store, with two ways to go on: edit changes records, settle reconciles,
// with every call failing once and every step run twice, and checks what came of it.
func newInstance(t *testing.T) (id string, m *machines, edit func(func(*store.Tx) error), settle func(state string, running bool, started int)) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	m = &machines{fail: map[string]bool{}}
	c := New(Config{Dir: t.TempDir(), BootID: "boot", Now: time.Now, Kube: func(string) (string, bool) { return "/kube", true }}, st, m, guests{}, slog.New(slog.DiscardHandler))
	c.ctx = t.Context()
	edit = func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(tx *store.Tx) error {
		if _, err := provision.EnsureRegion(tx, home, time.Now()); err != nil {
			return err
		}
		image, _ := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
		i, err := provision.Instance(tx, provision.InstanceRequest{Home: home, Type: "t3.small", Image: image.ID, Now: time.Now()})
		if err != nil {
			return err
		}
		id = i.ID
		eni, _ := tx.Interfaces.Get(i.Spec.PrimaryInterface)
		eni.Status.Plugged = id
		tx.Interfaces.Put(eni.ID, eni)
		return nil
	})
	settle = func(state string, running bool, started int) {
		t.Helper()
		m.fail = map[string]bool{"ensure": true, "stop": true}
		for range 4 {
			_, _ = c.Reconcile(t.Context(), id) // some of them fail, on purpose
		}
		m.fail = map[string]bool{}
		if _, err := c.Reconcile(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		var in resource.Instance
		if err := st.View(func(tx *store.Tx) error { in, _ = tx.Instances.Get(id); return nil }); err != nil {
			t.Fatal(err)
		}
		if in.Current() != state || m.running != running || m.started != started {
			t.Errorf("%s, running %t, started %d times; want %s, %t, %d", in.Current(), m.running, m.started, state, running, started)
		}
	}
	return id, m, edit, settle
}

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

// Stop, start and reboot.
func TestPower(t *testing.T) {
	id, m, edit, settle := newInstance(t)
	settle(resource.InstanceRunning, true, 1)
	edit(func(tx *store.Tx) error { return provision.Reboot(tx, home, id) })
	settle(resource.InstanceRunning, true, 2)
	edit(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, id, time.Now()); return err })
	settle(resource.InstanceStopped, false, 2)
	edit(func(tx *store.Tx) error { _, err := provision.Start(tx, home, id, time.Now()); return err })
	settle(resource.InstanceRunning, true, 3)
	edit(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, id, time.Now()); return err })
	edit(func(tx *store.Tx) error { _, err := provision.Terminate(tx, home, id, time.Now()); return err })
	settle(resource.InstanceTerminated, false, 3)
	if !slices.Contains(m.calls, "remove") {
		t.Error("its machine was not removed")
	}
}

// An instance ends with its zone; one that is stopped stays, and does not start before the zone is back.
func TestZoneGone(t *testing.T) {
	id, _, edit, settle := newInstance(t)
	settle(resource.InstanceRunning, true, 1)
	var zone string
	gone := func(tx *store.Tx) error {
		in, _ := tx.Instances.Get(id)
		zone = in.Spec.Zone
		tx.ZoneFaults.Put(zone, resource.ZoneFault{Zone: zone})
		return nil
	}
	edit(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, id, time.Now()); return err })
	settle(resource.InstanceStopped, false, 1)
	edit(gone)
	settle(resource.InstanceStopped, false, 1)
	edit(func(tx *store.Tx) error {
		_, err := provision.Start(tx, home, id, time.Now())
		if err == nil || !strings.HasPrefix(err.Error(), "InsufficientInstanceCapacity: We currently do not have sufficient t3.small capacity in the Availability Zone you requested ("+zone+").") {
			t.Errorf("a start in a zone that is gone: %v", err)
		}
		return nil
	})
	edit(func(tx *store.Tx) error {
		tx.ZoneFaults.Delete(zone)
		_, err := provision.Start(tx, home, id, time.Now())
		return err
	})
	settle(resource.InstanceRunning, true, 2)
	edit(gone)
	settle(resource.InstanceTerminated, false, 2)
}
