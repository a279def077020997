// Package instance makes the records of EC2 instances real: it boots, watches and ends
// their machines.
//
//	pending ──interface plugged──▶ machine.Ensure ──▶ running
//	running ──pid 1 gone───────▶ terminated (the machine died; its group replaces it)
//	running ──poweroff on it───▶ stopped or terminated, as InstanceInitiatedShutdownBehavior says
//	running ──reboot on it─────▶ the next generation: machine.Ensure again
//	running ──host rebooted────▶ machine.Ensure again, same disk
//	running ──reboot asked─────▶ machine.Stop ──▶ the next generation: machine.Ensure again
//	Off ───────────────────────▶ machine.Stop ──▶ stopped, with its disk and its interfaces
//	stopped ──start asked──────▶ the next generation: pending
//	running ──zone goes away───▶ terminated, like one that died (resource.ZoneFault)
//	Terminating ───────────────▶ machine.Remove, guest removed ──▶ terminated
//	terminated ──an hour later─▶ the record leaves
//
// It makes no network (controller/vpc does, from the instance's interfaces), serves no
// metadata, and does not look into the machine: whether a node joins is the business of
// the cluster.
package instance

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Machines runs machines; package machine does.
type Machines interface {
	Ensure(ctx context.Context, c machine.Config) (machine.Status, error)
	Stop(ctx context.Context, dir string) error
	Remove(ctx context.Context, dir string) error
	WaitExit(ctx context.Context, dir string) error
}

// Guests are the network namespaces of machines; network.Host has them.
type Guests interface {
	GuestPath(guest string) string
	RemoveGuest(ctx context.Context, guest string) error
}

// Config says what machines are made of.
type Config struct {
	Dir          string // a directory an instance below it
	CgroupParent string
	NodePayload  string
	Disks        bool                                     // whether this host can give machines root volumes (machine.DiskSupport)
	Kube         func(minor string) (dir string, ok bool) // the payload of a Kubernetes version
	Mirror       string                                   // URL of the registry, as machines reach it
	Pause        string                                   // sandbox image
	DNS          string                                   // address of a VPC's own DNS server
	Trusted      []byte                                   // PEM, of our own authority
	BootID       string                                   // of this boot of the host
	Now          func() time.Time
}

// Controller reconciles instances, by their ids.
type Controller struct {
	cfg      Config
	store    *store.Store
	machines Machines
	guests   Guests
	queue    *reconcile.Queue
	log      *slog.Logger

	mu      sync.Mutex
	watched map[string]bool // instances whose end is waited for
	ctx     context.Context // of Run
}

// New returns the controller; Run starts it.
func New(cfg Config, st *store.Store, m Machines, g Guests, log *slog.Logger) *Controller {
	c := &Controller{cfg: cfg, store: st, machines: m, guests: g, log: log, watched: map[string]bool{}}
	c.queue = reconcile.New("instance", c.Reconcile, log)
	return c
}

// Run reconciles every instance once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.ctx = ctx
	return reconcile.Serve(ctx, c.queue, c.store, 8, func(tx *store.Tx) *store.Table[resource.Instance] { return tx.Instances }, c.changed)
}

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	if ch.Table == store.ZoneFaults { // whom it concerns, Reconcile finds out
		for id := range tx.Instances.All() {
			c.queue.Wake(id)
		}
	}
	if ch.Table != store.Interfaces {
		return
	}
	if i, ok := tx.Interfaces.Get(ch.Key); ok && i.Attachment != nil && i.Attachment.Instance != "" {
		c.queue.Wake(i.Attachment.Instance)
	}
}

// Errors are those of the instances that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Dir is where the machine of an instance lives.
func (c *Controller) Dir(id string) string { return filepath.Join(c.cfg.Dir, id) }

// Reconcile brings the machine nearer to the instance's record.
func (c *Controller) Reconcile(ctx context.Context, id string) (time.Duration, error) {
	var in resource.Instance
	var options resource.DHCPOptions
	var ok, plugged, lost bool
	err := c.store.View(func(tx *store.Tx) error {
		in, ok = tx.Instances.Get(id)
		lost = tx.ZoneFaults.Has(in.Spec.Zone)
		eni, there := tx.Interfaces.Get(in.Spec.PrimaryInterface)
		plugged = there && eni.Status.Plugged == id
		options = provision.OptionsOf(tx, in.Spec.VPC)
		return nil
	})
	switch {
	case err != nil || !ok:
		return reconcile.Never, err
	case in.Status.State == resource.InstanceTerminated:
		return c.forget(ctx, in)
	case in.Terminating:
		return reconcile.Never, c.end(ctx, id, "", "")
	case lost && in.Status.State != resource.InstanceStopped: // a stopped one has nothing there to lose
		return reconcile.Never, c.end(ctx, id, "Server.InternalError", "Server.InternalError: The Availability Zone of the instance is unavailable")
	case in.Spec.Off:
		return reconcile.Never, c.stop(ctx, in)
	case !plugged:
		return reconcile.Never, c.setStatus(ctx, id, func(s *resource.InstanceStatus) { s.Waiting = "its network interface" })
	default:
		return reconcile.Never, c.boot(ctx, in, options)
	}
}

// stop ends the machine of an instance and leaves its disk.
func (c *Controller) stop(ctx context.Context, in resource.Instance) error {
	if in.Status.State == resource.InstanceStopped {
		return nil
	}
	if err := c.machines.Stop(ctx, c.Dir(in.ID)); err != nil {
		return fmt.Errorf("stopping instance %s: %w", in.ID, err)
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		provision.Stopped(tx, in.ID)
		return nil
	})
}

// reboot ends the machine if a reboot was asked for that is not done yet. The boot that
// follows is another generation: what ends in this one has not died.
func (c *Controller) reboot(ctx context.Context, in *resource.Instance) error {
	if in.Status.Reboots >= in.Spec.Reboots {
		return nil
	}
	if err := c.machines.Stop(ctx, c.Dir(in.ID)); err != nil {
		return fmt.Errorf("rebooting instance %s: %w", in.ID, err)
	}
	return c.setStatus(ctx, in.ID, func(s *resource.InstanceStatus) {
		s.Generation, s.Reboots = s.Generation+1, in.Spec.Reboots
		in.Status = *s
	})
}

func (c *Controller) boot(ctx context.Context, in resource.Instance, options resource.DHCPOptions) error {
	if err := c.reboot(ctx, &in); err != nil {
		return err
	}
	if in.Status.BootID != c.cfg.BootID {
		// Written before the machine is started: were it written after, a crash in between
		// would let the machine be taken for one that died.
		err := c.setStatus(ctx, in.ID, func(s *resource.InstanceStatus) {
			s.BootID, s.Generation = c.cfg.BootID, s.Generation+1
			in.Status = *s
		})
		if err != nil {
			return err
		}
	}
	cfg, err := c.configFor(in, options)
	if err != nil {
		return err
	}
	st, err := c.machines.Ensure(ctx, cfg)
	if err != nil {
		return fmt.Errorf("instance %s: %w", in.ID, err)
	}
	if !st.Running {
		return c.ended(ctx, in, options, st)
	}
	c.watch(in.ID, cfg.Dir)
	return c.setStatus(ctx, in.ID, func(s *resource.InstanceStatus) {
		if s.State == resource.InstancePending || s.State == resource.InstanceRunning { // nobody has asked for a stop meanwhile
			s.State = resource.InstanceRunning
		}
		s.Booted, s.Waiting = true, ""
	})
}

// ended acts on the end of a machine that nobody has asked for through the API: its own reboot,
// its own shutdown, which stops or terminates the instance as it says, or its death.
func (c *Controller) ended(ctx context.Context, in resource.Instance, options resource.DHCPOptions, st machine.Status) error {
	switch {
	case st.Rebooted:
		err := c.setStatus(ctx, in.ID, func(s *resource.InstanceStatus) {
			if s.Generation == st.Generation { // once for each
				s.Generation++
			}
			in.Status = *s
		})
		if err != nil {
			return err
		}
		return c.boot(ctx, in, options)
	case st.PoweredOff: // asked for from here on, as if by the API: the next look goes on with it
		return c.store.Update(ctx, func(tx *store.Tx) error {
			provision.ShutDown(tx, in.ID, c.cfg.Now())
			return nil
		})
	}
	c.log.Warn("an instance has died", "instance", in.ID, "console", machine.ConsoleLog(c.Dir(in.ID)))
	return c.end(ctx, in.ID, "Server.InternalError", "Server.InternalError: The machine of the instance has ended unexpectedly")
}

// configFor is the machine of an instance in a VPC with the options. It is pure.
func (c *Controller) configFor(in resource.Instance, options resource.DHCPOptions) (machine.Config, error) {
	t, ok := instancetype.Lookup(in.Spec.Type)
	if !ok {
		return machine.Config{}, fmt.Errorf("instance %s has the unknown type %q", in.ID, in.Spec.Type)
	}
	cfg := machine.Config{
		ID: in.ID, Dir: c.Dir(in.ID), Netns: c.guests.GuestPath(in.ID), Hostname: in.Spec.PrivateDNS, Region: in.Region,
		VCPU: t.VCPU, MemoryMiB: t.MemoryMiB, MaxPods: instancetype.MaxPods(t), CgroupParent: c.cfg.CgroupParent,
		NodePayload: c.cfg.NodePayload, Mirror: c.cfg.Mirror, Pause: c.cfg.Pause, DNS: c.nameServers(options), Trusted: c.cfg.Trusted,
		Domains: strings.Fields(options.Domain), Generation: in.Status.Generation,
	}
	if c.cfg.Disks {
		cfg.DiskGiB = int(in.Spec.DiskGiB)
	}
	if image, ok := ami.ByID(in.Region, in.Spec.Image); ok {
		cfg.Bottlerocket = image.Variant == ami.Bottlerocket
		if cfg.Kube, ok = c.cfg.Kube(image.Minor); !ok {
			return machine.Config{}, fmt.Errorf("image %s of instance %s needs the payload of Kubernetes %s, which is not there", in.Spec.Image, in.ID, image.Minor)
		}
	}
	return cfg, nil
}

// nameServers are the machines' as the options say.
func (c *Controller) nameServers(options resource.DHCPOptions) []string {
	servers := slices.Clone(options.NameServers)
	for i, s := range servers {
		if s == resource.AmazonDNS {
			servers[i] = c.cfg.DNS
		}
	}
	return servers
}

// end takes away all that the instance has on the host and records that it is terminated.
func (c *Controller) end(ctx context.Context, id, code, reason string) error {
	if err := c.machines.Remove(ctx, c.Dir(id)); err != nil {
		return fmt.Errorf("ending instance %s: %w", id, err)
	}
	if err := c.guests.RemoveGuest(ctx, id); err != nil {
		return fmt.Errorf("network of instance %s: %w", id, err)
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		if in, ok := tx.Instances.Get(id); ok && code != "" {
			in.Status.StateCode, in.Status.StateReason = code, reason
			tx.Instances.Put(id, in)
		}
		provision.Terminated(tx, id, c.cfg.Now())
		return nil
	})
}

// forget deletes the record of a terminated instance once EC2 no longer shows it.
func (c *Controller) forget(ctx context.Context, in resource.Instance) (time.Duration, error) {
	if left := provision.TerminatedVisible - c.cfg.Now().Sub(in.Status.Ended); left > 0 {
		return left, nil
	}
	return reconcile.Never, c.store.Update(ctx, func(tx *store.Tx) error {
		tx.Instances.Delete(in.ID)
		return nil
	})
}

// watch wakes the instance's key when its machine ends.
func (c *Controller) watch(id, dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[id] {
		return
	}
	c.watched[id] = true
	go func() {
		err := c.machines.WaitExit(c.ctx, dir)
		c.mu.Lock()
		delete(c.watched, id)
		c.mu.Unlock()
		if c.ctx.Err() != nil {
			return
		}
		if err != nil {
			c.log.Error("waiting for the end of an instance", "instance", id, "err", err)
		}
		c.queue.Wake(id)
	}()
}

// setStatus writes the status that f makes of the present one, if it differs.
func (c *Controller) setStatus(ctx context.Context, id string, f func(*resource.InstanceStatus)) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Instances.Edit(id, func(in *resource.Instance) error { f(&in.Status); return nil })
	})
}
