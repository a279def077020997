// Command aws-identity is a small program with an AWS SDK, as any in a pod: it prints who
// it is to AWS, by the SDK's own search for credentials, and nothing else configures it.
//
//	aws-identity                     once: a line, or the error and exit 1
//	aws-identity watch T [EARLY]     every T: a line, or the error; credentials are renewed
//	                                 once they have no more than EARLY left
//	aws-identity describe C [T]      describes cluster C, a call that a policy may deny; every T
//	aws-identity both C              describes cluster C and lists clusters: a line or an error each
//
// A line is the ARN, where the credentials come from, and the access key.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "aws-identity:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(2))
	if err != nil {
		return err
	}
	if cfg.Region == "" { // the node's role gives no region, and a pod may not reach IMDS for it
		cfg.Region = "us-east-1"
	}
	switch {
	case len(args) == 0:
		line, err := whoami(ctx, cfg)
		fmt.Println(line)
		return err
	case args[0] == "watch" && (len(args) == 2 || len(args) == 3):
		every, early, err := durations(args[1:])
		if err != nil {
			return err
		}
		return watch(ctx, every, func() (string, error) {
			renew(ctx, cfg, early)
			return whoami(ctx, cfg)
		})
	case args[0] == "describe" && len(args) == 2:
		line, err := describe(ctx, cfg, args[1])
		fmt.Println(line)
		return err
	case args[0] == "describe" && len(args) == 3:
		every, _, err := durations(args[2:])
		if err != nil {
			return err
		}
		return watch(ctx, every, func() (string, error) { return describe(ctx, cfg, args[1]) })
	case args[0] == "both" && len(args) == 2:
		for name, call := range map[string]func() (string, error){
			"describe": func() (string, error) { return describe(ctx, cfg, args[1]) },
			"list":     func() (string, error) { return list(ctx, cfg) },
		} {
			line, err := call()
			if err != nil {
				line = "error: " + err.Error()
			}
			fmt.Println(name + ": " + line)
		}
		return nil
	}
	return fmt.Errorf("unknown arguments %q", args)
}

func whoami(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %s", *out.Arn, c.Source, c.AccessKeyID), nil
}

func describe(ctx context.Context, cfg aws.Config, cluster string) (string, error) {
	out, err := eks.NewFromConfig(cfg).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &cluster})
	if err != nil {
		return "", err
	}
	return *out.Cluster.Arn, nil
}

func list(ctx context.Context, cfg aws.Config) (string, error) {
	out, err := eks.NewFromConfig(cfg).ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil {
		return "", err
	}
	return fmt.Sprint(out.Clusters), nil
}

// renew has the SDK fetch new credentials where those it keeps end soon. By itself it does so
// some minutes before, and only for credentials that last longer than these.
func renew(ctx context.Context, cfg aws.Config, early time.Duration) {
	cache, ok := cfg.Credentials.(*aws.CredentialsCache)
	if !ok || early == 0 {
		return
	}
	c, err := cache.Retrieve(ctx)
	if err == nil && c.CanExpire && time.Until(c.Expires) <= early {
		cache.Invalidate()
	}
}

// durations reads one or two.
func durations(args []string) (first, second time.Duration, err error) {
	if first, err = time.ParseDuration(args[0]); err == nil && len(args) > 1 {
		second, err = time.ParseDuration(args[1])
	}
	return first, second, err
}

func watch(ctx context.Context, every time.Duration, call func() (string, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		line, err := call()
		if err != nil {
			line = "error: " + err.Error()
		}
		fmt.Println(line)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
