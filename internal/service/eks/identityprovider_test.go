package eks_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func provider(cluster string, change ...func(*types.OidcIdentityProviderConfigRequest)) *sdk.AssociateIdentityProviderConfigInput {
	o := &types.OidcIdentityProviderConfigRequest{
		IdentityProviderConfigName: aws.String("people"), IssuerUrl: aws.String("https://issuer.example.com"), ClientId: aws.String("kubernetes"),
	}
	for _, f := range change {
		f(o)
	}
	return &sdk.AssociateIdentityProviderConfigInput{ClusterName: &cluster, Oidc: o, Tags: map[string]string{"k": "v"}}
}

func TestIdentityProviderLife(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	id := &types.IdentityProviderConfig{Type: aws.String("oidc"), Name: aws.String("people")}
	out, err := w.root.AssociateIdentityProviderConfig(t.Context(), provider("c1"))
	if err != nil {
		t.Fatal(err)
	}
	if out.Update.Type != "AssociateIdentityProviderConfig" || out.Update.Status != types.UpdateStatusInProgress ||
		*out.Update.Params[0].Value != `[{"name":"people","type":"oidc"}]` || out.Tags["k"] != "v" {
		t.Errorf("update %+v", out.Update)
	}
	_, err = w.root.AssociateIdentityProviderConfig(t.Context(), provider("c1"))
	fails(t, err, "ResourceInUseException", "Identity provider config is already associated with the cluster: people")
	_, err = w.root.DisassociateIdentityProviderConfig(t.Context(), &sdk.DisassociateIdentityProviderConfigInput{ClusterName: aws.String("c1"), IdentityProviderConfig: id})
	fails(t, err, "ResourceInUseException", "Identity provider config people is in status CREATING")
	w.Update(t, func(tx *store.Tx) { // as its controller does
		for key := range tx.IdentityProviders.All() {
			p, _ := tx.IdentityProviders.Get(key)
			p.State = resource.ProviderActive
			tx.IdentityProviders.Put(key, p)
		}
		u, _ := tx.Updates.Get(*out.Update.Id)
		u.State = resource.UpdateSuccessful
		tx.Updates.Put(u.ID, u)
	})
	d, err := w.root.DescribeIdentityProviderConfig(t.Context(), &sdk.DescribeIdentityProviderConfigInput{ClusterName: aws.String("c1"), IdentityProviderConfig: id})
	if err != nil {
		t.Fatal(err)
	}
	o := d.IdentityProviderConfig.Oidc
	if o.Status != "ACTIVE" || *o.UsernameClaim != "sub" || o.UsernamePrefix != nil || o.Tags["k"] != "v" ||
		!strings.HasPrefix(*o.IdentityProviderConfigArn, "arn:aws:eks:us-west-2:"+account+":identityproviderconfig/c1/oidc/people/") {
		t.Errorf("described %+v", o)
	}
	list, err := w.root.ListIdentityProviderConfigs(t.Context(), &sdk.ListIdentityProviderConfigsInput{ClusterName: aws.String("c1")})
	if err != nil || len(list.IdentityProviderConfigs) != 1 || *list.IdentityProviderConfigs[0].Name != "people" {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := w.root.DisassociateIdentityProviderConfig(t.Context(), &sdk.DisassociateIdentityProviderConfigInput{ClusterName: aws.String("c1"), IdentityProviderConfig: id}); err != nil {
		t.Fatal(err)
	}
	d, err = w.root.DescribeIdentityProviderConfig(t.Context(), &sdk.DescribeIdentityProviderConfigInput{ClusterName: aws.String("c1"), IdentityProviderConfig: id})
	if err != nil || d.IdentityProviderConfig.Oidc.Status != "DELETING" {
		t.Errorf("described %+v, %v", d, err)
	}
}

func TestIdentityProviderRefusals(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c1")
	const invalid = "InvalidParameterException"
	for message, change := range map[string]func(*types.OidcIdentityProviderConfigRequest){
		"IssuerURL must use https:// scheme.":                                 func(o *types.OidcIdentityProviderConfigRequest) { o.IssuerUrl = aws.String("http://x") },
		"The prefix system: is reserved for Kubernetes system use":            func(o *types.OidcIdentityProviderConfigRequest) { o.GroupsPrefix = aws.String("system:x") },
		"The issuer of the cluster itself cannot be associated with it.":      func(o *types.OidcIdentityProviderConfigRequest) { o.IssuerUrl = &c.Status.Issuer },
		"identityProviderConfigName and clientId must not be empty":           func(o *types.OidcIdentityProviderConfigRequest) { o.ClientId = aws.String("") },
		"IssuerURL must not contain a query, a fragment or user information.": func(o *types.OidcIdentityProviderConfigRequest) { o.IssuerUrl = aws.String("https://x/?a") },
	} {
		_, err := w.root.AssociateIdentityProviderConfig(t.Context(), provider("c1", change))
		fails(t, err, invalid, message)
	}
	_, err := w.root.AssociateIdentityProviderConfig(t.Context(), provider("none"))
	fails(t, err, "ResourceNotFoundException", "No cluster found for name: none.")
	_, err = w.root.DescribeIdentityProviderConfig(t.Context(), &sdk.DescribeIdentityProviderConfigInput{
		ClusterName: aws.String("c1"), IdentityProviderConfig: &types.IdentityProviderConfig{Type: aws.String("oidc"), Name: aws.String("none")},
	})
	fails(t, err, "ResourceNotFoundException", "Identity provider config not found: none")
}

// One update at a time, whatever it is about; and no node group joins a cluster meanwhile.
func TestUpdatesExcludeEachOther(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	const inUse = "ResourceInUseException"
	if _, err := w.root.AssociateIdentityProviderConfig(t.Context(), provider("c1")); err != nil {
		t.Fatal(err)
	}
	protect := &sdk.UpdateClusterConfigInput{Name: aws.String("c1"), DeletionProtection: aws.Bool(true)}
	_, err := w.root.UpdateClusterConfig(t.Context(), protect)
	fails(t, err, inUse, "Cannot DeletionProtectionUpdate because cluster c1 currently has an update in progress")
	_, err = w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c1"), Version: aws.String("1.36")})
	fails(t, err, inUse, "Cannot VersionUpdate because cluster c1 currently has an update in progress")
	_, err = w.root.DeleteCluster(t.Context(), &sdk.DeleteClusterInput{Name: aws.String("c1")})
	fails(t, err, inUse, "Cannot delete because cluster c1 currently has an update in progress")

	w.active(t, "c2")
	protect.Name = aws.String("c2")
	if _, err := w.root.UpdateClusterConfig(t.Context(), protect); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.AssociateIdentityProviderConfig(t.Context(), provider("c2"))
	fails(t, err, inUse, "Cannot AssociateIdentityProviderConfig because cluster c2 currently has an update in progress")
	_, err = w.root.CreateNodegroup(t.Context(), w.nodegroup("c2", "ng"))
	fails(t, err, "InvalidRequestException", "Cluster 'c2' is not in ACTIVE status")
}
