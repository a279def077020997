package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A fakeHost is one machine and its network in memory, as package machine and package
// network have real ones. One of its calls may fail: before it has done anything, or with
// all of it done.
type fakeHost struct {
	log                 []string // calls
	failAt              int      // the call that fails, from 1
	late                bool     // it fails with its work done
	dir, guest, running bool
	generation, started int
	off, rebooted       bool // what somebody on it has asked pid 1 for
}

// shut is somebody on the machine who shuts it down.
func (h *fakeHost) shut(reboot bool) { h.running, h.off, h.rebooted = false, !reboot, reboot }

func (h *fakeHost) call(name string, work func()) error {
	h.log = append(h.log, name)
	fails := len(h.log) == h.failAt
	if !fails || h.late {
		work()
	}
	if fails {
		return errors.New(name + " fails once")
	}
	return nil
}

func (h *fakeHost) Ensure(_ context.Context, c machine.Config) (machine.Status, error) {
	err := h.call("ensure", func() {
		if h.dir = true; !h.running && c.Generation > h.generation {
			h.running, h.generation, h.off, h.rebooted = true, c.Generation, false, false
			h.started++
		}
	})
	return machine.Status{Running: h.running, Generation: h.generation, PoweredOff: h.off, Rebooted: h.rebooted}, err
}

func (h *fakeHost) Stop(context.Context, string) error {
	return h.call("stop", func() { h.running = false })
}

func (h *fakeHost) Remove(context.Context, string) error {
	return h.call("remove", func() { h.running, h.dir = false, false })
}

func (h *fakeHost) WaitExit(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h *fakeHost) GuestPath(guest string) string { return "/run/netns/x-" + guest }

func (h *fakeHost) RemoveGuest(context.Context, string) error {
	return h.call("remove guest", func() { h.guest = false })
}

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

type world struct {
	*testing.T
	*Controller
	host *fakeHost
	st   *store.Store
	id   string
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	w := &world{T: t, st: st, host: &fakeHost{guest: true}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.begin("first boot")
	w.edit(func(tx *store.Tx) error {
		if _, err := provision.EnsureRegion(tx, home, w.now); err != nil {
			return err
		}
		image, _ := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
		i, err := provision.Instance(tx, provision.InstanceRequest{Home: home, Type: "t3.small", Image: image.ID, Now: w.now})
		w.id = i.ID
		return err
	})
	return w
}

// begin begins another life of the daemon, on a boot of the host.
func (w *world) begin(boot string) {
	w.Controller = New(Config{
		Dir: w.TempDir(), BootID: boot, Now: func() time.Time { return w.now }, Kube: func(string) (string, bool) { return "/kube", true },
	}, w.st, w.host, w.host, slog.New(slog.DiscardHandler))
	w.ctx = w.Context()
}

func (w *world) edit(f func(tx *store.Tx) error) {
	w.Helper()
	if err := w.st.Update(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

func (w *world) record() (in resource.Instance) {
	w.Helper()
	if err := w.st.View(func(tx *store.Tx) error { in, _ = tx.Instances.Get(w.id); return nil }); err != nil {
		w.Fatal(err)
	}
	return in
}

// plug is what controller/vpc does.
func (w *world) plug() {
	w.Helper()
	w.edit(func(tx *store.Tx) error {
		eni, _ := tx.Interfaces.Get(w.record().Spec.PrimaryInterface)
		eni.Status.Plugged = w.id
		tx.Interfaces.Put(eni.ID, eni)
		return nil
	})
}

// settle reconciles until that goes well, and the record does not change any more.
func (w *world) settle() {
	w.Helper()
	for range 20 {
		before := w.record()
		if _, err := w.Reconcile(w.Context(), w.id); err == nil && w.record().Status == before.Status {
			return
		}
	}
	w.Fatalf("it does not settle: %+v", w.record().Status)
}

func (w *world) ask(f func(tx *store.Tx) error) {
	w.Helper()
	w.edit(f)
	w.settle()
}

func (w *world) zoneGone(tx *store.Tx) error {
	zone := w.record().Spec.Zone
	tx.ZoneFaults.Put(zone, resource.ZoneFault{Zone: zone})
	return nil
}

func (w *world) run() {
	w.settle() // it waits for its interface
	w.plug()
	w.settle()
}

// lives are what an instance goes through; each ends in a state that does not depend on
// what failed on the way.
var lives = map[string]func(*world){
	"run": func(w *world) { w.run() },
	"reboot": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { return provision.Reboot(tx, home, w.id) })
	},
	"stop": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, w.id, w.now); return err })
	},
	"stop and start": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, w.id, w.now); return err })
		w.ask(func(tx *store.Tx) error { _, err := provision.Start(tx, home, w.id, w.now); return err })
	},
	"terminate": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { _, err := provision.Terminate(tx, home, w.id, w.now); return err })
	},
	"terminate before it runs": func(w *world) {
		w.settle()
		w.ask(func(tx *store.Tx) error { _, err := provision.Terminate(tx, home, w.id, w.now); return err })
	},
	"terminate a stopped one": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, w.id, w.now); return err })
		w.ask(func(tx *store.Tx) error { _, err := provision.Terminate(tx, home, w.id, w.now); return err })
	},
	"die": func(w *world) {
		w.run()
		w.host.running = false
		w.settle()
	},
	"shut down from within": func(w *world) {
		w.run()
		w.host.shut(false)
		w.settle()
	},
	"shut down from within, to terminate": func(w *world) {
		w.edit(func(tx *store.Tx) error {
			i, _ := tx.Instances.Get(w.id)
			i.Spec.ShutdownBehavior = "terminate"
			tx.Instances.Put(w.id, i)
			return nil
		})
		w.run()
		w.host.shut(false)
		w.settle()
	},
	"shut down from within, and started": func(w *world) {
		w.run()
		w.host.shut(false)
		w.settle()
		w.ask(func(tx *store.Tx) error { _, err := provision.Start(tx, home, w.id, w.now); return err })
	},
	"reboot from within": func(w *world) {
		w.run()
		w.host.shut(true)
		w.settle()
	},
	"the zone goes away": func(w *world) {
		w.run()
		w.ask(w.zoneGone)
	},
	"stopped while the zone goes away": func(w *world) {
		w.run()
		w.ask(func(tx *store.Tx) error { _, err := provision.Stop(tx, home, w.id, w.now); return err })
		w.ask(w.zoneGone)
	},
	"reboot of the host": func(w *world) {
		w.run()
		w.host.running = false
		w.begin("second boot")
		w.settle()
	},
}

// end is the state that a life ends in.
func (w *world) end() string {
	in := w.record()
	interfaces := 0
	_ = w.st.View(func(tx *store.Tx) error { interfaces = len(provision.InterfacesOf(tx, w.id)); return nil })
	return fmt.Sprintf("%s %q, waiting for %q, generation %d, reboots %d, interfaces %d; on the host: running %t, started %d times, directory %t, network %t",
		in.Current(), in.Status.StateCode, in.Status.Waiting, in.Status.Generation, in.Status.Reboots, interfaces, w.host.running, w.host.started, w.host.dir, w.host.guest)
}

// ends is what the lives end in: the failures are measured by it, so it is said.
var ends = map[string]string{
	"run":                                 `running "", waiting for "", generation 1, reboots 0, interfaces 1; on the host: running true, started 1 times, directory true, network true`,
	"reboot":                              `running "", waiting for "", generation 2, reboots 1, interfaces 1; on the host: running true, started 2 times, directory true, network true`,
	"stop":                                `stopped "Client.UserInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 1; on the host: running false, started 1 times, directory true, network true`,
	"stop and start":                      `running "", waiting for "", generation 2, reboots 0, interfaces 1; on the host: running true, started 2 times, directory true, network true`,
	"terminate":                           `terminated "Client.UserInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 0; on the host: running false, started 1 times, directory false, network false`,
	"terminate before it runs":            `terminated "Client.UserInitiatedShutdown", waiting for "", generation 0, reboots 0, interfaces 0; on the host: running false, started 0 times, directory false, network false`,
	"terminate a stopped one":             `terminated "Client.UserInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 0; on the host: running false, started 1 times, directory false, network false`,
	"die":                                 `terminated "Server.InternalError", waiting for "", generation 1, reboots 0, interfaces 0; on the host: running false, started 1 times, directory false, network false`,
	"shut down from within":               `stopped "Client.InstanceInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 1; on the host: running false, started 1 times, directory true, network true`,
	"shut down from within, to terminate": `terminated "Client.InstanceInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 0; on the host: running false, started 1 times, directory false, network false`,
	"shut down from within, and started":  `running "", waiting for "", generation 2, reboots 0, interfaces 1; on the host: running true, started 2 times, directory true, network true`,
	"reboot from within":                  `running "", waiting for "", generation 2, reboots 0, interfaces 1; on the host: running true, started 2 times, directory true, network true`,
	"the zone goes away":                  `terminated "Server.InternalError", waiting for "", generation 1, reboots 0, interfaces 0; on the host: running false, started 1 times, directory false, network false`,
	"stopped while the zone goes away":    `stopped "Client.UserInitiatedShutdown", waiting for "", generation 1, reboots 0, interfaces 1; on the host: running false, started 1 times, directory true, network true`,
	"reboot of the host":                  `running "", waiting for "", generation 2, reboots 0, interfaces 1; on the host: running true, started 2 times, directory true, network true`,
}

func TestEachHostCallFailsOnce(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			well := newWorld(t)
			live(well)
			if got := well.end(); got != ends[name] {
				t.Fatalf("without a failure: got\n%s\nwant\n%s", got, ends[name])
			}
			for i := range well.host.log {
				for _, late := range []bool{false, true} {
					w := newWorld(t)
					w.host.failAt, w.host.late = i+1, late
					live(w)
					if got := w.end(); got != ends[name] {
						t.Errorf("call %d, %q, failed once, its work done: %t; got\n%s\nwant\n%s", i+1, well.host.log[i], late, got, ends[name])
					}
				}
			}
		})
	}
}

// Every life again, each reconcile of it done twice, and then once more by another daemon.
func TestRunTwice(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			live(w)
			for range 3 {
				w.settle()
			}
			boot := "first boot"
			if name == "reboot of the host" {
				boot = "second boot"
			}
			w.begin(boot)
			w.settle()
			if got := w.end(); got != ends[name] {
				t.Errorf("run again: got\n%s\nwant\n%s", got, ends[name])
			}
		})
	}
}

// A terminated instance is shown for an hour, and then its record leaves.
func TestForget(t *testing.T) {
	w := newWorld(t)
	lives["terminate"](w)
	w.now = w.now.Add(provision.TerminatedVisible - time.Minute)
	if again, err := w.Reconcile(t.Context(), w.id); err != nil || again != time.Minute || w.record().ID == "" {
		t.Errorf("before the hour is over: again in %s, %v, record %q", again, err, w.record().ID)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.Reconcile(t.Context(), w.id); err != nil || w.record().ID != "" {
		t.Errorf("after it: %v, record %q", err, w.record().ID)
	}
}

// One that is stopped does not start before its zone is back.
func TestStartWithoutZone(t *testing.T) {
	w := newWorld(t)
	lives["stopped while the zone goes away"](w)
	zone := w.record().Spec.Zone
	err := w.st.Update(t.Context(), func(tx *store.Tx) error { _, err := provision.Start(tx, home, w.id, w.now); return err })
	want := "InsufficientInstanceCapacity: We currently do not have sufficient t3.small capacity in the Availability Zone you requested (" + zone + ")."
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a start in a zone that is gone: %v", err)
	}
	w.ask(func(tx *store.Tx) error {
		tx.ZoneFaults.Delete(zone)
		_, err := provision.Start(tx, home, w.id, w.now)
		return err
	})
	if got := w.end(); got != ends["stop and start"] {
		t.Errorf("when it is back: %s", got)
	}
}
