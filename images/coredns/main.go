// Command coredns is CoreDNS with the plugins that EKS's Corefile names, and
// hosts and rewrite, which people add to it. The full set of plugins would
// triple the binary and its memory; a Corefile that names another plugin is
// refused at start, as CoreDNS does for any unknown directive.
package main

import (
	_ "github.com/coredns/caddy/onevent"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
)

// directives is the order in which a query passes the plugins: upstream's
// order (plugin.cfg), less what is left out.
var directives = []string{
	"reload", "bufsize", "bind", "ready", "health", "prometheus", "errors", "log",
	"loadbalance", "cache", "rewrite", "hosts", "kubernetes", "loop", "forward", "on",
}

func main() {
	dnsserver.Directives = directives
	coremain.Run()
}
