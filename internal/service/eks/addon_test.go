package eks_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	addonRole      = "arn:aws:iam::" + account + ":role/addon"
	coreDNSVersion = "v1.13.2-eksbuild.1"
)

func (w *world) createAddon(t *testing.T, change func(*sdk.CreateAddonInput)) (*types.Addon, error) {
	t.Helper()
	in := &sdk.CreateAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns")}
	if change != nil {
		change(in)
	}
	out, err := w.root.CreateAddon(t.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.Addon, nil
}

// became says of an add-on what its controller would.
func (w *world) became(t *testing.T, name, state string, change func(*resource.Addon)) {
	t.Helper()
	w.Update(t, func(tx *store.Tx) {
		for arn, a := range tx.Addons.All() {
			if a.Name != name {
				continue
			}
			a.Status.State, a.Status.AppliedRevision = state, a.Spec.Revision
			if state == resource.AddonActive {
				a.Status.Applied = a.Spec
			}
			if change != nil {
				change(&a)
			}
			tx.Addons.Put(arn, a)
		}
	})
}

// addonTrust makes a role that EKS Pod Identity may assume.
func (w *world) addonTrust(t *testing.T) {
	t.Helper()
	w.Update(t, func(tx *store.Tx) {
		tx.Roles.Put(addonRole, resource.Role{
			Account: account, ARN: addonRole, Name: "addon", ID: "AROAADDON",
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`,
		})
	})
}

func TestAddonLife(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	a, err := w.createAddon(t, func(in *sdk.CreateAddonInput) {
		in.ConfigurationValues = aws.String("replicaCount: 3\n")
		in.ServiceAccountRoleArn = aws.String(nodeRole)
		in.ClientRequestToken = aws.String("t1")
		in.Tags = map[string]string{"team": "a"}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.golden(t, "addon-create")
	again, err := w.createAddon(t, func(in *sdk.CreateAddonInput) {
		in.ConfigurationValues = aws.String("replicaCount: 3\n")
		in.ServiceAccountRoleArn = aws.String(nodeRole)
		in.ClientRequestToken = aws.String("t1")
		in.Tags = map[string]string{"team": "a"}
	})
	if err != nil || *again.AddonArn != *a.AddonArn {
		t.Fatalf("the same request again: %v, %v", again, err)
	}
	_, err = w.createAddon(t, nil)
	fails(t, err, "ResourceInUseException", "Addon already exists.")

	describe := &sdk.DescribeAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns")}
	change := &sdk.UpdateAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns"), ConfigurationValues: aws.String("{}"), ResolveConflicts: types.ResolveConflictsPreserve}
	_, err = w.root.UpdateAddon(t.Context(), change)
	fails(t, err, "ResourceInUseException", "Addon coredns cannot be updated as it is currently in CREATING state")

	w.became(t, "coredns", resource.AddonActive, nil)
	out, err := w.root.UpdateAddon(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	w.golden(t, "addon-update")
	got, err := w.root.DescribeAddon(t.Context(), describe)
	if err != nil || got.Addon.Status != types.AddonStatusUpdating || got.Addon.ServiceAccountRoleArn != nil {
		t.Fatalf("after an update without a role: %+v, %v", got.Addon, err)
	}
	ids, err := w.root.ListUpdates(t.Context(), &sdk.ListUpdatesInput{Name: aws.String("c1"), AddonName: aws.String("coredns")})
	if err != nil || !slices.Equal(ids.UpdateIds, []string{*out.Update.Id}) {
		t.Fatalf("updates: %v, %v", ids, err)
	}
	if _, err := w.root.DescribeUpdate(t.Context(), &sdk.DescribeUpdateInput{Name: aws.String("c1"), AddonName: aws.String("coredns"), UpdateId: out.Update.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.DescribeUpdate(t.Context(), &sdk.DescribeUpdateInput{Name: aws.String("c1"), UpdateId: out.Update.Id})
	fails(t, err, "ResourceNotFoundException", "No update found for ID: "+*out.Update.Id)

	// An update that was given up: what the cluster has is shown.
	w.became(t, "coredns", resource.AddonUpdateFailed, func(a *resource.Addon) {
		a.Status.Issues = []resource.Issue{{Code: "ConfigurationConflict", Message: "m"}}
	})
	got, err = w.root.DescribeAddon(t.Context(), describe)
	if err != nil || aws.ToString(got.Addon.ConfigurationValues) != "replicaCount: 3\n" || aws.ToString(got.Addon.ServiceAccountRoleArn) != nodeRole || got.Addon.Health.Issues[0].Code != "ConfigurationConflict" {
		t.Fatalf("after a failed update: %+v, %v", got.Addon, err)
	}
	if _, err := w.root.UpdateAddon(t.Context(), change); err != nil {
		t.Fatalf("an update after a failed one: %v", err)
	}
	w.became(t, "coredns", resource.AddonActive, nil)
	out, err = w.root.UpdateAddon(t.Context(), &sdk.UpdateAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns"), AddonVersion: aws.String("v1.13.2-eksbuild.2")})
	if err != nil || len(out.Update.Params) != 1 || out.Update.Params[0].Type != types.UpdateParamTypeAddonVersion || *out.Update.Params[0].Value != "v1.13.2-eksbuild.2" {
		t.Fatalf("an update to another version: %+v, %v", out, err)
	}
	got, err = w.root.DescribeAddon(t.Context(), describe)
	if err != nil || *got.Addon.AddonVersion != "v1.13.2-eksbuild.2" || aws.ToString(got.Addon.ConfigurationValues) != "{}" {
		t.Fatalf("at another version: %+v, %v", got.Addon, err)
	}

	if _, err := w.root.TagResource(t.Context(), &sdk.TagResourceInput{ResourceArn: a.AddonArn, Tags: map[string]string{"x": "y"}}); err != nil {
		t.Fatal(err)
	}
	list, err := w.root.ListAddons(t.Context(), &sdk.ListAddonsInput{ClusterName: aws.String("c1")})
	if err != nil || !slices.Equal(list.Addons, []string{"coredns"}) {
		t.Fatalf("add-ons: %v, %v", list, err)
	}
	remove := &sdk.DeleteAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns"), Preserve: true}
	gone, err := w.root.DeleteAddon(t.Context(), remove)
	if err != nil || gone.Addon.Status != types.AddonStatusDeleting || gone.Addon.Tags["x"] != "y" {
		t.Fatalf("deleting: %+v, %v", gone, err)
	}
	_, err = w.root.DeleteAddon(t.Context(), remove)
	fails(t, err, "ResourceInUseException", "Addon coredns cannot be deleted as it is currently in DELETING state")
	_, err = w.createAddon(t, nil)
	fails(t, err, "ResourceInUseException", "Addon already exists.")
}

func TestAddonRefusals(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	before := w.records(t)
	for _, f := range []struct {
		code, message string
		change        func(*sdk.CreateAddonInput)
	}{
		{"InvalidParameterException", "Addon nothing specified is not supported in 1.35 kubernetes version", func(in *sdk.CreateAddonInput) { in.AddonName = aws.String("nothing") }},
		{"InvalidParameterException", "Addon version specified is not supported", func(in *sdk.CreateAddonInput) { in.AddonVersion = aws.String("v0.0.1-eksbuild.1") }},
		{"InvalidParameterException", "Addon kube-proxy specified is not supported in 1.35 kubernetes version", func(in *sdk.CreateAddonInput) {
			in.AddonName, in.AddonVersion = aws.String("kube-proxy"), aws.String("v1.36.3-eksbuild.1")
		}},
		{"InvalidParameterException", "The ConfigurationValues provided is not in valid YAML or JSON format.", func(in *sdk.CreateAddonInput) { in.ConfigurationValues = aws.String("{") }},
		{"InvalidParameterException", "ConfigurationValue provided in request is not supported: Json schema validation failed with error: [$.nodes: is not defined in the schema and the schema does not allow additional properties]", func(in *sdk.CreateAddonInput) {
			in.ConfigurationValues = aws.String(`{"nodes": 1}`)
		}},
		{"InvalidParameterException", "Provided namespace value is not a valid RFC 1123 DNS label", func(in *sdk.CreateAddonInput) {
			in.NamespaceConfig = &types.AddonNamespaceConfigRequest{Namespace: aws.String("Not_A_Label")}
		}},
		{"InvalidParameterException", "Addon coredns can be installed in namespace kube-system only", func(in *sdk.CreateAddonInput) {
			in.NamespaceConfig = &types.AddonNamespaceConfigRequest{Namespace: aws.String("mine")}
		}},
		{"AccessDeniedException", "Cross-account pass role is not allowed.", func(in *sdk.CreateAddonInput) {
			in.ServiceAccountRoleArn = aws.String("arn:aws:iam::" + otherAccount + ":role/r")
		}},
		{"InvalidParameterException", "Role with arn: arn:aws:iam::" + account + ":role/none, could not be assumed because it does not exist or the trusted entity is not correct", func(in *sdk.CreateAddonInput) {
			in.ServiceAccountRoleArn = aws.String("arn:aws:iam::" + account + ":role/none")
		}},
		{"InvalidParameterException", "Service account mine is not supported by addon coredns", func(in *sdk.CreateAddonInput) {
			in.PodIdentityAssociations = []types.AddonPodIdentityAssociations{{ServiceAccount: aws.String("mine"), RoleArn: aws.String(addonRole)}}
		}},
		{"ResourceNotFoundException", "No cluster found for name: c2.", func(in *sdk.CreateAddonInput) { in.ClusterName = aws.String("c2") }},
	} {
		_, err := w.createAddon(t, f.change)
		fails(t, err, f.code, f.message)
	}
	if after := w.records(t); after != before {
		t.Errorf("refused calls left something behind:\nbefore %s\nafter  %s", before, after)
	}
	_, err := w.root.DescribeAddon(t.Context(), &sdk.DescribeAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("coredns")})
	fails(t, err, "ResourceNotFoundException", "No addon: coredns found in cluster: c1")
}

// An add-on's associations are its own: replaced as a whole, and gone with it unless preserved.
func TestAddonPodIdentityAssociations(t *testing.T) {
	w := newWorld(t)
	w.addonTrust(t)
	w.active(t, "c1")
	a, err := w.createAddon(t, func(in *sdk.CreateAddonInput) {
		in.AddonName = aws.String("vpc-cni")
		in.PodIdentityAssociations = []types.AddonPodIdentityAssociations{{ServiceAccount: aws.String("aws-node"), RoleArn: aws.String(addonRole)}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.PodIdentityAssociations) != 1 {
		t.Fatalf("associations %v", a.PodIdentityAssociations)
	}
	id := a.PodIdentityAssociations[0][strings.LastIndexByte(a.PodIdentityAssociations[0], '/')+1:]
	got, err := w.root.DescribePodIdentityAssociation(t.Context(), &sdk.DescribePodIdentityAssociationInput{ClusterName: aws.String("c1"), AssociationId: aws.String(id)})
	if err != nil || aws.ToString(got.Association.OwnerArn) != *a.AddonArn || *got.Association.Namespace != "kube-system" {
		t.Fatalf("association %+v, %v", got, err)
	}
	w.became(t, "vpc-cni", resource.AddonActive, nil)
	update := func(p []types.AddonPodIdentityAssociations) int {
		t.Helper()
		if _, err := w.root.UpdateAddon(t.Context(), &sdk.UpdateAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("vpc-cni"), PodIdentityAssociations: p}); err != nil {
			t.Fatal(err)
		}
		w.became(t, "vpc-cni", resource.AddonActive, nil)
		out, err := w.root.DescribeAddon(t.Context(), &sdk.DescribeAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("vpc-cni")})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Addon.PodIdentityAssociations)
	}
	if n := update(nil); n != 1 {
		t.Errorf("an update that says nothing of associations leaves %d", n)
	}
	if n := update([]types.AddonPodIdentityAssociations{}); n != 0 {
		t.Errorf("an update with none leaves %d", n)
	}
}

func TestDescribeAddonVersions(t *testing.T) {
	w := newWorld(t)
	names := func(in *sdk.DescribeAddonVersionsInput) []string {
		t.Helper()
		out, err := w.root.DescribeAddonVersions(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		all := []string{}
		for _, a := range out.Addons {
			for _, v := range a.AddonVersions {
				all = append(all, *a.AddonName+" "+*v.AddonVersion)
			}
		}
		return all
	}
	for _, f := range []struct {
		what string
		in   sdk.DescribeAddonVersionsInput
		want []string
	}{
		{"of one Kubernetes", sdk.DescribeAddonVersionsInput{AddonName: aws.String("kube-proxy"), KubernetesVersion: aws.String("1.35")}, []string{"kube-proxy v1.35.4-eksbuild.1", "kube-proxy v1.34.4-eksbuild.1"}},
		{"of another", sdk.DescribeAddonVersionsInput{AddonName: aws.String("kube-proxy"), KubernetesVersion: aws.String("1.34")}, []string{"kube-proxy v1.34.4-eksbuild.1"}},
		{"by owner", sdk.DescribeAddonVersionsInput{Owners: []string{"community"}}, []string{"metrics-server v0.9.0-eksbuild.2", "metrics-server v0.9.0-eksbuild.1"}},
		{"by type", sdk.DescribeAddonVersionsInput{Types: []string{"observability"}}, []string{"metrics-server v0.9.0-eksbuild.2", "metrics-server v0.9.0-eksbuild.1"}},
		{"by publisher", sdk.DescribeAddonVersionsInput{Publishers: []string{"somebody"}}, []string{}},
		{"that is not there", sdk.DescribeAddonVersionsInput{AddonName: aws.String("nothing")}, []string{}},
		{"of a Kubernetes that is not there", sdk.DescribeAddonVersionsInput{KubernetesVersion: aws.String("1.20")}, []string{}},
	} {
		if got := names(&f.in); !slices.Equal(got, f.want) {
			t.Errorf("%s: %v, want %v", f.what, got, f.want)
		}
	}
	// Pages, and one default a Kubernetes version.
	p := sdk.NewDescribeAddonVersionsPaginator(w.root, &sdk.DescribeAddonVersionsInput{MaxResults: aws.Int32(1)})
	pages, defaults := 0, map[string]int{}
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, a := range out.Addons {
			for _, v := range a.AddonVersions {
				for _, c := range v.Compatibilities {
					if c.DefaultVersion {
						defaults[*a.AddonName+" "+*c.ClusterVersion]++
					}
				}
			}
		}
	}
	if pages != len(names(&sdk.DescribeAddonVersionsInput{}))-4 { // kube-proxy has three versions, coredns and metrics-server two
		t.Errorf("%d pages of one", pages)
	}
	for what, n := range defaults {
		if n != 1 {
			t.Errorf("%s has %d defaults", what, n)
		}
	}
}

func TestDescribeAddonConfiguration(t *testing.T) {
	w := newWorld(t)
	out, err := w.root.DescribeAddonConfiguration(t.Context(), &sdk.DescribeAddonConfigurationInput{AddonName: aws.String("vpc-cni"), AddonVersion: aws.String("v1.23.1-eksbuild.1")})
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(*out.ConfigurationSchema), &schema); err != nil || schema["type"] != "object" {
		t.Errorf("schema %s: %v", *out.ConfigurationSchema, err)
	}
	if p := out.PodIdentityConfiguration; len(p) != 1 || *p[0].ServiceAccount != "aws-node" || p[0].RecommendedManagedPolicies[0] != managed+"AmazonEKS_CNI_Policy" {
		t.Errorf("pod identity configuration %+v", p)
	}
	_, err = w.root.DescribeAddonConfiguration(t.Context(), &sdk.DescribeAddonConfigurationInput{AddonName: aws.String("coredns"), AddonVersion: aws.String("v1-eksbuild.1")})
	fails(t, err, "ResourceNotFoundException", "Addon version specified is not supported")
	if _, err := w.root.DescribeAddonConfiguration(t.Context(), &sdk.DescribeAddonConfigurationInput{AddonName: aws.String("coredns"), AddonVersion: aws.String(coreDNSVersion)}); err != nil {
		t.Error(err)
	}
}

// A cluster whose upgrade has failed runs what it ran: that decides which add-ons fit it.
func TestAddonsAfterAFailedUpgrade(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c1", at("1.34"))
	if _, err := w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c1"), Version: aws.String("1.35"), Force: true}); err != nil {
		t.Fatal(err)
	}
	kubeProxy := func(version *string) func(*sdk.CreateAddonInput) {
		return func(in *sdk.CreateAddonInput) { in.AddonName, in.AddonVersion = aws.String("kube-proxy"), version }
	}
	newer := aws.String("v1.35.4-eksbuild.1")
	for range 2 { // during the upgrade, and after it has failed
		_, err := w.createAddon(t, kubeProxy(newer))
		fails(t, err, "InvalidParameterException", "Addon kube-proxy specified is not supported in 1.34 kubernetes version")
		w.changeCluster(t, c.ARN, func(c *resource.Cluster) {
			c.Status.AppliedRevision, c.Status.FailedRevision = c.Spec.Revision, c.Spec.Revision
		})
	}
	a, err := w.createAddon(t, kubeProxy(nil))
	if err != nil || *a.AddonVersion != "v1.34.4-eksbuild.1" {
		t.Fatalf("the default after a failed upgrade from 1.34: %+v, %v", a, err)
	}
	w.became(t, "kube-proxy", resource.AddonActive, nil)
	_, err = w.root.UpdateAddon(t.Context(), &sdk.UpdateAddonInput{ClusterName: aws.String("c1"), AddonName: aws.String("kube-proxy"), AddonVersion: newer})
	fails(t, err, "InvalidParameterException", "Addon kube-proxy specified is not supported in 1.34 kubernetes version")
}
