package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	basecompatibility "k8s.io/component-base/compatibility"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	kcmapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kcmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// options holds the three components' options, parsed.
type options struct {
	cfg       Config
	apiserver *apiserveroptions.ServerRunOptions
	kcm       *kcmoptions.KubeControllerManagerOptions
	scheduler *scheduleroptions.Options
}

// webhookBackoff retries a webhook that the daemon's restart cut off. The default would hold a request for 7 s.
var webhookBackoff = wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 3}

// tokenCache is how long a token that was accepted is not looked at again: how late a removed access entry or a
// deleted service account is noticed. The default is 10 s and has no flag.
const tokenCache = time.Second

// newOptions parses all flags.
func newOptions(cfg Config) (*options, error) {
	kcm, err := kcmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("options of kube-controller-manager: %w", err)
	}
	// Before the other components' flags: in 1.34 this overrides the default of a gate, which is too late once any
	// flag set has the gates.
	kcmFlags := kcm.Flags(kcmapp.KnownControllers(), kcmapp.ControllersDisabledByDefault(), kcmapp.ControllerAliases())
	o := &options{
		cfg:       cfg,
		apiserver: apiserveroptions.NewServerRunOptions(),
		kcm:       kcm,
		scheduler: scheduleroptions.NewOptions(),
	}
	for _, c := range []struct {
		name  string
		flags cliflag.NamedFlagSets
		args  []string
	}{
		{"kube-apiserver", o.apiserver.Flags(), append([]string{"--etcd-servers=" + EtcdSocket}, cfg.APIServer...)},
		{"kube-controller-manager", kcmFlags, cfg.ControllerManager},
		{"kube-scheduler", *o.scheduler.Flags, cfg.Scheduler},
	} {
		fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		for _, set := range c.flags.FlagSets {
			fs.AddFlagSet(set)
		}
		if err := fs.Parse(c.args); err != nil {
			return nil, fmt.Errorf("flags of %s: %w", c.name, err)
		}
		if fs.NArg() > 0 {
			return nil, fmt.Errorf("flags of %s: unexpected %q", c.name, fs.Args())
		}
	}
	o.kcm.ParsedFlags = &kcmFlags
	o.apiserver.Authentication.TokenSuccessCacheTTL = tokenCache
	o.apiserver.Authentication.WebHook.RetryBackoff = &webhookBackoff
	o.apiserver.Authorization.WebhookRetryBackoff = &webhookBackoff
	return o, nil
}

// apply makes the feature gates and log settings of the flags those of the process, which all components share: once,
// after all flags are parsed and before any component reads a gate.
func (o *options) apply() error {
	registry := o.apiserver.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := registry.Set(); err != nil {
		return fmt.Errorf("applying feature gates: %w", err)
	}
	gate := registry.FeatureGateFor(basecompatibility.DefaultKubeComponent)
	if err := logsapi.ValidateAndApply(o.apiserver.Logs, gate); err != nil {
		return fmt.Errorf("applying logging flags: %w", err)
	}
	return nil
}

func (o *options) runControllerManager(ctx context.Context) error {
	c, err := o.kcm.Config(ctx, kcmapp.KnownControllers(), kcmapp.ControllersDisabledByDefault(), kcmapp.ControllerAliases())
	if err != nil {
		return fmt.Errorf("its options: %w", err)
	}
	return kcmapp.Run(ctx, c.Complete())
}

func (o *options) runScheduler(ctx context.Context) error {
	c, sched, err := schedulerapp.Setup(ctx, o.scheduler)
	if err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	return schedulerapp.Run(ctx, c, sched)
}

// waitReady returns when the API server's /readyz, which anybody may ask, answers ok, or ctx is done.
func waitReady(ctx context.Context, cfg Config) error {
	url := fmt.Sprintf("https://%s/readyz", cfg.local())
	transport, err := rest.TransportFor(&rest.Config{Host: url, TLSClientConfig: rest.TLSClientConfig{CAFile: cfg.CA}})
	if err != nil {
		return fmt.Errorf("client of /readyz: %w", err)
	}
	client := &http.Client{Transport: transport, Timeout: time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for said := ""; ; {
		err := ask(client, url)
		if err == nil {
			return nil
		}
		if said != err.Error() {
			said = err.Error()
			klog.InfoS("kube-apiserver is not ready yet", "reason", said)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func ask(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}
