package daemon

import (
	"errors"
	"slices"

	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/process"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// authenticatorLog is where a cluster's authenticator log goes, "" if its logging does not
// want one.
func (d *Daemon) authenticatorLog(arn string) (path string) {
	_ = d.store.View(func(tx *store.Tx) error {
		if cl, ok := tx.Clusters.Get(arn); ok && slices.Contains(cl.Spec.LogTypes, controlplane.LogAuthenticator) {
			path = controlplane.LogFile(cluster.Dir(d.cfg.Dir.Clusters(), cl), controlplane.LogAuthenticator)
		}
		return nil
	})
	return path
}

// maxLog is how long the daemon's own log becomes.
const maxLog = 16 << 20

// rotateLogs keeps the logs of all control planes short, and the daemon's own.
func (d *Daemon) rotateLogs() error {
	var all []resource.Cluster
	err := d.store.View(func(tx *store.Tx) error {
		for _, cl := range tx.Clusters.All() {
			all = append(all, cl)
		}
		return nil
	})
	err = errors.Join(err, process.RotateLog(d.cfg.Dir.Log(), maxLog))
	for _, cl := range all {
		err = errors.Join(err, controlplane.RotateLogs(cluster.Dir(d.cfg.Dir.Clusters(), cl)))
	}
	return err
}
