package cli

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/daemon"
)

// parts of a control plane, which share one log.
var parts = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// sources says which part a source file is of, a line each; see hack/log-sources.sh.
//
//go:embed logsources.txt
var sources string

// klogLine is a line as Kubernetes' parts write it, with the name of a source file.
var klogLine = regexp.MustCompile(`^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([^:\]]+):\d+\] `)

// component keeps the lines of one part of a control plane, and those that may be its: the
// others are known for another's. A line that does not say where it comes from goes on with
// the one before.
func component(name string) (func(string) bool, error) {
	if !slices.Contains(parts, name) {
		return nil, fmt.Errorf("%w: a control plane has the parts %s", errUsage, strings.Join(parts, ", "))
	}
	of := map[string]string{}
	for line := range strings.Lines(sources) {
		part, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		of[file] = part
	}
	keeps := true
	return func(line string) bool {
		switch m := klogLine.FindStringSubmatch(line); {
		case m != nil:
			part, known := of[m[1]]
			keeps = part == name || !known && name != "etcd" // which does not log like this
		case strings.HasPrefix(line, `{"level":`):
			keeps = name == "etcd"
		}
		return keeps
	}, nil
}

// planeLogs is where the control plane of the cluster has its logs, which are there when no
// daemon runs, too.
func (a *app) planeLogs(ctx context.Context, dir daemon.Dir, name string) (string, error) {
	if _, err := a.ask(ctx, dir); err == nil {
		c, err := a.findCluster(ctx, dir, name)
		return c.Dir, err
	} else if errors.Is(err, fs.ErrPermission) {
		return "", a.unreached(err)
	}
	planes, err := os.ReadDir(dir.Clusters())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var found []string
	for _, p := range planes {
		plane := filepath.Join(dir.Clusters(), p.Name())
		have, err := controlplane.ClusterName(plane)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err == nil && have == name {
			found = append(found, plane)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: no daemon answers on %s (ekster up), and no control plane of a cluster %s is there", errNotFound, a.stateDir, name)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: several clusters have the name %s, and no daemon answers who could tell them apart by ARN: see the logs in %s", errUsage, name, strings.Join(found, ", "))
}
