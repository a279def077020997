package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
)

var (
	logTypes = []string{"api", "audit", "scheduler"}
	names    = map[string][]string{
		"cluster": {"c", "d"}, "nodegroup": {"a", "b"}, "addon": {"coredns", "kube-proxy", "metrics-server"},
	}
)

func pick[T any](l *life, from []T) T { return from[l.rnd.IntN(len(from))] }

// chance is true once in n times.
func (l *life) chance(n int) bool { return l.rnd.IntN(n) == 0 }

// name names a thing of a kind: mostly one that is there, or that is not if it is to be new.
func (l *life) name(kind, cluster string, isNew bool) string {
	if l.chance(8) {
		return pick(l, names[kind])
	}
	v := l.now()
	fit := slices.DeleteFunc(slices.Clone(names[kind]), func(name string) bool {
		_, _, there := v.of(kind, cluster, name)
		return there == isNew
	})
	if len(fit) == 0 {
		fit = names[kind]
	}
	return pick(l, fit)
}

// cluster names a cluster. If there is none, one is mostly made.
func (l *life) cluster() string {
	l.t.Helper()
	if len(l.now().all("cluster", "")) == 0 && !l.chance(8) {
		l.createCluster()
	}
	return l.name("cluster", "", false)
}

// part names a cluster and a thing in it, likewise.
func (l *life) part(kind string, isNew bool) (cluster, name string) {
	l.t.Helper()
	cluster = l.cluster()
	if !isNew && len(l.now().all(kind, cluster)) == 0 && !l.chance(8) {
		switch kind {
		case "nodegroup":
			l.createNodegroup()
		case "addon":
			l.createAddon()
		}
	}
	return cluster, l.name(kind, cluster, isNew)
}

// An act is something that can be done next, and how often it is.
type act struct {
	weight int
	do     func(*life)
}

var acts = []act{
	{1, (*life).createCluster}, {1, (*life).deleteCluster}, {6, (*life).updateVersion}, {6, (*life).updateConfig}, {1, (*life).cancelUpdate},
	{6, (*life).createNodegroup}, {6, (*life).updateNodegroupConfig}, {8, (*life).updateNodegroupVersion}, {2, (*life).deleteNodegroup},
	{5, (*life).createAddon}, {6, (*life).updateAddon}, {2, (*life).deleteAddon},
	{3, (*life).people}, {1, (*life).tag}, {3, (*life).provider},
	{3, (*life).scale}, {2, (*life).suspend}, {2, (*life).wantBack}, {2, (*life).killMachine}, {8, (*life).trouble}, {3, (*life).read},
	{12, (*life).pause}, {8, (*life).rest},
}

// act does one thing. The first is a cluster.
func (l *life) act() {
	l.t.Helper()
	if len(l.facts) == 0 {
		l.createCluster()
		return
	}
	all := 0
	for _, a := range acts {
		all += a.weight
	}
	n := l.rnd.IntN(all)
	for _, a := range acts {
		if n -= a.weight; n < 0 {
			a.do(l)
			return
		}
	}
}

// pause lets the controllers have some commits, or a moment.
func (l *life) pause() {
	commits := 1 + l.rnd.IntN(8)
	wait := time.After(30 * time.Millisecond)
	for range commits {
		select {
		case <-l.changed:
		case <-wait:
			return
		}
	}
}

// trouble turns a knob of the host, or all of them back.
func (l *life) trouble() {
	if l.calm {
		return
	}
	version := pick(l, versions)
	turns := []struct {
		name string
		turn func(*knobs)
	}{
		{"heal", (*knobs).heal}, {"heal", (*knobs).heal}, {"heal", (*knobs).heal},
		{"failures", func(k *knobs) { k.failures = 1 + int(version[3]-'4') }},
		{"slow", func(k *knobs) { k.slow = 4 }},
		{"broken " + version, func(k *knobs) { k.broken[version] = true }},
		{"dies " + version, func(k *knobs) { k.dies[version] = true }},
		{"strange", func(k *knobs) { k.strange = true }},
		{"bloated", func(k *knobs) { k.bloated = true }},
		{"stuck", func(k *knobs) { k.stuck = true }},
		{"sick", func(k *knobs) { k.cluster.Sick = true }},
		{"touched", func(k *knobs) { k.cluster.Touched = true }},
		{"denied", func(k *knobs) { k.cluster.Denied = true }},
		{"gone", func(k *knobs) { k.gone = true }},
		{"down", func(k *knobs) { k.down = true }},
	}
	t := turns[l.rnd.IntN(len(turns))]
	// A control plane that is new has no other version to go back to.
	if slices.ContainsFunc(l.now().all("cluster", ""), func(c thing) bool { return c.status == "CREATING" || c.version == version }) && (t.name == "broken "+version || t.name == "dies "+version) {
		return
	}
	l.note("the host: %s", t.name)
	l.host.turn(t.turn)
}

func (l *life) createCluster() {
	l.t.Helper()
	name, mode := l.name("cluster", "", true), pick(l, modes)
	version := pick(l, versions)
	in := &eks.CreateClusterInput{
		Name: &name, RoleArn: aws.String(clusterRole), Version: &version, ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: l.subnets},
		AccessConfig: &types.CreateAccessConfigRequest{AuthenticationMode: types.AuthenticationMode(mode)},
	}
	// A version that cannot come up would be awaited for ever.
	l.host.turn(func(k *knobs) { delete(k.broken, version); delete(k.dies, version) })
	if l.call("CreateCluster "+name+" "+version+" "+mode, func(ctx context.Context) error {
		_, err := l.daemon.eks.CreateCluster(ctx, in)
		return err
	}, func(v view) []string {
		_, ok := clusterNamed(v, name)
		return answers(when(ok, inUse))
	}) {
		l.facts[name] = &facts{mode: mode, logs: map[string]bool{}, cidrs: "0.0.0.0/0"}
	}
}

func (l *life) deleteCluster() {
	l.t.Helper()
	name := l.cluster()
	l.call("DeleteCluster "+name, func(ctx context.Context) error {
		_, err := l.daemon.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: &name})
		return err
	}, func(v view) []string { return l.forDelete(v, name) })
}

func (l *life) updateVersion() {
	l.t.Helper()
	name, force := l.cluster(), l.chance(2)
	to := pick(l, []string{"1.34", "1.35", "1.36", "1.40"})
	c, ok := clusterNamed(l.now(), name)
	if ok && !l.chance(4) && minor(c.version) < len(versions)-1 {
		to = versions[minor(c.version)+1]
	}
	if c.before != "" && l.chance(2) {
		to = c.before
	}
	l.call(fmt.Sprintf("UpdateClusterVersion %s %s force %v", name, to, force), func(ctx context.Context) error {
		_, err := l.daemon.eks.UpdateClusterVersion(ctx, &eks.UpdateClusterVersionInput{Name: &name, Version: &to, Force: force})
		return err
	}, func(v view) []string { return forVersion(v, name, to, force) })
}

// updateConfig changes one kind of setting, or two at once, which is one too many.
func (l *life) updateConfig() {
	l.t.Helper()
	name := l.cluster()
	f := l.facts[name]
	if f == nil {
		f = &facts{}
	}
	in := &eks.UpdateClusterConfigInput{Name: &name}
	bad := ""                // why the request itself is refused
	apply := func(*facts) {} // what it changes
	what := pick(l, []string{"protection", "logging", "endpoint", "authentication", "policy", "tier", "nothing", "two"})
	switch what {
	case "protection":
		on := l.chance(3)
		in.DeletionProtection = &on
		apply = func(f *facts) { f.protected = on }
	case "logging", "two":
		t, on := pick(l, logTypes), l.chance(2)
		in.Logging = &types.Logging{ClusterLogging: []types.LogSetup{{Types: []types.LogType{types.LogType(t)}, Enabled: &on}}}
		bad = when(f.logs[t] == on, invalidParameter)
		apply = func(f *facts) { f.logs[t] = on }
		if what == "two" {
			in.DeletionProtection, bad = aws.Bool(true), invalidParameter
		}
	case "endpoint":
		cidr := pick(l, []string{"0.0.0.0/0", "203.0.113.0/24"})
		in.ResourcesVpcConfig = &types.VpcConfigRequest{PublicAccessCidrs: []string{cidr}}
		bad = when(f.cidrs == cidr, invalidParameter)
		apply = func(f *facts) { f.cidrs = cidr }
	case "authentication":
		mode := pick(l, modes)
		in.AccessConfig = &types.UpdateAccessConfigRequest{AuthenticationMode: types.AuthenticationMode(mode)}
		bad = when(next(f.mode) != mode, invalidParameter)
		apply = func(f *facts) { f.mode = mode }
	case "policy":
		in.UpgradePolicy = &types.UpgradePolicyRequest{SupportType: types.SupportTypeExtended}
	case "tier":
		in.ControlPlaneScalingConfig = &types.ControlPlaneScalingConfig{Tier: pick(l, []types.ProvisionedControlPlaneTier{"standard", "tier-xl", "tier-2xl"})}
	case "nothing":
		bad = invalidParameter
	}
	if l.call("UpdateClusterConfig "+name+" "+what, func(ctx context.Context) error {
		_, err := l.daemon.eks.UpdateClusterConfig(ctx, in)
		return err
	}, func(v view) []string { return answers(forUpdate(v, name), bad) }) {
		apply(f)
	}
}

// cancelUpdate asks for what EKS does only with Auto Mode.
func (l *life) cancelUpdate() {
	l.t.Helper()
	name, id := l.cluster(), "00000000-0000-4000-8000-000000000000"
	if all := l.now().all("update", name); len(all) > 0 {
		id = pick(l, all).name
	}
	l.call("CancelUpdate "+name+" "+id, func(ctx context.Context) error {
		_, err := l.daemon.eks.CancelUpdate(ctx, &eks.CancelUpdateInput{Name: &name, UpdateId: &id})
		return err
	}, func(v view) []string {
		u, ok := v[id]
		return answers(when(!ok || forCluster(v, name) == notFound, notFound), when(u.status == "InProgress", invalidRequest), when(ok && u.status != "InProgress", invalidState))
	})
}

func (l *life) killMachine() {
	if !l.calm && l.host.kill() {
		l.note("a machine dies")
	}
}

// recall asks the API what it knows, after a daemon died during a request whose outcome
// nobody has heard.
func (l *life) recall() {
	l.t.Helper()
	for _, c := range l.now().all("cluster", "") {
		err := l.view(func(ctx context.Context) error {
			out, err := l.daemon.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &c.name})
			if err != nil {
				return err
			}
			f := &facts{
				mode: string(out.Cluster.AccessConfig.AuthenticationMode), logs: map[string]bool{}, protected: *out.Cluster.DeletionProtection,
				cidrs: out.Cluster.ResourcesVpcConfig.PublicAccessCidrs[0],
			}
			for _, s := range out.Cluster.Logging.ClusterLogging {
				for _, t := range s.Types {
					f.logs[string(t)] = *s.Enabled
				}
			}
			l.facts[c.name] = f
			return nil
		})
		if err != nil && l.facts[c.name] == nil { // it went meanwhile
			l.facts[c.name] = &facts{logs: map[string]bool{}}
		}
	}
}

// view sends a read.
func (l *life) view(read func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return read(ctx)
}

// read compares what the API shows of a cluster with what the records say.
func (l *life) read() {
	l.t.Helper()
	name := l.cluster()
	shown, listed := "", []string{}
	if !l.call("DescribeCluster "+name, func(ctx context.Context) error {
		out, err := l.daemon.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
		if err == nil {
			shown = string(out.Cluster.Status) + " " + *out.Cluster.Version
		}
		return err
	}, func(v view) []string { return answers(when(forCluster(v, name) == notFound, notFound)) }) {
		return
	}
	l.seen("DescribeCluster", shown, func(v view) string {
		c, _ := clusterNamed(v, name)
		return c.status + " " + c.version
	})
	if !l.call("ListUpdates "+name, func(ctx context.Context) error {
		out, err := l.daemon.eks.ListUpdates(ctx, &eks.ListUpdatesInput{Name: &name})
		if err == nil {
			listed = slices.Sorted(slices.Values(out.UpdateIds))
		}
		return err
	}, func(v view) []string { return answers(when(forCluster(v, name) == notFound, notFound)) }) {
		return
	}
	l.seen("ListUpdates", fmt.Sprint(listed), func(v view) string {
		ids := []string{}
		for _, id := range slices.Sorted(maps.Keys(v)) {
			if t := v[id]; t.kind == "update" && v[t.of].kind == "cluster" && t.cluster == name {
				ids = append(ids, id)
			}
		}
		return fmt.Sprint(ids)
	})
}

// seen ends the life if no view since the last call began is as the API has shown it.
func (l *life) seen(what, shown string, of func(view) string) {
	l.t.Helper()
	l.mu.Lock()
	views := slices.Clone(l.views)
	l.mu.Unlock()
	var were []string
	for _, v := range views {
		were = append(were, of(v))
	}
	if !slices.Contains(were, shown) {
		l.t.Fatalf("%s shows %s; it was %q", what, shown, were)
	}
}
