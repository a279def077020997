package eks

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	providerType       = "oidc" // the only one
	associateProvider  = "AssociateIdentityProviderConfig"
	disassociateUpdate = "DisassociateIdentityProviderConfig"
)

// AssociateIdentityProviderConfig lets people in by the tokens of an OIDC issuer, of which
// a cluster has one at most. Package controller/cluster tells the API server.
func (s *Service) AssociateIdentityProviderConfig(ctx context.Context, call awsapi.Call, in *eks.AssociateIdentityProviderConfigInput) (*eks.AssociateIdentityProviderConfigOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.AssociateIdentityProviderConfigOutput, error) {
		c, err := findActiveCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		want, err := newIdentityProvider(call, c, in)
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		for prior := range tx.IdentityProviders.Values(func(p resource.IdentityProvider) bool { return p.Cluster == c.ARN }) {
			u, ok := tx.Updates.Get(prior.Update)
			if want.Token == "" || prior.Token != want.Token || !ok || u.Type != associateProvider {
				return nil, sub.inUse("Identity provider config is already associated with the cluster: %s", prior.Name)
			}
			if prior.Fingerprint != want.Fingerprint {
				return nil, sub.tokenReused()
			}
			return &eks.AssociateIdentityProviderConfigOutput{Update: describeUpdate(u), Tags: tagsOf(prior.Tags)}, nil
		}
		if err := checkIdle(tx, c, associateProvider); err != nil {
			return nil, err
		}
		u := providerUpdate(call, c, want, associateProvider)
		want.Update = u.ID
		tx.IdentityProviders.Put(want.ARN, want)
		tx.Updates.Put(u.ID, u)
		return &eks.AssociateIdentityProviderConfigOutput{Update: describeUpdate(u), Tags: tagsOf(want.Tags)}, nil
	})
}

// DisassociateIdentityProviderConfig shuts those people out again.
func (s *Service) DisassociateIdentityProviderConfig(ctx context.Context, call awsapi.Call, in *eks.DisassociateIdentityProviderConfigInput) (*eks.DisassociateIdentityProviderConfigOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.DisassociateIdentityProviderConfigOutput, error) {
		c, p, err := findProvider(tx, call, in.ClusterName, in.IdentityProviderConfig)
		if err != nil {
			return nil, err
		}
		if u, ok := tx.Updates.Get(p.Update); ok && p.Deleting && u.Token != "" && u.Token == deref(in.ClientRequestToken) {
			return &eks.DisassociateIdentityProviderConfigOutput{Update: describeUpdate(u)}, nil
		}
		if p.Current() != resource.ProviderActive {
			return nil, subject{cluster: c.Name}.inUse("Identity provider config %s is in status %s", p.Name, p.Current())
		}
		if err := checkIdle(tx, c, disassociateUpdate); err != nil {
			return nil, err
		}
		u := providerUpdate(call, c, p, disassociateUpdate)
		u.Token = deref(in.ClientRequestToken)
		p.Deleting, p.Update = true, u.ID
		tx.IdentityProviders.Put(p.ARN, p)
		tx.Updates.Put(u.ID, u)
		return &eks.DisassociateIdentityProviderConfigOutput{Update: describeUpdate(u)}, nil
	})
}

// DescribeIdentityProviderConfig describes a cluster's issuer.
func (s *Service) DescribeIdentityProviderConfig(_ context.Context, call awsapi.Call, in *eks.DescribeIdentityProviderConfigInput) (*eks.DescribeIdentityProviderConfigOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeIdentityProviderConfigOutput, error) {
		c, p, err := findProvider(tx, call, in.ClusterName, in.IdentityProviderConfig)
		if err != nil {
			return nil, err
		}
		return &eks.DescribeIdentityProviderConfigOutput{IdentityProviderConfig: &eks.IdentityProviderConfigResponse{Oidc: describeProvider(c, p)}}, nil
	})
}

// ListIdentityProviderConfigs lists a cluster's issuer.
func (s *Service) ListIdentityProviderConfigs(_ context.Context, call awsapi.Call, in *eks.ListIdentityProviderConfigsInput) (*eks.ListIdentityProviderConfigsOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListIdentityProviderConfigsOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		var names []string
		for p := range tx.IdentityProviders.Values(func(p resource.IdentityProvider) bool { return p.Cluster == c.ARN }) {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		names, next, err := page(names, in.NextToken, in.MaxResults)
		if err != nil {
			return nil, err
		}
		out := &eks.ListIdentityProviderConfigsOutput{IdentityProviderConfigs: []eks.IdentityProviderConfig{}, NextToken: next}
		for _, n := range names {
			out.IdentityProviderConfigs = append(out.IdentityProviderConfigs, eks.IdentityProviderConfig{Type: new(providerType), Name: new(n)})
		}
		return out, nil
	})
}

func findProvider(tx *store.Tx, call awsapi.Call, cluster *string, id *eks.IdentityProviderConfig) (resource.Cluster, resource.IdentityProvider, error) {
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return c, resource.IdentityProvider{}, err
	}
	sub := subject{cluster: c.Name}
	if deref(id.Type) != providerType {
		return c, resource.IdentityProvider{}, sub.invalidParameter("The identity provider config type %s is invalid: it must be oidc", deref(id.Type))
	}
	for p := range tx.IdentityProviders.Values(func(p resource.IdentityProvider) bool { return p.Cluster == c.ARN && p.Name == deref(id.Name) }) {
		return c, p, nil
	}
	return c, resource.IdentityProvider{}, sub.notFound("Identity provider config not found: %s", deref(id.Name))
}

// newIdentityProvider is the issuer that is asked for, checked. It is pure.
func newIdentityProvider(call awsapi.Call, c resource.Cluster, in *eks.AssociateIdentityProviderConfigInput) (resource.IdentityProvider, error) {
	sub, o := subject{cluster: c.Name}, in.Oidc
	id := awsid.UUID()
	p := resource.IdentityProvider{
		ARN: arn(call, "identityproviderconfig/"+c.Name+"/"+providerType+"/"+deref(o.IdentityProviderConfigName)+"/"+id), ID: id,
		Cluster: c.ARN, Name: deref(o.IdentityProviderConfigName), IssuerURL: deref(o.IssuerUrl), ClientID: deref(o.ClientId),
		UsernameClaim: or(o.UsernameClaim, "sub"), UsernamePrefix: deref(o.UsernamePrefix), GroupsClaim: deref(o.GroupsClaim),
		GroupsPrefix: deref(o.GroupsPrefix), RequiredClaims: o.RequiredClaims, Tags: in.Tags, Created: moment(call.Time),
		Token: deref(in.ClientRequestToken), State: resource.ProviderCreating,
	}
	same := *in
	same.ClientRequestToken = nil
	var err error
	if p.Fingerprint, err = fingerprint(same); err != nil {
		return p, err
	}
	u, err := url.Parse(p.IssuerURL)
	switch {
	case p.Name == "" || p.ClientID == "":
		return p, sub.invalidParameter("identityProviderConfigName and clientId must not be empty")
	case err != nil || u.Scheme != "https" || u.Host == "":
		return p, sub.invalidParameter("IssuerURL must use https:// scheme.")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return p, sub.invalidParameter("IssuerURL must not contain a query, a fragment or user information.")
	case strings.TrimSuffix(p.IssuerURL, "/") == c.Status.Issuer:
		return p, sub.invalidParameter("The issuer of the cluster itself cannot be associated with it.")
	case strings.HasPrefix(p.UsernamePrefix, "system:") || strings.HasPrefix(p.GroupsPrefix, "system:"):
		return p, sub.invalidParameter("The prefix system: is reserved for Kubernetes system use")
	}
	return p, checkTags(sub, in.Tags)
}

func providerUpdate(call awsapi.Call, c resource.Cluster, p resource.IdentityProvider, kind string) resource.Update {
	shown := []map[string]string{{"type": providerType, "name": p.Name}}
	return resource.Update{
		ID: awsid.UUID(), Cluster: c.ARN, Type: kind, Params: []resource.UpdateParam{param("IdentityProviderConfig", shown)},
		Created: moment(call.Time), State: resource.UpdateInProgress,
	}
}

func describeProvider(c resource.Cluster, p resource.IdentityProvider) *eks.OidcIdentityProviderConfig {
	return &eks.OidcIdentityProviderConfig{
		IdentityProviderConfigName: new(p.Name), IdentityProviderConfigArn: new(p.ARN), ClusterName: new(c.Name), IssuerUrl: new(p.IssuerURL),
		ClientId: new(p.ClientID), UsernameClaim: new(p.UsernameClaim), UsernamePrefix: optional(p.UsernamePrefix), GroupsClaim: optional(p.GroupsClaim),
		GroupsPrefix: optional(p.GroupsPrefix), RequiredClaims: p.RequiredClaims, Tags: tagsOf(p.Tags), Status: new(p.Current()),
	}
}
