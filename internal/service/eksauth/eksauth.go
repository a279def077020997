// Package eksauth serves Amazon EKS Auth, which has one operation: it turns the token of a
// pod, presented by the agent of its node, into credentials of the role that the pod's
// service account is associated with.
//
//	token ─ token.go: signed by the cluster's key, for pods.eks.amazonaws.com, in time ─▶ pod
//	token ─ the cluster's API server: its service account and its pod are still there
//	caller ─ the session of an instance, which has to be the pod's node
//	(namespace, service account) ─ the association ─▶ role ─ target role ─▶ session
//
// All but the second is decided from the records. API servers remember good tokens for some
// seconds, so that one that was just asked for may outlive its pod by as long.
package eksauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ekster.dev/ekster/gen/eksauth"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	audience = "pods.eks.amazonaws.com"
	lifetime = 6 * time.Hour
	chained  = time.Hour // of a target role's session: STS's limit
)

// Config is what a Service is made of.
type Config struct {
	Store    *store.Store
	Policies *identity.Policies
	Lifetime identity.Lifetime // of all sessions

	// Review asks a cluster whether a token is good for an audience.
	Review func(ctx context.Context, c resource.Cluster, token, audience string) (bool, error)
}

// A Service serves EKS Auth from the records of a store.
type Service struct {
	eksauth.Unimplemented
	Config
}

var _ eksauth.API = (*Service)(nil)

// New returns the EKS Auth API.
func New(c Config) *Service { return &Service{Config: c} }

// AssumeRoleForPodIdentity gives a pod the credentials of its association.
func (s *Service) AssumeRoleForPodIdentity(ctx context.Context, call awsapi.Call, in *eksauth.AssumeRoleForPodIdentityInput) (out *eksauth.AssumeRoleForPodIdentityOutput, err error) {
	var c resource.Cluster
	err = s.Store.View(func(tx *store.Tx) error {
		var ok bool
		if c, ok = tx.Clusters.Get("arn:aws:eks:" + call.Region + ":" + call.Account + ":cluster/" + deref(in.ClusterName)); !ok {
			return notFound("No cluster found for name: " + deref(in.ClusterName) + ".")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pod, err := s.bearer(ctx, c, deref(in.Token), call.Time)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		out, err = s.assume(tx, call, c, pod)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// bearer is the pod whose token it is.
func (s *Service) bearer(ctx context.Context, c resource.Cluster, token string, now time.Time) (podClaims, error) {
	pod, err := verify(token, c.Status.JWKS, c.Status.Issuer, now)
	switch {
	case errors.Is(err, errExpired):
		return pod, &eksauth.ExpiredTokenException{Message: new("The token included in the request is expired")}
	case err != nil:
		return pod, invalid(err.Error())
	}
	switch good, err := s.Review(ctx, c, token, audience); {
	case err != nil: // why is for the log
		return pod, fmt.Errorf("%w: %w", &eksauth.ServiceUnavailableException{Message: new("The cluster " + c.Name + " cannot be asked about the token now")}, err)
	case !good:
		return pod, invalid("its pod or its service account is not there any more")
	}
	return pod, nil
}

func (s *Service) assume(tx *store.Tx, call awsapi.Call, c resource.Cluster, pod podClaims) (*eksauth.AssumeRoleForPodIdentityOutput, error) {
	// The pod's node has to be the caller.
	caller, _ := tx.Sessions.Get(call.Caller.AccessKeyID)
	node, known := tx.Nodes.Get(resource.NodeKey(c.ARN, pod.Node.Name))
	if caller.Instance == "" || !known || node.Instance != caller.Instance {
		return nil, denied("The token included in the request is of a pod that does not run on the calling node")
	}
	var a resource.PodIdentityAssociation
	for found := range tx.PodIdentityAssociations.Values(func(a resource.PodIdentityAssociation) bool {
		return a.Is(c.ARN, pod.Namespace, pod.ServiceAccount.Name)
	}) {
		a = found
	}
	if a.ARN == "" {
		return nil, notFound("No pod identity association found for service account " + pod.ServiceAccount.Name + " in namespace " + pod.Namespace + " of cluster " + c.Name)
	}
	session, err := s.session(tx, call.Time, c, a, pod)
	if err != nil {
		return nil, err
	}
	return &eksauth.AssumeRoleForPodIdentityOutput{
		Audience:               new(audience),
		Subject:                &eksauth.Subject{Namespace: new(pod.Namespace), ServiceAccount: new(pod.ServiceAccount.Name)},
		PodIdentityAssociation: &eksauth.PodIdentityAssociation{AssociationArn: new(a.ARN), AssociationId: new(a.ID)},
		AssumedRoleUser:        &eksauth.AssumedRoleUser{Arn: new(session.Principal), AssumeRoleId: new(session.PrincipalID)},
		Credentials: &eksauth.Credentials{
			AccessKeyId: new(session.AccessKeyID), SecretAccessKey: new(session.Secret), SessionToken: new(session.Token), Expiration: new(session.Expires),
		},
	}, nil
}

// session assumes the association's role, and with its session the target role, if it has one.
func (s *Service) session(tx *store.Tx, now time.Time, c resource.Cluster, a resource.PodIdentityAssociation, pod podClaims) (resource.Session, error) {
	who := identity.Pod{Cluster: c, Namespace: pod.Namespace, ServiceAccount: pod.ServiceAccount.Name, Name: pod.Pod.Name, UID: pod.Pod.UID}
	g := identity.Grant{Name: sessionName(c.Name, pod.Pod.Name), Lifetime: s.Lifetime.Of(lifetime)}
	if !a.DisableSessionTags {
		g.Tags = who.Tags()
		g.Transitive = slices.Sorted(maps.Keys(g.Tags))
	}
	role, ok := tx.Roles.Get(a.Role)
	if ok {
		var err error
		if ok, err = s.Policies.PodsMayAssume(tx, role, who, g.Tags); err != nil {
			return resource.Session{}, err
		}
	}
	if !ok {
		return resource.Session{}, denied("Unauthorized Exception! EKS does not have permissions to assume the associated role.")
	}
	if a.Policy != "" && a.TargetRole == "" {
		g.Policies = []string{a.Policy}
	}
	session := identity.NewSession(tx, role, g, now)
	role.LastUsed, role.LastRegion = session.Issued, c.Region
	tx.Roles.Put(role.ARN, role)
	if a.TargetRole == "" {
		return session, nil
	}
	tx.Sessions.Delete(session.AccessKeyID) // nobody gets to see it
	g = identity.Grant{Name: g.Name, Lifetime: s.Lifetime.Of(chained)}
	if err := g.Inherit(session); err != nil {
		return resource.Session{}, err
	}
	target, ok := tx.Roles.Get(a.TargetRole)
	if ok {
		var err error
		if ok, err = s.Policies.SessionMayAssume(tx, session, target, g, a.ExternalID); err != nil {
			return resource.Session{}, err
		}
	}
	if !ok {
		return resource.Session{}, denied("Unauthorized Exception! EKS does not have permissions to assume the target role.")
	}
	if a.Policy != "" {
		g.Policies = []string{a.Policy}
	}
	session = identity.NewSession(tx, target, g, now)
	target.LastUsed, target.LastRegion = session.Issued, c.Region
	tx.Roles.Put(target.ARN, target)
	return session, nil
}

// maxName is the length of a session's name.
const maxName = 64

// sessionName is eks-<cluster>-<pod>-<uuid>, the first two cut to what there is room for.
func sessionName(cluster, pod string) string {
	id := awsid.UUID()
	room := maxName - len("eks---") - len(id)
	cluster = cluster[:min(len(cluster), max(room/2, room-len(pod)))]
	pod = pod[:min(len(pod), room-len(cluster))]
	return "eks-" + cluster + "-" + pod + "-" + id
}

func denied(message string) error { return &eksauth.AccessDeniedException{Message: &message} }

func invalid(why string) error {
	return &eksauth.InvalidTokenException{Message: new("The token included in the request is invalid: " + why)}
}

func notFound(message string) error { return &eksauth.ResourceNotFoundException{Message: &message} }

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
