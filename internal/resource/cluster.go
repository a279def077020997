package resource

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Cluster is one EKS cluster. Its key is its ARN.
// service/eks writes Spec and Deleting; controller/cluster writes Status.
type Cluster struct {
	Home
	ARN         string
	Name        string
	Created     time.Time
	Creator     string // the principal's ARN, for roles the role's; the implicit cluster admin
	Token       string // clientRequestToken of the create
	Fingerprint string // of the request that Token stands for
	Spec        ClusterSpec
	Status      ClusterStatus
	Deleting    bool // asked to go; the record leaves once nothing is left of it
}

// ClusterSpec is what the caller wants, defaults filled in.
type ClusterSpec struct {
	Version              string // "1.35"
	RoleARN              string
	VPC                  string
	Subnets              []string
	SecurityGroups       []string // the caller's additional ones
	ClusterSecurityGroup string   // eks-cluster-sg-…, made together with the record
	Interfaces           []string // requester-managed network interfaces, the first is advertised
	PublicAccess         bool
	PrivateAccess        bool
	PublicAccessCIDRs    []string
	ServiceCIDR          netip.Prefix
	AuthenticationMode   string // CONFIG_MAP, API_AND_CONFIG_MAP, API
	CreatorAdmin         bool   // bootstrapClusterCreatorAdminPermissions
	SelfManagedAddons    bool   // bootstrapSelfManagedAddons
	SupportType          string // STANDARD, EXTENDED
	DeletionProtection   bool
	LogTypes             []string // enabled control plane log types
	EncryptionKeyARN     string
	Hex                  string // 32 upper-case hex digits, in the endpoint's and the issuer's name
	AutoModeOff          bool   // Auto Mode was mentioned, and switched off: it is shown so
	ZonalShiftOff        bool   // the same of zonal shift
	Tags                 Tags
}

// ClusterStatus is what is so.
type ClusterStatus struct {
	State           string
	Waiting         string // what it waits for, for people
	Endpoint        string // https://…
	Listen          string // the loopback address and port that the endpoint names
	CA              []byte // PEM
	Issuer          string
	JWKS            []byte // public keys of service account tokens
	RunningVersion  string // minor version of the control plane that runs
	DefaultsApplied bool   // the first objects, self-managed add-ons among them, are in the cluster
	Issues          []Issue
	Ready           time.Time // when it first became ACTIVE
}

// States of a cluster, as the API spells them.
const (
	ClusterCreating = "CREATING"
	ClusterActive   = "ACTIVE"
	ClusterUpdating = "UPDATING"
	ClusterDeleting = "DELETING"
	ClusterFailed   = "FAILED"
)

var clusterMoves = map[string][]string{
	ClusterCreating: {ClusterActive, ClusterFailed, ClusterDeleting},
	ClusterActive:   {ClusterUpdating, ClusterDeleting},
	ClusterUpdating: {ClusterActive, ClusterDeleting},
	ClusterFailed:   {ClusterDeleting},
}

// Move changes the state, along a line that EKS knows.
func (s *ClusterStatus) Move(to string) error {
	return move(&s.State, to, clusterMoves)
}

// Guest names the network namespace of the control plane, which the cluster's
// interfaces are plugged into. Their Owner is the cluster's ARN.
func (c Cluster) Guest() string { return "cp-" + strings.ToLower(c.Spec.Hex[:16]) }

// Current is the state that callers see: a cluster asked to go is DELETING.
func (c Cluster) Current() string {
	if c.Deleting {
		return ClusterDeleting
	}
	return c.Status.State
}

func move(state *string, to string, moves map[string][]string) error {
	if *state == to {
		return nil
	}
	if !slices.Contains(moves[*state], to) {
		return fmt.Errorf("no way from %s to %s", *state, to)
	}
	*state = to
	return nil
}
