// Command metrics-server is the Kubernetes metrics server, unchanged: it reads how much
// nodes and pods use from the kubelets, and serves metrics.k8s.io, which kubectl top and
// horizontal autoscalers ask. Here is only what makes a program of its module.
package main

import (
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app"
)

func main() {
	os.Exit(cli.Run(app.NewMetricsServerCommand(genericapiserver.SetupSignalHandler())))
}
