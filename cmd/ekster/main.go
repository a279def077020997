// Command ekster runs and steers Ekster, an EKS that its users own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ekster.dev/ekster/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
