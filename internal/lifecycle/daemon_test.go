package lifecycle

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"k8s.io/client-go/rest"

	genautoscaling "ekster.dev/ekster/gen/autoscaling"
	genec2 "ekster.dev/ekster/gen/ec2"
	geneks "ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/controller/account"
	addoncontroller "ekster.dev/ekster/internal/controller/addon"
	"ekster.dev/ekster/internal/controller/autoscalinggroup"
	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/controller/instance"
	"ekster.dev/ekster/internal/controller/nodegroup"
	"ekster.dev/ekster/internal/controller/spotrequest"
	"ekster.dev/ekster/internal/controller/vpc"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	autoscalingservice "ekster.dev/ekster/internal/service/autoscaling"
	ec2service "ekster.dev/ekster/internal/service/ec2"
	eksservice "ekster.dev/ekster/internal/service/eks"
	"ekster.dev/ekster/internal/store"
)

// versions are those that there is a payload of, oldest first.
var versions = []string{"1.34", "1.35", "1.36"}

// clock goes from a day on which EKS supports the versions, whatever day it is.
func clock() time.Time { return firstDay.Add(time.Since(began)) }

var began, firstDay = time.Now(), time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

var catalogue = sync.OnceValues(addon.Load)

// A daemon is one run of Ekster in a life: store, front door and controllers, as
// internal/daemon puts them together.
type daemon struct {
	life    *life
	store   *store.Store
	log     *slog.Logger
	dead    atomic.Bool
	removed map[string]bool // guests; package network knows them likewise
	gone    chan struct{}   // closed when it is dead
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	door    *identitytest.Door
	parts   map[string]controller

	eks   *eks.Client
	ec2   *ec2.Client
	asg   *autoscaling.Client
	close func() error // of the store, once
}

type controller interface {
	Run(ctx context.Context) error
	Errors() map[string]error
}

func (d *daemon) hands() hands { return hands{host: d.life.host, daemon: d} }

// start starts a daemon in the life's directory.
func (l *life) start() {
	l.t.Helper()
	d := &daemon{life: l, log: slog.New(slog.DiscardHandler), gone: make(chan struct{}), removed: map[string]bool{}}
	var err error
	if d.store, err = store.Open(context.Background(), store.Options{Dir: filepath.Join(l.dir, "etcd")}); err != nil {
		l.t.Fatal(err)
	}
	d.close = sync.OnceValue(d.store.Close)
	addons, err := catalogue()
	if err != nil {
		l.t.Fatal(err)
	}
	d.door = identitytest.Over(l.t, d.store, func(door *identitytest.Door) []*awsapi.Service {
		payload := func(minor string) bool { return slices.Contains(versions, minor) }
		services := []*awsapi.Service{
			geneks.Service(eksservice.New(eksservice.Config{Store: d.store, Policies: door.Policies, Payload: payload, Addons: addons})),
			genec2.Service(ec2service.New(d.store)), genautoscaling.Service(autoscalingservice.New(d.store)),
		}
		for i, s := range services {
			services[i] = identitytest.Clocked(s, clock)
		}
		return services
	})
	cfg := d.door.AsRoot()
	d.eks, d.ec2, d.asg = eks.NewFromConfig(cfg), ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)
	d.parts = d.controllers(addons)
	l.daemon = d
	l.begin(d)
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	for name, c := range d.parts {
		d.wg.Go(func() {
			if err := c.Run(ctx); err != nil && !d.dead.Load() {
				l.violate("controller %s has ended: %v", name, err)
			}
		})
	}
}

func (d *daemon) controllers(addons *addon.Catalogue) map[string]controller {
	l, log := d.life, d.log
	kube := func(minor string) (string, bool) { return "/payload/" + minor, slices.Contains(versions, minor) }
	workers := d.nodes()
	return map[string]controller{
		"vpc":  vpc.New(d.store, networks{d.hands()}, vpcDoors{d.hands()}, log),
		"node": workers,
		"instance": instance.New(instance.Config{
			Dir: filepath.Join(l.dir, "instances"), CgroupParent: "test", Kube: kube, BootID: "boot", Now: clock,
		}, d.store, machines{d.hands()}, d.hands(), log),
		"autoscalinggroup": autoscalinggroup.New(d.store, clock, log),
		"cluster": cluster.New(cluster.Config{
			Dir: l.clusters(), Kube: kube, Issuer: func(c resource.Cluster) string { return "https://issuer/" + c.Spec.Hex },
			Loopback: netip.MustParsePrefix("127.70.0.0/24"), Bindable: func(netip.AddrPort) bool { return true },
			Defaults: func(ctx context.Context, _ *rest.Config, _ resource.Cluster, _ netip.AddrPort) error {
				h := d.hands()
				defer h.mu.Unlock()
				return h.begin(ctx)
			},
			Inspect: func(ctx context.Context, _ *rest.Config) (resource.Inspection, error) {
				h := d.hands()
				defer h.mu.Unlock()
				return resource.Inspection{}, h.begin(ctx)
			},
			Now: clock, Own: func() []netip.Addr { return nil }, UpgradeTimeout: l.patience,
		}, d.store, planes{d.hands()}, d.hands(), d.hands(), log),
		"nodegroup": nodegroup.New(nodegroup.Config{
			JoinTimeout: l.patience, DrainTimeout: l.patience, DeleteDrainTimeout: l.patience, DrainedPause: time.Millisecond, Now: clock,
		}, d.store, workers, log),
		"addon": addoncontroller.New(addoncontroller.Config{
			Store: d.store, Catalogue: addons, API: d.api, AWSEndpointURL: "http://198.18.0.1", Settle: l.patience, UpdateTimeout: l.patience,
			Now: clock, Log: log,
		}),
		"spotrequest": spotrequest.New(d.store, clock, log),
		"account":     account.New(d.store, clock, log),
	}
}

// die ends the daemon where it is, as SIGKILL would: not another commit, not another call
// of the host. It runs inside a commit, on the store's writer.
func (d *daemon) die() {
	if d.dead.Swap(true) {
		return
	}
	d.cancel()
	_ = d.close() // whatever it says: nobody is left to hear it
	close(d.gone)
}

// bury waits for what a dead daemon has left running in this process.
func (d *daemon) bury() {
	d.cancel()
	d.wg.Wait()
	d.door.Close()
}

// stop ends the daemon in order.
func (d *daemon) stop() error {
	d.bury()
	return d.close()
}

// errors are what the controllers complain about.
func (d *daemon) errors() (out []string) {
	for name, c := range d.parts {
		for key, err := range c.Errors() {
			out = append(out, fmt.Sprintf("%s: %s: %v", name, key, err))
		}
	}
	return out
}

func (l *life) clusters() string { return filepath.Join(l.dir, "clusters") }
