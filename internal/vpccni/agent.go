package vpccni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// An Agent gives addresses to the pods of one node.
type Agent struct {
	cfg    Config
	imds   *metadata
	ec2    *ec2
	pool   *pool
	in     Instance
	limits limits
	mtu    int

	ready   atomic.Bool
	waiting atomic.Int64 // pods that wait for an address to come

	saving sync.Mutex // orders the state file's versions
	grow   growth
}

// errNoAddress is what users of EKS know from their events.
var errNoAddress = errors.New("failed to assign an IP address to container")

// Run works until ctx ends, and then returns nil. It tries again by itself what
// IMDS or EC2 refuse; an error means that the node itself is not usable.
func Run(ctx context.Context, cfg Config) error {
	a := newAgent(cfg)
	if err := a.prepare(ctx); err != nil {
		return err
	}
	l, err := listen(cfg.Socket)
	if err != nil {
		return fmt.Errorf("listening for the plugin: %w", err)
	}
	defer l.Close()
	go a.serve(ctx, l)
	return a.keep(ctx)
}

func newAgent(cfg Config) *Agent {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
		DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
	}}
	imds := &metadata{base: cfg.IMDS, http: client}
	return &Agent{
		cfg: cfg, imds: imds, pool: newPool(cfg.Cooldown),
		ec2: &ec2{
			endpoint: cfg.EC2, region: cfg.Region, http: client, signer: v4.NewSigner(),
			creds: &credentials{env: cfg.Env, http: client, imds: imds, sts: cfg.STS, value: aws.Credentials{}},
		},
	}
}

// prepare does all that needs no address: it learns the instance, sets up the
// node and takes over from an earlier agent.
func (a *Agent) prepare(ctx context.Context) error {
	if a.cfg.Plugin != "" {
		if err := installPlugin(a.cfg.Plugin); err != nil {
			return fmt.Errorf("installing the plugin: %w", err)
		}
	}
	if a.cfg.Health != "" {
		if err := a.serveHealth(ctx); err != nil {
			return err
		}
	}
	old, err := readState(a.cfg.StateFile)
	if err != nil {
		return fmt.Errorf("allocations of an earlier agent: %w", err)
	}
	err = a.insist(ctx, "learning about the instance", func() error {
		if a.in, err = a.imds.instance(ctx); err != nil {
			return err
		}
		if a.ec2.region == "" {
			a.ec2.region = a.in.Region
		}
		if a.ec2.endpoint == "" {
			a.ec2.endpoint = "https://ec2." + a.ec2.region + ".amazonaws.com"
		}
		if a.ec2.creds.sts == "" {
			a.ec2.creds.sts = "https://sts." + a.ec2.region + ".amazonaws.com"
		}
		if old.InstanceType == a.in.Type && old.Limits.ENIs > 0 {
			a.limits = old.Limits
			return nil
		}
		a.limits, err = a.ec2.limits(ctx, a.in.Type)
		return err
	})
	if err != nil {
		return err
	}
	if a.mtu, err = setupNode(a.in, a.cfg); err != nil {
		return fmt.Errorf("preparing the node: %w", err)
	}
	for _, e := range a.in.ENIs {
		if e.Device > 0 {
			if err := setupENI(ctx, e, a.mtu); err != nil {
				return fmt.Errorf("preparing %s: %w", e.ID, err)
			}
		}
		a.pool.setENI(e)
	}
	if err := a.takeOver(old.Allocations); err != nil {
		return fmt.Errorf("allocations of an earlier agent: %w", err)
	}
	c := a.pool.count()
	a.cfg.Log.Info("instance known", "instance", a.in.ID, "type", a.in.Type, "enis", len(a.in.ENIs),
		"maxENIs", a.limits.ENIs, "maxAddresses", a.limits.Addresses, "used", c.Used, "free", c.Free)
	return a.save()
}

// takeOver restores the allocations of the file whose pods still live, and
// those of veths that the file does not know.
func (a *Agent) takeOver(list []Allocation) error {
	live, err := podVeths()
	if err != nil {
		return err
	}
	for _, al := range list {
		if addr, ok := live[al.Veth]; ok && addr == al.Address && a.pool.restore(al) {
			delete(live, al.Veth)
		}
	}
	for veth, addr := range live {
		if !a.pool.restore(Allocation{Veth: veth, Address: addr, At: time.Now()}) {
			a.cfg.Log.Warn("a pod has an address that is not this instance's", "veth", veth, "address", addr)
		}
	}
	return nil
}

// insist calls f until it succeeds or ctx ends.
func (a *Agent) insist(ctx context.Context, doing string, f func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f()
		if err == nil {
			return nil
		}
		a.cfg.Log.Warn(doing, "err", err, "again", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", doing, errors.Join(err, ctx.Err()))
		case <-time.After(wait):
		}
	}
}

// add finds an address for a pod, and waits for EC2 if one can still come.
func (a *Agent) add(ctx context.Context, q request) (Allocation, error) {
	ctx, cancel := context.WithTimeout(ctx, addWithin)
	defer cancel()
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	began := a.grow.attempts()
	for woken := false; ; {
		change := a.pool.watch()
		if al, ok := a.pool.assign(q.Veth, q.Pod); ok {
			if err := a.save(); err != nil {
				a.pool.release(q.Veth)
				return Allocation{}, err
			}
			a.cfg.Log.Info("address given", "pod", q.Pod, "address", al.Address, "device", al.Device)
			return al, nil
		}
		if a.room() == 0 || a.grow.failedSince(began) {
			return Allocation{}, errNoAddress
		}
		if !woken {
			woken = true
			a.pool.wake()
			continue
		}
		select {
		case <-change:
		case <-ctx.Done():
			return Allocation{}, errNoAddress
		}
	}
}

func (a *Agent) save() error {
	a.saving.Lock()
	defer a.saving.Unlock()
	s := state{InstanceType: a.in.Type, Limits: a.limits, Allocations: a.pool.allocations()}
	if err := s.write(a.cfg.StateFile); err != nil {
		return fmt.Errorf("writing the allocations: %w", err)
	}
	return nil
}

// serveHealth answers /healthz, 200 once a pod could get an address, and /livez,
// 200 as long as there is an agent: one that EC2 refuses gains nothing by a restart.
func (a *Agent) serveHealth(ctx context.Context) error {
	l, err := net.Listen("tcp", a.cfg.Health)
	if err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" && !a.ready.Load() {
			http.Error(w, "no address to give yet", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})}
	go func() { _ = s.Serve(l) }() // it ends with the agent
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return nil
}

// installPlugin copies the running program to the node. A plugin that runs at
// the moment keeps its old file.
func installPlugin(path string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	return replaceFile(path, self, 0o755)
}
