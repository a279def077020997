package eks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// conflictsNone is how fields that others own are treated unless the caller says it.
const conflictsNone = "NONE"

const tokenReusedText = "The clientRequestToken was already used with different request parameters."

// addonSubject names the add-on that a refused request was about, in EKS's errors.
type addonSubject struct{ cluster, addon string }

func (s addonSubject) invalidParameter(format string, args ...any) error {
	return &eks.InvalidParameterException{ClusterName: optional(s.cluster), AddonName: optional(s.addon), Message: new(fmt.Sprintf(format, args...))}
}

func (s addonSubject) inUse(format string, args ...any) error {
	return &eks.ResourceInUseException{ClusterName: optional(s.cluster), AddonName: optional(s.addon), Message: new(fmt.Sprintf(format, args...))}
}

func (s addonSubject) notFound(format string, args ...any) error {
	return &eks.ResourceNotFoundException{ClusterName: optional(s.cluster), AddonName: optional(s.addon), Message: new(fmt.Sprintf(format, args...))}
}

// newAddon is the add-on that is asked for, with EKS's defaults, and what the catalogue says
// of it. It is pure.
func newAddon(call awsapi.Call, c resource.Cluster, catalogue *addon.Catalogue, in *eks.CreateAddonInput) (resource.Addon, *addon.Addon, error) {
	name := deref(in.AddonName)
	sub := addonSubject{c.Name, name}
	a := resource.Addon{
		Home: c.Home, Cluster: c.ARN, Name: name, Created: moment(call.Time), Modified: moment(call.Time), Token: deref(in.ClientRequestToken),
		Spec: resource.AddonSpec{
			ServiceRole: deref(in.ServiceAccountRoleArn), Configuration: deref(in.ConfigurationValues),
			ResolveConflicts: or(in.ResolveConflicts, conflictsNone), Tags: in.Tags, Revision: 1,
		},
		Status: resource.AddonStatus{State: resource.AddonCreating},
	}
	a.ARN = arn(call, "addon/"+c.Name+"/"+name+"/"+awsid.UUID())
	same := *in
	same.ClientRequestToken = nil
	var err error
	if a.Fingerprint, err = fingerprint(same); err != nil {
		return a, nil, err
	}
	entry, ok := catalogue.Find(name)
	if !ok {
		return a, nil, sub.invalidParameter("Addon %s specified is not supported in %s kubernetes version", name, c.Version())
	}
	if a.Spec.Version, err = addonVersion(sub, c, entry, in.AddonVersion); err != nil {
		return a, nil, err
	}
	if a.Spec.Namespace, err = addonNamespace(sub, entry, in.NamespaceConfig); err != nil {
		return a, nil, err
	}
	if err := checkConfiguration(sub, entry, a.Spec.Configuration); err != nil {
		return a, nil, err
	}
	return a, entry, checkTags(subject{cluster: c.Name}, in.Tags)
}

// addonVersion is the version asked for, or the default of the cluster's Kubernetes version.
func addonVersion(sub addonSubject, c resource.Cluster, entry *addon.Addon, asked *string) (string, error) {
	notHere := sub.invalidParameter("Addon %s specified is not supported in %s kubernetes version", entry.Name, c.Version())
	if asked == nil {
		v, ok := entry.DefaultVersion(c.Version())
		if !ok {
			return "", notHere
		}
		return v.Version, nil
	}
	v, ok := entry.Version(*asked)
	if !ok {
		return "", sub.invalidParameter("Addon version specified is not supported")
	}
	if !v.RunsOn(c.Version()) {
		return "", notHere
	}
	return v.Version, nil
}

func addonNamespace(sub addonSubject, entry *addon.Addon, asked *eks.AddonNamespaceConfigRequest) (string, error) {
	if asked == nil || asked.Namespace == nil {
		return entry.Namespace, nil
	}
	ns := *asked.Namespace
	if len(ns) > 63 || !namespaceName.MatchString(ns) {
		return "", sub.invalidParameter("Provided namespace value is not a valid RFC 1123 DNS label")
	}
	if ns != entry.Namespace && !entry.OtherNamespaces {
		return "", sub.invalidParameter("Addon %s can be installed in namespace %s only", entry.Name, entry.Namespace)
	}
	return ns, nil
}

func checkConfiguration(sub addonSubject, entry *addon.Addon, text string) error {
	err := entry.CheckConfiguration(text)
	if errors.Is(err, addon.ErrNotParseable) {
		return sub.invalidParameter("The ConfigurationValues provided is not in valid YAML or JSON format.")
	}
	if invalid, ok := errors.AsType[*addon.ConfigurationError](err); ok {
		return sub.invalidParameter("ConfigurationValue provided in request is not supported: Json schema validation failed with error: [%s]", invalid.Error())
	}
	return err
}

// checkAddonRole checks the role for an add-on's service account; "" is none.
func checkAddonRole(tx *store.Tx, call awsapi.Call, sub addonSubject, role string) error {
	if role == "" {
		return nil
	}
	if err := passRole(call, role); err != nil {
		return err
	}
	if _, ok := tx.Roles.Get(role); !ok {
		return sub.invalidParameter("Role with arn: %s, could not be assumed because it does not exist or the trusted entity is not correct", role)
	}
	return nil
}

// associationsOf are the pod identity associations that an add-on owns, by service account.
func associationsOf(tx *store.Tx, addon string) []resource.PodIdentityAssociation {
	out := slices.Collect(tx.PodIdentityAssociations.Values(func(p resource.PodIdentityAssociation) bool { return p.Owner == addon }))
	slices.SortFunc(out, func(a, b resource.PodIdentityAssociation) int {
		return strings.Compare(a.ServiceAccount, b.ServiceAccount)
	})
	return out
}

// associate makes the add-on own exactly the associations that are asked for; nil asks for
// none to be changed.
func associate(tx *store.Tx, call awsapi.Call, policies *identity.Policies, c resource.Cluster, entry *addon.Addon, a resource.Addon, asked []eks.AddonPodIdentityAssociations) error {
	if asked == nil {
		return nil
	}
	sub := addonSubject{c.Name, a.Name}
	for _, p := range associationsOf(tx, a.ARN) {
		tx.PodIdentityAssociations.Delete(p.ARN)
	}
	for _, ask := range asked {
		account := deref(ask.ServiceAccount)
		if !slices.ContainsFunc(entry.ServiceAccounts, func(s addon.ServiceAccount) bool { return s.Name == account }) {
			return sub.invalidParameter("Service account %s is not supported by addon %s", account, a.Name)
		}
		want, err := newPodIdentityAssociation(call, &eks.CreatePodIdentityAssociationInput{
			ClusterName: new(c.Name), Namespace: new(a.Spec.Namespace), ServiceAccount: new(account), RoleArn: ask.RoleArn,
		})
		if err != nil {
			return err
		}
		for prior := range tx.PodIdentityAssociations.Values(func(p resource.PodIdentityAssociation) bool { return p.Is(c.ARN, want.Namespace, account) }) {
			return sub.inUse("Association already exists: %s", prior.ID)
		}
		want.Cluster, want.ID, want.Owner = c.ARN, "a-"+awsid.Lower(17), a.ARN
		want.ARN = arn(call, "podidentityassociation/"+c.Name+"/"+want.ID)
		if err := checkPodRole(tx, policies, c, want); err != nil {
			return err
		}
		tx.PodIdentityAssociations.Put(want.ARN, want)
	}
	return nil
}
