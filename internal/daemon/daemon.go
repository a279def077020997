// Package daemon wires Ekster together: it is the only package that knows everybody.
//
//	store ─ identity ─┬─ services ── awsapi.Server ── front door (127.0.0.1:4566, HTTP and HTTPS)
//	                  │                            └─ 198.18.0.1 inside each VPC
//	                  └─ controllers: vpc ─ instance ─ autoscalinggroup ─ nodegroup ─ node ─ cluster
//	                        └─ network, machine, controlplane, imds, resolver, image
//
// It constructs, starts and stops; it decides nothing about an AWS resource. Control
// planes and machines are no children of it in the sense that matters: they live on when
// it ends, and the next daemon finds them.
package daemon

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/controller/nodegroup"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/image"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/pki"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	eksservice "ekster.dev/ekster/internal/service/eks"
	"ekster.dev/ekster/internal/store"
)

// Config is how a daemon is started.
type Config struct {
	Dir         Dir
	Port        int    // 0: as at the first start
	Account     string // "": as at the first start
	Payload     Payload
	Etcd        []string // endpoints of an external etcd; none: embedded
	PullThrough bool     // images that are not here are fetched from their registries
	JoinTimeout time.Duration
	VCPULimits  map[string]int // quota of vCPUs by lifecycle; none: no limit
	SpotNotice  time.Duration  // between a Spot instance's interruption notice and its end; 0: DefaultSpotNotice
	RepairWait  time.Duration  // for how long a node is unhealthy before its group repairs it; 0: EKS's time
	// DrainTimeout is how long pods may take to leave a node, and DrainedPause for how long a
	// node that is rolled stays when they have; 0: EKS's times.
	DrainTimeout, DrainedPause time.Duration
	MaxSession                 time.Duration // the longest that temporary credentials last; 0: as on AWS
	// AllowIssuers are hosts beyond this machine where OIDC issuers may be (CheckIssuerHost).
	AllowIssuers []string
	// Reader, if there is one, is who may read what `ekster env` reads, besides root: who
	// has started the daemon by sudo.
	Reader *Owner
	Log    *slog.Logger
	Ready  func() // called once requests are answered; may be nil
}

// DefaultRepairWait is for how long a node is unhealthy before EKS repairs it.
const DefaultRepairWait = nodegroup.DefaultRepairWait

// DefaultJoinTimeout is how long EKS waits for a node group's nodes.
const DefaultJoinTimeout = 25 * time.Minute

// DefaultSpotNotice is how long before the end EC2 warns a Spot instance.
const DefaultSpotNotice = 2 * time.Minute

// DefaultDrainTimeout is how long EKS lets pods take to leave a node.
const DefaultDrainTimeout = 15 * time.Minute

// DefaultDrainedPause is for how long EKS keeps a node that is rolled and that they have left.
const DefaultDrainedPause = nodegroup.DefaultDrainedPause

// deleteDrainTimeout is the same when their node group is deleted: on EKS some minutes.
// Pods that end within the default grace period have left by then.
const deleteDrainTimeout = 45 * time.Second

// A Daemon is a running Ekster.
type Daemon struct {
	cfg         Config
	settings    Settings
	log         *slog.Logger
	store       *store.Store
	host        *network.Host
	registry    *image.Registry
	front       *awsapi.Server
	eks         *eksservice.Service
	tls         *tls.Config
	ca          *pki.CA
	issuerHost  string
	metadataKey []byte
	instances   identity.Instances
	addons      *addon.Catalogue
	clusters    *apiServers
	people      *http.Client                       // asks the OIDC issuers of clusters
	errors      map[string]func() map[string]error // controller → its keys' errors
}

// Endpoint is the URL of the front door.
func (d *Daemon) Endpoint() string { return "http://127.0.0.1:" + strconv.Itoa(d.settings.Port) }

// Run runs a daemon until ctx ends. Only one may run on a state directory.
func Run(ctx context.Context, cfg Config) error {
	d := &Daemon{cfg: cfg, log: cfg.Log, errors: map[string]func() map[string]error{}}
	if err := cfg.Dir.Claim(); err != nil {
		return err
	}
	for _, dir := range []string{cfg.Dir.Run(), cfg.Dir.join("tls"), cfg.Dir.Clusters(), cfg.Dir.Instances()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if d.settings, err = cfg.Dir.settingsFor(cfg.Port, cfg.Account, taken); err != nil {
		return err
	}
	front, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.settings.Port)))
	if err != nil {
		return fmt.Errorf("opening the front door: %w", err)
	}
	defer front.Close()
	// Not before: a port that nobody can listen on would stay, and be in the way of every later start.
	if err := cfg.Dir.keep(d.settings); err != nil {
		return err
	}
	if d.store, err = store.Open(ctx, store.Options{Dir: cfg.Dir.join("etcd"), Endpoints: cfg.Etcd}); err != nil {
		return err
	}
	defer d.store.Close()
	return d.run(ctx, front)
}

func (d *Daemon) run(ctx context.Context, front net.Listener) error {
	var err error
	if d.host, err = network.New(d.settings.Prefix, d.log); err != nil {
		return err
	}
	if err := d.certify(); err != nil {
		return err
	}
	if err := d.openRegistry(); err != nil {
		return err
	}
	if err := provision.SetPublicPool(ctx, d.store, d.settings.Public()); err != nil {
		return fmt.Errorf("the pool of public addresses: %w", err)
	}
	if err := provision.SetPayload(ctx, d.store, d.hasVersion); err != nil {
		return fmt.Errorf("the versions that are built: %w", err)
	}
	for _, lifecycle := range []string{provision.OnDemand, provision.Spot} {
		if err := provision.SetVCPULimit(ctx, d.store, lifecycle, d.cfg.VCPULimits[lifecycle]); err != nil {
			return fmt.Errorf("the quota of vCPUs: %w", err)
		}
	}
	controllers, err := d.wire(ctx)
	if err != nil {
		return err
	}
	handler := http.NewServeMux()
	d.serveIssuer(handler)
	handler.Handle("/", d.front)
	apis := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), ReadHeaderTimeout: time.Minute}
	registry := &http.Server{Handler: d.registry.ReadOnly(), ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	wrap := func(l net.Listener) net.Listener { return awsapi.Listen(l, d.tls) }
	doors := &doors{
		host: d.host, metadata: d.metadata, zone: d.zone, endpoint: d.clusterEndpoint, apis: apis, wrap: wrap, registry: registry, log: d.log, open: map[string]func(){},
	}
	go d.serve(apis, wrap(front))
	if l, err := net.Listen("tcp", net.JoinHostPort(d.loopbackAddress().String(), "443")); err == nil {
		go d.serve(apis, wrap(l))
	} else if d.issuerHost == d.loopbackAddress().String() {
		return fmt.Errorf("opening the issuer's address: %w", err)
	}
	admin, err := d.serveAdmin()
	if err != nil {
		return err
	}
	if d.cfg.Ready != nil {
		d.cfg.Ready()
	}
	// What starting took and running does not need goes back to the host: the catalogues are
	// read and parsed by now, and an idle daemon would give nothing back for minutes.
	debug.FreeOSMemory()
	d.log.Info("ready", "endpoint", d.Endpoint(), "account", d.settings.Account, "state", string(d.cfg.Dir))
	err = d.control(ctx, controllers(doors))
	return errors.Join(err, apis.Close(), registry.Close(), admin.Close())
}

// A controller runs until its context ends.
type controller interface {
	Run(ctx context.Context) error
}

// control runs the controllers. One that fails ends them all: half a daemon would look
// like a whole one.
func (d *Daemon) control(ctx context.Context, controllers []controller) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, c := range controllers {
		wg.Go(func() {
			if err := c.Run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%T: %w", c, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (d *Daemon) controllerErrors() map[string]map[string]error {
	out := map[string]map[string]error{}
	for name, f := range d.errors {
		out[name] = f()
	}
	return out
}

func (d *Daemon) serve(s *http.Server, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		d.log.Error("a listener has ended", "address", l.Addr(), "err", err)
	}
}

// loopbackAddress is the daemon's own in the pool that endpoints are taken from.
func (d *Daemon) loopbackAddress() netip.Addr { return d.settings.Loopback.Addr().Next() }

// certify makes the authority of the front door, and its certificate: for loopback, and
// for AWS's own names, by which machines inside a VPC find it.
func (d *Daemon) certify() error {
	dir := d.cfg.Dir.join("tls")
	var err error
	if d.ca, err = pki.EnsureCA(dir, "ca", "Ekster "+d.settings.Prefix); err != nil {
		return fmt.Errorf("the front door's authority: %w", err)
	}
	names := []string{"localhost", "*.amazonaws.com", "*.api.aws", "registry.ekster.internal"}
	for _, r := range region.All() {
		names = append(names, "*."+r.Name+".amazonaws.com", "*."+r.Name+".api.aws", "api.ecr."+r.Name+".amazonaws.com")
	}
	cert, key, err := d.ca.EnsureLeaf(dir, "front", pki.Leaf{
		CommonName: "ekster", DNSNames: names, Server: true,
		IPs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), d.loopbackAddress(), network.InternetAddress},
	})
	if err != nil {
		return fmt.Errorf("the front door's certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("the front door's certificate: %w", err)
	}
	d.tls = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
	return d.chooseIssuerHost()
}

// chooseIssuerHost decides once where token issuers are: on port 443 of the daemon's own
// loopback address, as on EKS without a port, or at the front door where somebody has
// taken every address's 443. Tokens carry it, so it stays.
func (d *Daemon) chooseIssuerHost() error {
	const name = "issuer-host.json"
	err := d.cfg.Dir.read(name, &d.issuerHost)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.issuerHost = net.JoinHostPort("127.0.0.1", strconv.Itoa(d.settings.Port))
	if bindable(netip.AddrPortFrom(d.loopbackAddress(), 443)) {
		d.issuerHost = d.loopbackAddress().String()
	}
	return d.cfg.Dir.write(name, d.issuerHost)
}

// bindable says whether nobody listens on a.
func bindable(a netip.AddrPort) bool {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func (d *Daemon) openRegistry() error {
	r, err := image.Open(image.Config{Dir: d.cfg.Dir.Registry(), Log: d.log, PullThrough: d.cfg.PullThrough})
	if err != nil {
		return fmt.Errorf("the registry: %w", err)
	}
	if err := r.Seed(d.cfg.Payload.Images()); err != nil {
		return fmt.Errorf("the registry: %w", err)
	}
	d.registry = r
	const name = "metadata-key.json"
	err = d.cfg.Dir.read(name, &d.metadataKey)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.metadataKey = make([]byte, 32)
	_, _ = rand.Read(d.metadataKey) // never fails
	return d.cfg.Dir.write(name, d.metadataKey)
}

// lock makes sure that no other daemon runs on the state directory.
func lock(dir Dir) (unlock func(), err error) {
	f, err := os.OpenFile(dir.join("run", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another daemon runs on %s", dir)
	}
	return func() { _ = f.Close() }, nil
}
