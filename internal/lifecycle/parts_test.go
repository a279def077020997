package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/addon"
)

func (l *life) createNodegroup() {
	l.t.Helper()
	cluster, name := l.part("nodegroup", true)
	least, most := int32(l.rnd.IntN(2)), int32(1+l.rnd.IntN(3))
	desired := least + int32(l.rnd.IntN(3))
	in := &eks.CreateNodegroupInput{
		ClusterName: &cluster, NodegroupName: &name, NodeRole: aws.String(nodeRole), Subnets: l.subnets,
		ScalingConfig: &types.NodegroupScalingConfig{MinSize: &least, MaxSize: &most, DesiredSize: &desired},
		CapacityType:  pick(l, []types.CapacityTypes{types.CapacityTypesOnDemand, types.CapacityTypesOnDemand, types.CapacityTypesSpot}),
	}
	l.call(fmt.Sprintf("CreateNodegroup %s/%s %s %d %d %d", cluster, name, in.CapacityType, least, desired, most), func(ctx context.Context) error {
		_, err := l.daemon.eks.CreateNodegroup(ctx, in)
		return err
	}, func(v view) []string {
		_, _, taken := v.of("nodegroup", cluster, name)
		return answers(forCluster(v, cluster, "ACTIVE"), when(taken, inUse), when(least > desired || desired > most, invalidParameter))
	})
}

func (l *life) updateNodegroupConfig() {
	l.t.Helper()
	cluster, name := l.part("nodegroup", false)
	in := &eks.UpdateNodegroupConfigInput{ClusterName: &cluster, NodegroupName: &name}
	what, bad := pick(l, []string{"sizes", "sizes", "labels", "taints", "strategy", "repair", "nothing"}), ""
	switch what {
	case "sizes":
		least, most := int32(l.rnd.IntN(2)), int32(1+l.rnd.IntN(3))
		desired := int32(l.rnd.IntN(4))
		in.ScalingConfig = &types.NodegroupScalingConfig{MinSize: &least, MaxSize: &most, DesiredSize: &desired}
		bad = when(least > desired || desired > most, invalidParameter)
		what = fmt.Sprintf("sizes %d %d %d", least, desired, most)
	case "labels":
		in.Labels = &types.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"l": fmt.Sprint(l.rnd.IntN(9))}}
	case "taints":
		t := []types.Taint{{Key: aws.String("t"), Value: aws.String(fmt.Sprint(l.rnd.IntN(9))), Effect: types.TaintEffectNoSchedule}}
		in.Taints = &types.UpdateTaintsPayload{AddOrUpdateTaints: t}
		if l.chance(2) {
			in.Taints = &types.UpdateTaintsPayload{RemoveTaints: t}
		}
	case "repair":
		in.NodeRepairConfig = &types.NodeRepairConfig{Enabled: aws.Bool(l.chance(2))}
	case "strategy":
		in.UpdateConfig = &types.NodegroupUpdateConfig{MaxUnavailable: aws.Int32(int32(1 + l.rnd.IntN(2))), UpdateStrategy: pick(l, types.NodegroupUpdateStrategies("").Values())}
	case "nothing":
		bad = invalidParameter
	}
	l.call("UpdateNodegroupConfig "+cluster+"/"+name+" "+what, func(ctx context.Context) error {
		_, err := l.daemon.eks.UpdateNodegroupConfig(ctx, in)
		return err
	}, func(v view) []string { return answers(forNodegroup(v, cluster, name), bad) })
}

func (l *life) updateNodegroupVersion() {
	l.t.Helper()
	cluster, name := l.part("nodegroup", false)
	force := l.chance(2)
	to := pick(l, []string{"", "1.34", "1.35", "1.36"})
	if c, ok := clusterNamed(l.now(), cluster); ok && l.chance(2) {
		to = c.version
	}
	in := &eks.UpdateNodegroupVersionInput{ClusterName: &cluster, NodegroupName: &name, Force: force}
	if to != "" {
		in.Version = &to
	}
	l.call(fmt.Sprintf("UpdateNodegroupVersion %s/%s %q force %v", cluster, name, to, force), func(ctx context.Context) error {
		_, err := l.daemon.eks.UpdateNodegroupVersion(ctx, in)
		return err
	}, func(v view) []string { return forRoll(v, cluster, name, to) })
}

func (l *life) deleteNodegroup() {
	l.t.Helper()
	l.dropNodegroup(l.part("nodegroup", false))
}

func (l *life) dropNodegroup(cluster, name string) {
	l.t.Helper()
	l.call("DeleteNodegroup "+cluster+"/"+name, func(ctx context.Context) error {
		_, err := l.daemon.eks.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
		return err
	}, func(v view) []string {
		_, n, ok := v.of("nodegroup", cluster, name)
		return answers(when(!ok, notFound), when(n.status == "DELETING", inUse))
	})
}

func (l *life) createAddon() {
	l.t.Helper()
	cluster, name := l.part("addon", true)
	in := &eks.CreateAddonInput{ClusterName: &cluster, AddonName: &name}
	bad := ""
	if l.chance(3) {
		in.ResolveConflicts = types.ResolveConflictsOverwrite
	}
	if l.chance(6) {
		in.AddonVersion, bad = aws.String("v0.0.1-eksbuild.1"), invalidParameter
	}
	version := ""
	if !l.call("CreateAddon "+cluster+"/"+name, func(ctx context.Context) error {
		out, err := l.daemon.eks.CreateAddon(ctx, in)
		if err == nil {
			version = *out.Addon.AddonVersion
		}
		return err
	}, func(v view) []string {
		_, _, taken := v.of("addon", cluster, name)
		return answers(forCluster(v, cluster, "ACTIVE", "UPDATING"), when(taken, inUse), bad)
	}) {
		return
	}
	// It is the default of the version that the cluster runs, and not of one that has not come up.
	l.seen("CreateAddon "+name, version, func(v view) string {
		c, _ := clusterNamed(v, cluster)
		d, _ := l.entry(name).DefaultVersion(c.version)
		return d.Version
	})
}

// entry is what the catalogue says of an add-on.
func (l *life) entry(name string) *addon.Addon {
	l.t.Helper()
	all, err := catalogue()
	if err != nil {
		l.t.Fatal(err)
	}
	a, ok := all.Find(name)
	if !ok {
		l.t.Fatalf("the catalogue has no %s", name)
	}
	return a
}

func (l *life) updateAddon() {
	l.t.Helper()
	cluster, name := l.part("addon", false)
	in := &eks.UpdateAddonInput{ClusterName: &cluster, AddonName: &name, ResolveConflicts: pick(l, types.ResolveConflicts("").Values())}
	bad := ""
	if l.chance(6) {
		in.ConfigurationValues, bad = aws.String("no: [json"), invalidParameter
	}
	version := addon.Version{}
	if l.chance(2) {
		version = pick(l, l.entry(name).Versions)
		in.AddonVersion = &version.Version
	}
	l.call("UpdateAddon "+cluster+"/"+name+" "+string(in.ResolveConflicts)+" "+version.Version, func(ctx context.Context) error {
		_, err := l.daemon.eks.UpdateAddon(ctx, in)
		return err
	}, func(v view) []string {
		c, _ := clusterNamed(v, cluster)
		return with(with(forAddon(v, cluster, name), bad), when(in.AddonVersion != nil && !version.RunsOn(c.version), invalidParameter))
	})
}

// with adds a reason to what EKS answers.
func with(out []string, reason string) []string {
	if reason == "" {
		return out
	}
	return append(slices.DeleteFunc(slices.Clone(out), func(s string) bool { return s == accepted }), reason)
}

func (l *life) deleteAddon() {
	l.t.Helper()
	cluster, name := l.part("addon", false)
	preserve := l.chance(2)
	l.call(fmt.Sprintf("DeleteAddon %s/%s preserve %v", cluster, name, preserve), func(ctx context.Context) error {
		_, err := l.daemon.eks.DeleteAddon(ctx, &eks.DeleteAddonInput{ClusterName: &cluster, AddonName: &name, Preserve: preserve})
		return err
	}, func(v view) []string {
		_, a, ok := v.of("addon", cluster, name)
		return answers(when(!ok, notFound), when(a.status == "DELETING", inUse))
	})
}

// people lets people in, or out again.
func (l *life) people() {
	l.t.Helper()
	cluster, principal := l.cluster(), aws.String(peopleRole)
	f := l.facts[cluster]
	mode := when(f != nil && f.mode == "CONFIG_MAP", invalidRequest)
	there := func(v view) bool { _, _, ok := v.of("access entry", cluster, peopleRole); return ok }
	absent := func(v view) string { return when(forCluster(v, cluster) == notFound, notFound) }
	switch l.rnd.IntN(3) {
	case 0:
		l.call("CreateAccessEntry "+cluster, func(ctx context.Context) error {
			_, err := l.daemon.eks.CreateAccessEntry(ctx, &eks.CreateAccessEntryInput{ClusterName: &cluster, PrincipalArn: principal})
			return err
		}, func(v view) []string {
			return answers(forCluster(v, cluster, "ACTIVE", "UPDATING"), mode, when(there(v), inUse))
		})
	case 1:
		l.call("UpdateAccessEntry "+cluster, func(ctx context.Context) error {
			_, err := l.daemon.eks.UpdateAccessEntry(ctx, &eks.UpdateAccessEntryInput{ClusterName: &cluster, PrincipalArn: principal, KubernetesGroups: []string{"people"}})
			return err
		}, func(v view) []string { return answers(absent(v), mode, when(!there(v), notFound)) })
	case 2:
		l.call("DeleteAccessEntry "+cluster, func(ctx context.Context) error {
			_, err := l.daemon.eks.DeleteAccessEntry(ctx, &eks.DeleteAccessEntryInput{ClusterName: &cluster, PrincipalArn: principal})
			return err
		}, func(v view) []string { return answers(absent(v), mode, when(!there(v), notFound)) })
	}
}

// tag tags something that is there, or was.
func (l *life) tag() {
	l.t.Helper()
	name := l.cluster()
	arn := "arn:aws:eks:" + home.Region + ":" + home.Account + ":cluster/" + name
	if key, _, ok := l.now().of("nodegroup", name, l.name("nodegroup", name, false)); ok && l.chance(2) {
		arn = key
	} else if key, _, ok := l.now().of("addon", name, l.name("addon", name, false)); ok && l.chance(2) {
		arn = key
	}
	there := func(v view) []string { _, ok := v[arn]; return answers(when(!ok, noTarget)) }
	l.call("TagResource "+arn, func(ctx context.Context) error {
		_, err := l.daemon.eks.TagResource(ctx, &eks.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"k": "v"}})
		return err
	}, there)
	l.call("UntagResource "+arn, func(ctx context.Context) error {
		_, err := l.daemon.eks.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"k"}})
		return err
	}, there)
}

// provider associates an issuer of people's tokens, or takes it away.
func (l *life) provider() {
	l.t.Helper()
	cluster, name := l.cluster(), "people"
	if l.chance(2) {
		l.call("AssociateIdentityProviderConfig "+cluster, func(ctx context.Context) error {
			_, err := l.daemon.eks.AssociateIdentityProviderConfig(ctx, &eks.AssociateIdentityProviderConfigInput{
				ClusterName: &cluster, Oidc: &types.OidcIdentityProviderConfigRequest{IdentityProviderConfigName: &name, ClientId: aws.String("id"), IssuerUrl: aws.String("https://issuer.test")},
			})
			return err
		}, func(v view) []string {
			_, _, taken := v.of("identity provider", cluster, name)
			return answers(forUpdate(v, cluster), when(taken, inUse))
		})
		return
	}
	l.call("DisassociateIdentityProviderConfig "+cluster, func(ctx context.Context) error {
		_, err := l.daemon.eks.DisassociateIdentityProviderConfig(ctx, &eks.DisassociateIdentityProviderConfigInput{
			ClusterName: &cluster, IdentityProviderConfig: &types.IdentityProviderConfig{Type: aws.String("oidc"), Name: &name},
		})
		return err
	}, func(v view) []string {
		_, p, ok := v.of("identity provider", cluster, name)
		return answers(when(!ok, notFound), when(ok && p.status != "ACTIVE", inUse), forUpdate(v, cluster))
	})
}
