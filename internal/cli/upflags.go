package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"ekster.dev/ekster/internal/daemon"
)

// upFlags are the flags of up.
type upFlags struct {
	port        int
	account     string
	detach      bool
	verbose     bool
	pullThrough bool
	etcd        []string
	joinTimeout time.Duration
	spotNotice  time.Duration
	vcpuLimits  map[string]int
	repairWait  time.Duration
	drain       time.Duration
	drained     time.Duration
	sessions    time.Duration
	issuers     []string
}

func (f *upFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.port, "port", 0, portUsage)
	flags.StringVar(&f.account, "account", "", fmt.Sprintf("12 digits of the account, at the first start (default %s)", daemon.DefaultAccount))
	flags.BoolVar(&f.detach, "detach", false, "run in the background, return when ready")
	flags.BoolVar(&f.verbose, "verbose", false, "log every request")
	flags.BoolVar(&f.pullThrough, "pull-through", true, "fetch images that are not here from their own registries")
	flags.StringSliceVar(&f.etcd, "etcd", nil, "endpoints of an etcd cluster to keep the records in (default: embedded)")
	flags.DurationVar(&f.joinTimeout, "join-timeout", daemon.DefaultJoinTimeout, "how long node groups wait for their nodes")
	flags.StringToIntVar(&f.vcpuLimits, "vcpu-limit", nil, "vCPUs that an account may have in a region, as on-demand=32,spot=16 (default: as many as it asks for)")
	flags.DurationVar(&f.spotNotice, "spot-notice", daemon.DefaultSpotNotice, "how long before its end a Spot instance is warned")
	flags.DurationVar(&f.repairWait, "node-repair-wait", daemon.DefaultRepairWait, "for how long a node is unhealthy before its node group repairs it")
	flags.DurationVar(&f.drain, "drain-timeout", daemon.DefaultDrainTimeout, "how long pods may take to leave a node before it ends all the same, or its update fails")
	flags.DurationVar(&f.drained, "drained-pause", daemon.DefaultDrainedPause, "for how long a node that an update replaces is kept when its pods have left")
	flags.StringSliceVar(&f.issuers, "allow-issuer", nil, "hosts beyond this machine that are asked for the keys of OIDC issuers (default: none for IAM, all for clusters)")
	flags.DurationVar(&f.sessions, "max-session", 0, "end temporary credentials after this time at the latest, to see that programs renew them (default: as on AWS)")
}

// argv is the flags as a command line, except --detach.
func (f *upFlags) argv() []string {
	argv := []string{
		"--join-timeout=" + f.joinTimeout.String(), "--spot-notice=" + f.spotNotice.String(),
		"--node-repair-wait=" + f.repairWait.String(), "--drain-timeout=" + f.drain.String(), "--drained-pause=" + f.drained.String(),
		"--pull-through=" + strconv.FormatBool(f.pullThrough),
	}
	for lifecycle, most := range f.vcpuLimits {
		argv = append(argv, fmt.Sprintf("--vcpu-limit=%s=%d", lifecycle, most))
	}
	if f.port != 0 {
		argv = append(argv, "--port="+strconv.Itoa(f.port))
	}
	if f.account != "" {
		argv = append(argv, "--account="+f.account)
	}
	if f.sessions != 0 {
		argv = append(argv, "--max-session="+f.sessions.String())
	}
	if f.verbose {
		argv = append(argv, "--verbose=true")
	}
	for _, host := range f.issuers {
		argv = append(argv, "--allow-issuer="+host)
	}
	for _, e := range f.etcd {
		argv = append(argv, "--etcd="+e)
	}
	return argv
}

// unlike are those of the given flags that the running daemon was not started with.
func (f *upFlags) unlike(st daemon.Status, given []string) ([]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", st.PID))
	if err != nil {
		return nil, fmt.Errorf("how the running daemon was started: %w", err)
	}
	return f.unlikeLine(strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00"), st, given)
}

// unlikeLine is unlike of a command line: `ekster [flags] up [flags]`.
func (f *upFlags) unlikeLine(line []string, st daemon.Status, given []string) (names []string, err error) {
	var theirs upFlags
	up, rest, err := (&app{}).rootWith(&theirs).Find(line[min(1, len(line)):])
	if err == nil {
		err = up.ParseFlags(rest)
	}
	if err != nil {
		return nil, fmt.Errorf("how the running daemon was started: %w", err)
	}
	// What it has kept since its first start need not be on its command line.
	theirs.account = st.Account
	if _, port, ok := strings.Cut(strings.TrimPrefix(st.Endpoint, "http://"), ":"); ok {
		if theirs.port, err = strconv.Atoi(port); err != nil {
			return nil, err
		}
	}
	of := func(argv []string, name string) []string {
		mine := slices.DeleteFunc(slices.Clone(argv), func(a string) bool { return !strings.HasPrefix(a, "--"+name+"=") })
		slices.Sort(mine)
		return mine
	}
	ours := f.argv()
	for _, name := range given {
		if !slices.Equal(of(ours, name), of(theirs.argv(), name)) {
			names = append(names, name)
		}
	}
	return names, nil
}
