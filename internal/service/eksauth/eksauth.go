// Package eksauth serves Amazon EKS Auth, which has one operation: it turns the token of a
// pod, presented by the agent of its node, into credentials of the role that the pod's
// service account is associated with.
//
//	token ─ token.go: signed by the cluster's key, for pods.eks.amazonaws.com, in time ─▶ pod
//	caller ─ the session of an instance, which has to be the pod's node
//	(namespace, service account) ─ the association ─▶ role ─ target role ─▶ session
//
// All is decided from the records. The package does not ask the API server: a pod that was
// deleted a moment ago still has its token's time.
package eksauth

import (
	"context"
	"errors"
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

// A Service serves EKS Auth from the records of a store.
type Service struct {
	eksauth.Unimplemented
	store    *store.Store
	policies *identity.Policies
}

var _ eksauth.API = (*Service)(nil)

// New returns the EKS Auth API.
func New(st *store.Store, policies *identity.Policies) *Service {
	return &Service{store: st, policies: policies}
}

// AssumeRoleForPodIdentity gives a pod the credentials of its association.
func (s *Service) AssumeRoleForPodIdentity(ctx context.Context, call awsapi.Call, in *eksauth.AssumeRoleForPodIdentityInput) (out *eksauth.AssumeRoleForPodIdentityOutput, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		out, err = s.assume(tx, call, deref(in.ClusterName), deref(in.Token))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) assume(tx *store.Tx, call awsapi.Call, cluster, token string) (*eksauth.AssumeRoleForPodIdentityOutput, error) {
	c, ok := tx.Clusters.Get("arn:aws:eks:" + call.Region + ":" + call.Account + ":cluster/" + cluster)
	if !ok {
		return nil, notFound("No cluster found for name: " + cluster + ".")
	}
	pod, err := verify(token, c.Status.JWKS, c.Status.Issuer, call.Time)
	if err != nil {
		if errors.Is(err, errExpired) {
			return nil, &eksauth.ExpiredTokenException{Message: new("The token included in the request is expired")}
		}
		return nil, &eksauth.InvalidTokenException{Message: new("The token included in the request is invalid: " + err.Error())}
	}
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
	g := identity.Grant{Name: sessionName(c.Name, pod.Pod.Name), Lifetime: lifetime}
	if !a.DisableSessionTags {
		g.Tags = who.Tags()
		g.Transitive = slices.Sorted(maps.Keys(g.Tags))
	}
	role, ok := tx.Roles.Get(a.Role)
	if ok {
		var err error
		if ok, err = s.policies.PodsMayAssume(tx, role, who, g.Tags); err != nil {
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
	target, ok := tx.Roles.Get(a.TargetRole)
	if ok {
		var err error
		if ok, err = s.policies.SessionMayAssume(tx, session, target, a.ExternalID); err != nil {
			return resource.Session{}, err
		}
	}
	if !ok {
		return resource.Session{}, denied("Unauthorized Exception! EKS does not have permissions to assume the target role.")
	}
	g.Lifetime, g.Chained = chained, true
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

func notFound(message string) error { return &eksauth.ResourceNotFoundException{Message: &message} }

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
