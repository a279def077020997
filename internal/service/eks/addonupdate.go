package eks

import (
	"context"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const addonUpdate = "AddonUpdate"

// UpdateAddon changes an add-on's version, configuration or roles, and records the update
// that package controller/addon carries out and ends. A version, configuration or list of
// associations that is not given stays; a role that is not given is taken away, as on EKS.
func (s *Service) UpdateAddon(ctx context.Context, call awsapi.Call, in *eks.UpdateAddonInput) (*eks.UpdateAddonOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	same := *in
	same.ClientRequestToken = nil
	request, err := fingerprint(same)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.UpdateAddonOutput, error) {
		c, a, entry, err := findAddon(tx, call, catalogue, in.ClusterName, in.AddonName)
		if err != nil {
			return nil, err
		}
		sub := addonSubject{c.Name, a.Name}
		if token := deref(in.ClientRequestToken); token != "" {
			for u := range tx.Updates.Values(func(u resource.Update) bool { return u.Cluster == c.ARN && u.Addon == a.Name && u.Token == token }) {
				if u.Fingerprint != request {
					return nil, sub.invalidParameter(tokenReusedText)
				}
				return &eks.UpdateAddonOutput{Update: describeUpdate(u)}, nil
			}
		}
		switch state := a.Current(); state {
		case resource.AddonCreating, resource.AddonUpdating, resource.AddonDeleting, resource.AddonDeleteFailed:
			return nil, sub.inUse("Addon %s cannot be updated as it is currently in %s state", a.Name, state)
		}
		if _, err := findActiveCluster(tx, call, c.Name); err != nil {
			return nil, err
		}
		spec := shown(a)
		if in.AddonVersion != nil {
			if spec.Version, err = addonVersion(sub, c, entry, in.AddonVersion); err != nil {
				return nil, err
			}
		}
		spec.Configuration = or(in.ConfigurationValues, spec.Configuration)
		if err := checkConfiguration(sub, entry, spec.Configuration); err != nil {
			return nil, err
		}
		spec.ServiceRole = deref(in.ServiceAccountRoleArn)
		if err := checkAddonRole(tx, call, sub, spec.ServiceRole); err != nil {
			return nil, err
		}
		if err := associate(tx, call, policies, c, entry, a, in.PodIdentityAssociations); err != nil {
			return nil, err
		}
		spec.ResolveConflicts = or(in.ResolveConflicts, conflictsNone)
		spec.Revision++
		a.Spec, a.Modified = spec, moment(call.Time)
		u := resource.Update{
			ID: awsid.UUID(), Cluster: c.ARN, Addon: a.Name, Type: addonUpdate, Params: addonParams(in), Created: moment(call.Time),
			Revision: spec.Revision, Token: deref(in.ClientRequestToken), Fingerprint: request, State: resource.UpdateInProgress,
		}
		tx.Addons.Put(a.ARN, a)
		tx.Updates.Put(u.ID, u)
		return &eks.UpdateAddonOutput{Update: describeUpdate(u)}, nil
	})
}

// addonParams are what an update shows as its parameters: what the caller gave.
func addonParams(in *eks.UpdateAddonInput) []resource.UpdateParam {
	var out []resource.UpdateParam
	for _, p := range []struct {
		name  string
		value *string
	}{
		{"AddonVersion", in.AddonVersion}, {"ServiceAccountRoleArn", in.ServiceAccountRoleArn},
		{"ResolveConflicts", in.ResolveConflicts}, {"ConfigurationValues", in.ConfigurationValues},
	} {
		if p.value != nil {
			out = append(out, resource.UpdateParam{Type: p.name, Value: *p.value})
		}
	}
	if in.PodIdentityAssociations != nil {
		type shown struct {
			ServiceAccount string `json:"serviceAccount"`
			RoleArn        string `json:"roleArn"`
		}
		all := []shown{}
		for _, p := range in.PodIdentityAssociations {
			all = append(all, shown{deref(p.ServiceAccount), deref(p.RoleArn)})
		}
		out = append(out, param("PodIdentityAssociations", all))
	}
	return out
}
