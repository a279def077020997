// Command eks-pod-identity-agent gives pods the credentials of their pod identity
// association. It runs on every node, in the node's network, as EKS's add-on of that name:
//
//	a pod's SDK ─ GET http://169.254.170.23/v1/credentials, Authorization: <token> ─▶ agent.go
//	  kept? ─ no ─▶ service.go: AssumeRoleForPodIdentity, signed as the node's role
//
// It sets its addresses on lo (link.go). It verifies no token: EKS Auth does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
)

// Where SDKs expect the agent; they take plain HTTP from no other addresses than these.
var (
	address4 = netip.MustParseAddr("169.254.170.23")
	address6 = netip.MustParseAddr("fd00:ec2::23")
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], log); err != nil {
		log.Error("the agent has ended", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log *slog.Logger) error {
	flags := flag.NewFlagSet("eks-pod-identity-agent", flag.ContinueOnError)
	cluster := flags.String("cluster-name", "", "the node's cluster")
	port := flags.Int("port", 80, "for credentials")
	probes := flags.Int("probe-port", 2703, "for /healthz and /readyz, on the loopback address")
	region := flags.String("region", os.Getenv("AWS_REGION"), "of the cluster")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *cluster == "" || *region == "" {
		return errors.New("--cluster-name and a region are needed")
	}
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	if endpoint == "" {
		endpoint = "https://eks-auth." + *region + ".api.aws"
	}
	a := newAgent(service{
		cluster: *cluster, region: *region, endpoint: endpoint, http: &http.Client{Timeout: 10 * time.Second},
		credentials: aws.NewCredentialsCache(ec2rolecreds.New(), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute }),
	}.assume, log)

	var listeners []net.Listener
	for _, address := range []netip.Addr{address4, address6} {
		l, err := listen(ctx, address, *port)
		switch {
		case err == nil:
			listeners = append(listeners, l)
		case address == address4:
			return err
		default:
			log.Info("no IPv6 here", "err", err)
		}
	}
	probe, err := net.Listen("tcp", net.JoinHostPort("localhost", strconv.Itoa(*probes)))
	if err != nil {
		return fmt.Errorf("listening for probes: %w", err)
	}
	ok := http.NewServeMux()
	for _, path := range []string{"GET /healthz", "GET /readyz"} {
		ok.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	}
	return serve(ctx, []door{{a, listeners}, {ok, []net.Listener{probe}}})
}

func listen(ctx context.Context, address netip.Addr, port int) (net.Listener, error) {
	if err := ensureAddress(address); err != nil {
		return nil, fmt.Errorf("setting %s: %w", address, err)
	}
	var l net.ListenConfig
	return l.Listen(ctx, "tcp", netip.AddrPortFrom(address, uint16(port)).String())
}

// A door is where somebody answers.
type door struct {
	handler   http.Handler
	listeners []net.Listener
}

// serve ends when ctx does or a server has failed.
func serve(ctx context.Context, doors []door) error {
	ended := make(chan error, 4)
	for _, d := range doors {
		s := &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second}
		defer s.Close()
		for _, l := range d.listeners {
			go func() { ended <- s.Serve(l) }()
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}
