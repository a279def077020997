package clusterauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authentication "k8s.io/api/authentication/v1"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Modes of authentication, as the API spells them.
const (
	modeConfigMap = "CONFIG_MAP"
	modeAPI       = "API"
)

// Keys of a user's extra that tell the authorizer whose access entry to look for.
const (
	extraARN          = "arn"
	extraCanonicalARN = "canonicalArn"
	extraPrincipalID  = "principalId"
	extraAccessKeyID  = "accessKeyId"
)

// errNotMapped is answered for a principal that nothing lets into the cluster.
var errNotMapped = errors.New("IAM principal is not mapped to a Kubernetes user")

// A caller is the principal that signed a token, as mappings see it.
type caller struct {
	awsapi.Principal
	principal string // ARN as access entries have it: a role's own, with its path
	canonical string // ARN as aws-auth has it: a role's own, without its path
	id        string // unique id of the user or role
}

func newCaller(p awsapi.Principal) caller {
	i := caller{Principal: p, principal: p.ARN, canonical: p.ARN, id: p.ID}
	if p.RoleARN != "" {
		i.principal, i.canonical = p.RoleARN, withoutPath(p.RoleARN)
		i.id, _, _ = strings.Cut(p.ID, ":")
	}
	return i
}

// withoutPath takes the path out of a role's ARN: sessions' ARNs lack it, so aws-auth has to.
func withoutPath(role string) string {
	head, rest, ok := strings.Cut(role, ":role/")
	if !ok {
		return role
	}
	return head + ":role/" + rest[strings.LastIndexByte(rest, '/')+1:]
}

// user is a Kubernetes user before templates are filled in.
type user struct {
	name   string
	groups []string
}

// authenticate says who a token makes its bearer in the cluster.
func (a *Authenticators) authenticate(ctx context.Context, cluster, token string) authentication.TokenReviewStatus {
	who, info, err := a.identify(ctx, cluster, token)
	a.note(cluster, who, info, err)
	if err != nil {
		a.cfg.Log.Warn("access denied", "cluster", cluster, "arn", who.ARN, "accessKeyId", who.AccessKeyID, "reason", err)
		return authentication.TokenReviewStatus{}
	}
	a.cfg.Log.Debug("access granted", "cluster", cluster, "arn", who.ARN, "username", info.Username, "groups", info.Groups)
	return authentication.TokenReviewStatus{Authenticated: true, User: info}
}

func (a *Authenticators) identify(ctx context.Context, cluster, token string) (who caller, info authentication.UserInfo, err error) {
	name, err := a.clusterName(cluster)
	if err != nil {
		return who, info, err
	}
	url, err := parseToken(token, a.cfg.Hosts, a.cfg.Now())
	if err != nil {
		return who, info, err
	}
	p, err := a.cfg.Verify(ctx, http.MethodGet, url, "sts", http.Header{
		http.CanonicalHeaderKey(clusterIDKey): {name}, "Accept": {"application/json"},
	})
	if err != nil {
		return who, info, fmt.Errorf("sts getCallerIdentity failed: %w", err)
	}
	who = newCaller(p)
	awsAuth, _ := a.cfg.AWSAuth(cluster) // before the store is locked
	err = a.cfg.Store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(cluster)
		if !ok {
			return errors.New("the cluster is no more")
		}
		u, err := a.find(tx, cl, who, awsAuth)
		if err != nil {
			return err
		}
		info, err = render(tx, cl, who, u)
		return err
	})
	return who, info, err
}

func (a *Authenticators) clusterName(arn string) (name string, err error) {
	err = a.cfg.Store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(arn)
		if !ok {
			return errors.New("the cluster is no more")
		}
		name = cl.Name
		return nil
	})
	return name, err
}

// find maps a principal to a user, as the cluster's mode of authentication says.
func (a *Authenticators) find(tx *store.Tx, cl resource.Cluster, who caller, awsAuth map[string]string) (user, error) {
	mode := cl.Spec.AuthenticationMode
	if implicitMaster(cl, who) {
		return user{name: "kubernetes-admin", groups: []string{"system:masters"}}, nil
	}
	if mode != modeConfigMap {
		if e, ok := entry(tx, cl.ARN, who.principal, who.id); ok {
			return entryUser(e), nil
		}
	}
	if mode != modeAPI {
		mappings, err := parseAWSAuth(awsAuth)
		if err != nil {
			// As EKS's authenticator: what can be read of it counts.
			a.cfg.Log.Warn("aws-auth is broken", "cluster", cl.ARN, "err", err)
		}
		if u, ok := mappings.find(who); ok {
			return u, nil
		}
	}
	return user{}, errNotMapped
}

// implicitMaster says whether a principal is the cluster's creator and has no access entry
// that says so: in mode CONFIG_MAP there are none, and a root user cannot have one.
func implicitMaster(cl resource.Cluster, who caller) bool {
	if !cl.Spec.CreatorAdmin || cl.Creator != who.principal {
		return false
	}
	return cl.Spec.AuthenticationMode == modeConfigMap || who.Type == awsapi.TypeRoot
}

// entry finds the access entry of a principal. One made for a role or user of the same name
// that has since been deleted is somebody else's.
func entry(tx *store.Tx, cluster, principal, id string) (resource.AccessEntry, bool) {
	e, ok := tx.AccessEntries.Get(resource.AccessEntryKey(cluster, principal))
	return e, ok && e.PrincipalID == id
}

// Types of access entries for nodes, and the groups that they give.
var nodeGroups = map[string][]string{
	"EC2_LINUX":      {"system:bootstrappers", "system:nodes"},
	"EC2_WINDOWS":    {"system:bootstrappers", "system:nodes", "eks:kube-proxy-windows"},
	"EC2":            {"system:bootstrappers", "system:nodes"},
	"FARGATE_LINUX":  {"system:bootstrappers", "system:nodes", "system:node-proxier"},
	"HYBRID_LINUX":   {"system:bootstrappers", "system:nodes"},
	"HYPERPOD_LINUX": {"system:bootstrappers", "system:nodes"},
}

func entryUser(e resource.AccessEntry) user {
	u := user{name: e.Username, groups: slices.Clone(nodeGroups[e.Type])}
	for _, g := range e.Groups {
		if !slices.Contains(u.groups, g) {
			u.groups = append(u.groups, g)
		}
	}
	if u.name == "" {
		u.name = defaultUsername(e)
	}
	return u
}

// defaultUsername is the username of an entry that was given none.
func defaultUsername(e resource.AccessEntry) string {
	switch e.Type {
	case "EC2_LINUX", "EC2_WINDOWS", "EC2", "HYPERPOD_LINUX":
		return "system:node:" + privateDNSName
	case "FARGATE_LINUX", "HYBRID_LINUX":
		return "system:node:{{SessionName}}"
	}
	head, rest, isRole := strings.Cut(withoutPath(e.Principal), ":role/")
	if !isRole {
		return e.Principal
	}
	return strings.Replace(head, ":iam:", ":sts:", 1) + ":assumed-role/" + rest + "/{{SessionName}}"
}

// render fills in the templates and tells the API server what there is to know about a user.
func render(tx *store.Tx, cl resource.Cluster, who caller, u user) (authentication.UserInfo, error) {
	fill, err := filler(tx, cl, who, u)
	if err != nil {
		return authentication.UserInfo{}, err
	}
	info := authentication.UserInfo{
		Username: fill(u.name),
		UID:      "aws-iam-authenticator:" + who.Account + ":" + who.id,
		Extra: map[string]authentication.ExtraValue{
			extraARN:          {who.ARN},
			extraCanonicalARN: {who.canonical},
			extraPrincipalID:  {who.id},
			extraAccessKeyID:  {who.AccessKeyID},
			"sessionName":     {who.SessionName},
			"sigs.k8s.io/aws-iam-authenticator/principalId": {who.id},
		},
	}
	for _, g := range u.groups {
		info.Groups = append(info.Groups, fill(g))
	}
	return info, nil
}
