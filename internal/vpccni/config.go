package vpccni

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Config says how an agent works. ConfigFromEnv makes the usual one.
type Config struct {
	Socket    string // where the plugin finds the agent
	StateFile string
	Plugin    string // where to install this program as the plugin; "": nowhere
	Conflist  string // the network configuration to write when ready; "": none
	Health    string // address of the HTTP health endpoint; "": none

	IMDS   string // endpoints
	EC2    string // "": the region's public one
	STS    string
	Region string              // "": the instance's
	Env    func(string) string // for credentials

	Cluster      string
	WarmIPs      int // addresses to keep ready
	MinimumIPs   int // addresses to hold at least, used or not
	WarmENIs     int // if WarmIPs is 0: ready addresses, in ENIs' worth
	Cooldown     time.Duration
	ExternalSNAT bool // somebody else translates what leaves the VPC
	NoSNAT       []netip.Prefix
	MTU          int // upper bound; the ENI's own counts if smaller
	Log          *slog.Logger
}

// ConfigFromEnv reads the environment variables that the aws-node DaemonSet has
// on EKS, as far as they concern what this agent does.
func ConfigFromEnv(env func(string) string, log *slog.Logger) (Config, error) {
	c := Config{
		Socket:    "/var/run/aws-node/ipam.sock",
		StateFile: "/var/lib/cni/aws-node/ipam.json",
		Plugin:    "/host/opt/cni/bin/aws-cni",
		Conflist:  "/host/etc/cni/net.d/10-aws.conflist",
		Health:    "127.0.0.1:61679",
		IMDS:      cmp.Or(env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254"),
		EC2:       cmp.Or(env("AWS_EC2_ENDPOINT"), env("AWS_ENDPOINT_URL_EC2"), env("AWS_ENDPOINT_URL")),
		STS:       cmp.Or(env("AWS_ENDPOINT_URL_STS"), env("AWS_ENDPOINT_URL")),
		Region:    env("AWS_REGION"),
		Env:       env,
		Cluster:   env("CLUSTER_NAME"),
		Log:       log,
	}
	c.IMDS, c.EC2, c.STS = strings.TrimSuffix(c.IMDS, "/"), strings.TrimSuffix(c.EC2, "/"), strings.TrimSuffix(c.STS, "/")
	cooldown := 30
	for _, n := range []struct {
		name    string
		to      *int
		without int
	}{
		{"WARM_IP_TARGET", &c.WarmIPs, 0},
		{"MINIMUM_IP_TARGET", &c.MinimumIPs, 0},
		{"WARM_ENI_TARGET", &c.WarmENIs, 1},
		{"IP_COOLDOWN_PERIOD", &cooldown, 30},
		{"AWS_VPC_ENI_MTU", &c.MTU, 9001},
	} {
		*n.to = n.without
		v := env(n.name)
		if v == "" {
			continue
		}
		i, err := strconv.Atoi(v)
		if err != nil || i < 0 {
			return c, fmt.Errorf("%s=%q: want a number", n.name, v)
		}
		*n.to = i
	}
	c.Cooldown = time.Duration(cooldown) * time.Second
	if v := env("AWS_VPC_K8S_CNI_EXTERNALSNAT"); v != "" {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return c, fmt.Errorf("AWS_VPC_K8S_CNI_EXTERNALSNAT=%q: want true or false", v)
		}
		c.ExternalSNAT = b
	}
	if v := env("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS"); v != "" {
		p, err := parsePrefixes(strings.Split(strings.ReplaceAll(v, " ", ""), ","))
		if err != nil {
			return c, fmt.Errorf("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: %w", err)
		}
		c.NoSNAT = p
	}
	return c, nil
}
