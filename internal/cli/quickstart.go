package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ekster.dev/ekster/internal/region"
)

func (a *app) quickstart() *cobra.Command {
	name, port := "demo", 0
	c := &cobra.Command{
		Use:   "quickstart [flags]",
		Short: "Start the daemon, make a cluster with two nodes, and run a workload on it",
		Long: `Start the daemon detached, create a cluster with a managed node group of two nodes
through the AWS APIs, run a workload with a Service and fetch a page from it. What is
there already is kept: running it again is quick and harmless.`,
		Example: "  sudo ekster quickstart",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkPort(c, port); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("quickstart starts a daemon: %w", errDenied)
			}
			q := &quick{app: a, name: name, port: port, out: a.out, began: time.Now(), terminal: isTerminal(a.out)}
			return q.run(c.Context())
		},
	}
	c.Flags().StringVar(&name, "name", name, "name of the cluster")
	c.Flags().IntVar(&port, "port", 0, portUsage)
	return c
}

// quick is one run of quickstart.
type quick struct {
	*app
	name     string
	port     int // of the AWS APIs; 0: as before
	out      io.Writer
	began    time.Time
	terminal bool
	cloud    *cloud
}

func (q *quick) run(ctx context.Context) error {
	steps := []struct {
		title string
		do    func(ctx context.Context, say func(string)) (string, error)
	}{
		{"Daemon", q.daemon},
		{"IAM roles", q.roles},
		{"Cluster " + q.name, q.cluster},
		{"Node group app-nodes, two nodes", q.nodegroup},
		{"Workload web, four pods", q.workload},
		{"A page from http://web.default.svc.cluster.local", q.page},
	}
	for _, s := range steps {
		if err := q.step(ctx, s.title, s.do); err != nil {
			return err
		}
	}
	fmt.Fprintf(q.out, "\nDone in %s. Go on with:\n\n", time.Since(q.began).Round(100*time.Millisecond))
	state := ""
	if q.stateDir != DefaultStateDir {
		state = " --state-dir " + q.stateDir
	}
	sudo := ""
	if _, ok := invoker(); ok {
		sudo = "sudo "
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Fprintf(q.out, `  eval "$(%[1]s env%[2]s)"
  aws eks describe-cluster --name %[3]s
  aws eks update-kubeconfig --name %[3]s && kubectl get pods -A -o wide

  %[4]s%[1]s status%[2]s
  %[4]s%[1]s kubectl%[2]s get nodes          # without aws and kubectl
  %[4]s%[1]s down --purge%[2]s               # nothing stays
`, self, state, q.name, sudo)
	return nil
}

// step runs one step with a line that shows how long it has been taking.
func (q *quick) step(ctx context.Context, title string, do func(context.Context, func(string)) (string, error)) error {
	began := time.Now()
	var mu sync.Mutex
	waiting := ""
	show := func() {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(q.out, "\r\033[K%6.1fs  %s  %s", time.Since(began).Seconds(), title, waiting)
	}
	say := func(s string) {
		mu.Lock()
		changed := waiting != s
		waiting = s
		mu.Unlock()
		if changed && s != "" && !q.terminal {
			fmt.Fprintf(q.out, "%6.1fs  %s  %s\n", time.Since(began).Seconds(), title, s)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		if !q.terminal {
			return
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				fmt.Fprint(q.out, "\r\033[K")
				return
			case <-tick.C:
				show()
			}
		}
	}()
	result, err := do(ctx, say)
	close(stop)
	<-stopped
	if err != nil {
		fmt.Fprintf(q.out, "%6.1fs  %s  FAILED\n", time.Since(began).Seconds(), title)
		return fmt.Errorf("%s: %w (see `ekster status` and `ekster logs daemon`)", strings.ToLower(title[:1])+title[1:], err)
	}
	fmt.Fprintf(q.out, "%6.1fs  %s  %s\n", time.Since(began).Seconds(), title, result)
	return nil
}

func (q *quick) daemon(ctx context.Context, say func(string)) (string, error) {
	say("starting")
	quiet := *q.app
	quiet.out = io.Discard
	var flags upFlags
	flags.add(pflag.NewFlagSet("up", pflag.ContinueOnError)) // which sets the defaults
	flags.port = q.port
	var given []string
	if q.port != 0 {
		given = []string{"port"}
	}
	if err := quiet.upDetached(ctx, flags, given); err != nil {
		return "", err
	}
	creds, settings, err := q.credentials()
	if err != nil {
		return "", err
	}
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", settings.Port)
	q.cloud = newCloud(endpoint, region.Default, creds)
	return endpoint, nil
}

// poll calls done every so often until it says true, fails, or the time is over.
func poll(ctx context.Context, most time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not done after %s", most)
		case <-tick.C:
		}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
