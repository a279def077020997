package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/eksauth"
	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/clusterauth"
	"ekster.dev/ekster/internal/controller/account"
	"ekster.dev/ekster/internal/controller/autoscalinggroup"
	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/controller/instance"
	"ekster.dev/ekster/internal/controller/node"
	"ekster.dev/ekster/internal/controller/nodegroup"
	"ekster.dev/ekster/internal/controller/spotrequest"
	"ekster.dev/ekster/internal/controller/vpc"
	zonalshiftcontroller "ekster.dev/ekster/internal/controller/zonalshift"
	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	autoscalingservice "ekster.dev/ekster/internal/service/autoscaling"
	ec2service "ekster.dev/ekster/internal/service/ec2"
	eksservice "ekster.dev/ekster/internal/service/eks"
	eksauthservice "ekster.dev/ekster/internal/service/eksauth"
	eventsservice "ekster.dev/ekster/internal/service/events"
	iamservice "ekster.dev/ekster/internal/service/iam"
	sqsservice "ekster.dev/ekster/internal/service/sqs"
	ssmservice "ekster.dev/ekster/internal/service/ssm"
	stsservice "ekster.dev/ekster/internal/service/sts"
)

// Addresses of the daemon's services as machines reach them.
var (
	mirrorURL = "http://" + netip.AddrPortFrom(network.InternetAddress, 5000).String()
	apiURL    = "http://" + network.InternetAddress.String()
)

// pauseImage is the sandbox of every pod.
const pauseImage = "registry.ekster.internal/pause:3.10"

// wire makes the front door and returns how to make the controllers, which need what is
// behind the front door's listeners.
func (d *Daemon) wire(ctx context.Context) (func(vpc.Doors) []controller, error) {
	aws, err := identity.LoadAWSPolicies()
	if err != nil {
		return nil, fmt.Errorf("AWS's managed policies: %w", err)
	}
	if d.addons, err = addon.Load(); err != nil {
		return nil, fmt.Errorf("the add-ons: %w", err)
	}
	d.clusters = &apiServers{api: d.api, clients: map[string]apiClient{}}
	policies := identity.NewPolicies(aws)
	lifetime := identity.Lifetime(d.cfg.MaxSession)
	d.instances = identity.Instances{Store: d.store, Policies: policies, Lifetime: lifetime}
	authorizer := identity.NewAuthorizer(d.store, policies)
	issuers := tokenIssuers{timeout: tokenIssuerTimeout, hosts: d.cfg.AllowIssuers, log: d.log}
	d.people = d.peopleIssuers()
	iamAPI := iamservice.New(d.store, aws)
	iamAPI.Thumbprint = issuers.Thumbprint
	d.eks = eksservice.New(eksservice.Config{Store: d.store, Policies: policies, Payload: d.hasVersion, Addons: d.addons})
	ec2API := ec2service.New(d.store)
	ec2API.Console = func(id string, most int64) ([]byte, time.Time, error) {
		return machine.Console(filepath.Join(d.cfg.Dir.Instances(), id), most)
	}
	d.front, err = awsapi.NewServer(awsapi.Config{
		Keys: identity.NewKeys(d.store, policies), Authorize: authorizer.Authorize, Region: region.Known, Log: d.log,
		Services: []*awsapi.Service{
			eks.Service(d.eks),
			ec2.Service(ec2API),
			iam.Service(iamAPI),
			sts.Service(stsservice.New(stsservice.Config{Store: d.store, Policies: policies, IssuerKeys: issuers.Keys, Lifetime: lifetime})),
			eksauth.Service(eksauthservice.New(eksauthservice.Config{Store: d.store, Policies: policies, Review: d.clusters.review, Lifetime: lifetime})),
			ssm.Service(ssmservice.New(d.store)),
			sqs.Service(sqsservice.New(d.store, time.Now)),
			events.Service(eventsservice.New(d.store, time.Now, d.notDelivered)),
			autoscaling.Service(autoscalingservice.New(d.store)),
		},
	})
	if err != nil {
		return nil, err
	}
	d.store.Derive(eventbus.Derive(time.Now, d.notDelivered))
	if err := d.ensureRoot(ctx); err != nil {
		return nil, fmt.Errorf("the root user: %w", err)
	}
	return func(doors vpc.Doors) []controller { return d.controllers(doors, authorizer) }, nil
}

// notDelivered logs an event that did not reach a target.
func (d *Daemon) notDelivered(f eventbus.Failure) {
	d.log.Warn("event not delivered", "event", f.Event, "rule", f.Rule, "target", f.Target, "reason", f.Reason)
}

// hasVersion says whether there is something to boot clusters and machines of a version from.
func (d *Daemon) hasVersion(minor string) bool {
	_, ok := d.cfg.Payload.Kubernetes(minor)
	return ok
}

// ensureRoot makes the account and its root user's key, and the file that holds it.
func (d *Daemon) ensureRoot(ctx context.Context) error {
	key, err := identity.EnsureRoot(ctx, d.store, d.settings.Account)
	if err != nil {
		return err
	}
	want := Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, Account: d.settings.Account}
	if have, err := d.cfg.Dir.Credentials(); err != nil || have != want {
		if err := d.cfg.Dir.write(credentialsFile, want); err != nil {
			return err
		}
	}
	if d.cfg.Reader == nil {
		return nil
	}
	return d.cfg.Dir.openTo(*d.cfg.Reader)
}

func (d *Daemon) controllers(doors vpc.Doors, authorizer *identity.Authorizer) []controller {
	vpcs := vpc.New(d.store, d.host, doors, d.log)
	instances := instance.New(instance.Config{
		Dir: d.cfg.Dir.Instances(), CgroupParent: "ekster-" + d.settings.Prefix, NodePayload: d.cfg.Payload.Node(), Disks: machine.DiskSupport() == nil, Kube: d.cfg.Payload.Kubernetes,
		Mirror: mirrorURL, Pause: pauseImage, DNS: network.ResolverAddress.String(), Trusted: d.ca.PEM,
		BootID: fmt.Sprintf("%s/%d", bootID(), d.settings.Epoch), Now: time.Now,
	}, d.store, machines{}, d.host, d.log)
	groups := autoscalinggroup.New(d.store, time.Now, d.log)
	nodes := node.New(node.Config{Store: d.store, API: d.api, Log: d.log})
	auth := clusterauth.New(clusterauth.Config{
		Store: d.store, Verify: d.front.VerifyPresigned, Dir: d.cfg.Dir.Run(), AWSAuth: nodes.AWSAuth, More: d.onSockets, LogFile: d.authenticatorLog, Log: d.log,
	})
	clusters := cluster.New(cluster.Config{
		Dir: d.cfg.Dir.Clusters(), Kube: d.cfg.Payload.Binary, Issuer: d.issuer, Loopback: d.settings.Loopback, Bindable: bindable,
		Defaults: d.applyDefaults, Verdicts: d.eks.Verdicts, Now: time.Now,
	}, d.store, controlplane.New(d.log), d.host, auth, d.log)
	nodegroups := nodegroup.New(nodegroup.Config{
		JoinTimeout: cmp.Or(d.cfg.JoinTimeout, DefaultJoinTimeout), DrainTimeout: cmp.Or(d.cfg.DrainTimeout, DefaultDrainTimeout),
		DeleteDrainTimeout: deleteDrainTimeout, DrainedPause: d.cfg.DrainedPause, RepairWait: d.cfg.RepairWait, Now: time.Now,
	}, d.store, nodes, d.log)
	addons := d.addonController()
	spots := spotrequest.New(d.store, time.Now, d.log)
	d.errors["spotrequest"] = spots.Errors
	accounts := account.New(d.store, time.Now, d.log)
	shifts := zonalshiftcontroller.New(d.store, nodes, zonalshiftcontroller.APIServers{API: d.api}, time.Now, d.log)
	d.errors["zonalshift"] = shifts.Errors
	d.errors["account"], d.errors["addon"] = accounts.Errors, addons.Errors
	d.errors["vpc"], d.errors["instance"], d.errors["autoscalinggroup"] = vpcs.Errors, instances.Errors, groups.Errors
	d.errors["cluster"], d.errors["nodegroup"], d.errors["node"] = clusters.Errors, nodegroups.Errors, nodes.Errors
	return []controller{vpcs, instances, groups, nodes, clusters, nodegroups, addons, spots, shifts, accounts, &housekeeping{d: d, authorizer: authorizer}}
}

// api is how the daemon talks to a cluster's API server.
func (d *Daemon) api(cl resource.Cluster) (*rest.Config, error) {
	return cluster.API(d.cfg.Dir.Clusters(), cl)
}

// machines is package machine as controller/instance wants it.
type machines struct{}

func (machines) Ensure(ctx context.Context, c machine.Config) (machine.Status, error) {
	return machine.Ensure(ctx, c)
}
func (machines) Stop(ctx context.Context, dir string) error     { return machine.Stop(ctx, dir) }
func (machines) Remove(ctx context.Context, dir string) error   { return machine.Remove(ctx, dir) }
func (machines) WaitExit(ctx context.Context, dir string) error { return machine.WaitExit(ctx, dir) }
