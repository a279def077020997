// Command aws-identity is a small program with an AWS SDK, as any in a pod: it prints who
// it is to AWS, by the SDK's own search for credentials, and nothing else configures it.
//
//	aws-identity              once: a line, or the error and exit 1
//	aws-identity watch [T]    every T (1s): a line, or the error
//	aws-identity describe C   describes cluster C: a call that a policy may deny
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
	case args[0] == "watch" && len(args) <= 2:
		every := time.Second
		if len(args) == 2 {
			if every, err = time.ParseDuration(args[1]); err != nil {
				return err
			}
		}
		return watch(ctx, cfg, every)
	case args[0] == "describe" && len(args) == 2:
		out, err := eks.NewFromConfig(cfg).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &args[1]})
		if err != nil {
			return err
		}
		fmt.Println(*out.Cluster.Arn)
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

func watch(ctx context.Context, cfg aws.Config, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		line, err := whoami(ctx, cfg)
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
