package iam

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxProviders   = 100
	maxClientIDs   = 100
	maxThumbprints = 5
)

// CreateOpenIDConnectProvider has the account trust an issuer of tokens. Without a
// thumbprint it is looked up, as AWS does it.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.CreateOpenIDConnectProviderInput) (*iam.CreateOpenIDConnectProviderOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	issuer, err := issuerName(deref(in.Url))
	if err != nil {
		return nil, err
	}
	p := resource.OIDCProvider{
		Account:     call.Account,
		ARN:         "arn:aws:iam::" + call.Account + ":oidc-provider/" + issuer,
		URL:         issuer,
		ClientIDs:   distinct(in.ClientIDList),
		Thumbprints: thumbprints(in.ThumbprintList),
		Created:     date(call.Time),
		Tags:        tags,
	}
	if err := checkProvider(p); err != nil {
		return nil, err
	}
	if len(p.Thumbprints) == 0 {
		print, err := s.thumbprint(ctx, "https://"+issuer)
		if err != nil {
			return nil, err
		}
		p.Thumbprints = []string{print}
	}
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateOpenIDConnectProviderOutput, error) {
		if tx.OIDCProviders.Has(p.ARN) {
			return nil, alreadyExists("Provider with url https://%s already exists.", issuer)
		}
		if count(tx.OIDCProviders, func(o resource.OIDCProvider) bool { return o.Account == p.Account }) >= maxProviders {
			return nil, overQuota("OpenIdConnectProvidersPerAccount", maxProviders)
		}
		tx.OIDCProviders.Put(p.ARN, p)
		return &iam.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: new(p.ARN), Tags: describeTags(p.Tags)}, nil
	})
}

// issuerName is an issuer's URL without its scheme, as ARNs and condition keys have it.
func issuerName(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", validation("Invalid Open ID Connect Provider URL")
	}
	return strings.TrimPrefix(strings.TrimSuffix(raw, "/"), "https://"), nil
}

func checkProvider(p resource.OIDCProvider) error {
	if len(p.ClientIDs) > maxClientIDs {
		return overQuota("ClientIdsPerOpenIdConnectProvider", maxClientIDs)
	}
	if len(p.Thumbprints) > maxThumbprints {
		return invalidInput("Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	for _, t := range p.Thumbprints {
		if strings.Trim(t, "0123456789abcdef") != "" || len(t) != 40 {
			return invalidInput("Thumbprint %s is not a valid SHA-1 hash.", t)
		}
	}
	return nil
}

func (s *Service) thumbprint(ctx context.Context, issuer string) (string, error) {
	if s.Thumbprint == nil {
		return "", invalidInput("Thumbprint list must contain at least one entry.")
	}
	print, err := s.Thumbprint(ctx, issuer)
	if err != nil {
		return "", &iam.OpenIdIdpCommunicationErrorException{Message: new("Unable to retrieve the certificate of the identity provider: " + err.Error())}
	}
	return print, nil
}

// GetOpenIDConnectProvider tells about a provider.
func (s *Service) GetOpenIDConnectProvider(_ context.Context, call awsapi.Call, in *iam.GetOpenIDConnectProviderInput) (*iam.GetOpenIDConnectProviderOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetOpenIDConnectProviderOutput, error) {
		p, err := findProvider(tx, call.Account, deref(in.OpenIDConnectProviderArn))
		if err != nil {
			return nil, err
		}
		return &iam.GetOpenIDConnectProviderOutput{
			Url: new(p.URL), ClientIDList: p.ClientIDs, ThumbprintList: p.Thumbprints, CreateDate: new(p.Created), Tags: describeTags(p.Tags),
		}, nil
	})
}

// ListOpenIDConnectProviders lists the account's providers.
func (s *Service) ListOpenIDConnectProviders(_ context.Context, call awsapi.Call, _ *iam.ListOpenIDConnectProvidersInput) (*iam.ListOpenIDConnectProvidersOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListOpenIDConnectProvidersOutput, error) {
		out := &iam.ListOpenIDConnectProvidersOutput{OpenIDConnectProviderList: []iam.OpenIDConnectProviderListEntry{}}
		for arn, p := range tx.OIDCProviders.All() {
			if p.Account == call.Account {
				out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, iam.OpenIDConnectProviderListEntry{Arn: new(arn)})
			}
		}
		return out, nil
	})
}

// DeleteOpenIDConnectProvider ends the trust in an issuer. Roles that name it stay, and can no longer be assumed through it.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.DeleteOpenIDConnectProviderInput) (*iam.DeleteOpenIDConnectProviderOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteOpenIDConnectProviderOutput, error) {
		p, err := findProvider(tx, call.Account, deref(in.OpenIDConnectProviderArn))
		if err != nil {
			return nil, err
		}
		tx.OIDCProviders.Delete(p.ARN)
		return &iam.DeleteOpenIDConnectProviderOutput{}, nil
	})
}

// AddClientIDToOpenIDConnectProvider accepts one more audience. Once more is no error.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.AddClientIDToOpenIDConnectProviderInput) (*iam.AddClientIDToOpenIDConnectProviderOutput, error) {
	return changeProvider[iam.AddClientIDToOpenIDConnectProviderOutput](ctx, s, call, in.OpenIDConnectProviderArn, func(p *resource.OIDCProvider) {
		p.ClientIDs = distinct(append(slices.Clone(p.ClientIDs), deref(in.ClientID)))
	})
}

// RemoveClientIDFromOpenIDConnectProvider accepts an audience no longer. One that is not there is no error.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, call awsapi.Call, in *iam.RemoveClientIDFromOpenIDConnectProviderInput) (*iam.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	return changeProvider[iam.RemoveClientIDFromOpenIDConnectProviderOutput](ctx, s, call, in.OpenIDConnectProviderArn, func(p *resource.OIDCProvider) {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(id string) bool { return id == deref(in.ClientID) })
	})
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, call awsapi.Call, in *iam.UpdateOpenIDConnectProviderThumbprintInput) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	return changeProvider[iam.UpdateOpenIDConnectProviderThumbprintOutput](ctx, s, call, in.OpenIDConnectProviderArn, func(p *resource.OIDCProvider) {
		p.Thumbprints = thumbprints(in.ThumbprintList)
	})
}

func changeProvider[Out any](ctx context.Context, s *Service, call awsapi.Call, arn *string, change func(*resource.OIDCProvider)) (*Out, error) {
	return update(ctx, s, func(tx *store.Tx) (*Out, error) {
		p, err := findProvider(tx, call.Account, deref(arn))
		if err != nil {
			return nil, err
		}
		change(&p)
		if err := checkProvider(p); err != nil {
			return nil, err
		}
		tx.OIDCProviders.Put(p.ARN, p)
		return new(Out), nil
	})
}

func findProvider(tx *store.Tx, account, arn string) (resource.OIDCProvider, error) {
	if !strings.HasPrefix(arn, "arn:aws:iam::") || !strings.Contains(arn, ":oidc-provider/") {
		return resource.OIDCProvider{}, invalidInput("Invalid ARN: %s", arn)
	}
	p, ok := tx.OIDCProviders.Get(arn)
	if !ok || p.Account != account {
		return p, noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
	}
	return p, nil
}

// distinct is a list without repetitions, in its order.
func distinct(list []string) []string {
	out := []string{}
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// thumbprints are thumbprints as they are kept: in lower case.
func thumbprints(list []string) []string {
	out := distinct(list)
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	return out
}
