// Command vpc-cni is the aws-node agent and, run by the container runtime, the
// CNI plugin aws-cni; see package vpccni.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"ekster.dev/ekster/internal/vpccni"
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(vpccni.Plugin())
	}
	if len(os.Args) != 2 || os.Args[1] != "agent" {
		fmt.Fprintln(os.Stderr, "usage: vpc-cni agent; as a CNI plugin it takes CNI_COMMAND and a configuration on stdin")
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	if err := agent(log); err != nil {
		log.Error("the agent cannot go on", "err", err)
		os.Exit(1)
	}
}

func agent(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := vpccni.ConfigFromEnv(os.Getenv, log)
	if err != nil {
		return err
	}
	return vpccni.Run(ctx, cfg)
}
