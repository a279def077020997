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
	ScalingTier          string   // tier-xl …; "" and standard: none is provisioned
	LogTypes             []string // enabled control plane log types
	EncryptionKeyARN     string
	Hex                  string // 32 upper-case hex digits, in the endpoint's and the issuer's name
	AutoModeOff          bool   // Auto Mode was mentioned, and switched off: it is shown so
	ZonalShiftOff        bool   // the same of zonal shift
	ZonalShiftOn         bool   // its traffic may be shifted away from a zone; never with ZonalShiftOff
	Tags                 Tags
	Revision             int64 // counts updates, so that each is carried out and ended
	Inspection           int64 // counts StartInsightsRefresh calls
}

// ClusterStatus is what is so.
type ClusterStatus struct {
	State           string
	Waiting         string // what it waits for, for people
	Endpoint        string // https://…
	Listen          string // the loopback address and port that the endpoint names
	PublicClosed    bool   // nobody listens there: the public endpoint is not for this host
	CA              []byte // PEM
	Issuer          string
	JWKS            []byte // public keys of service account tokens
	RunningVersion  string // minor version of the control plane that last became ready
	RunningTier     string // scaling tier of that control plane; "": standard
	DefaultsApplied bool   // the first objects, self-managed add-ons among them, are in the cluster
	Issues          []Issue
	Ready           time.Time // when it first became ACTIVE

	AppliedRevision int64     // of Spec.Revision: the updates up to it have ended
	UpdateStarted   time.Time // when the one after it was begun; zero: it was not
	UpdateDeaths    int       // of processes that ended before they were ever ready, since then
	FailedRevision  int64     // the update whose version or tier did not come up; those before are to run
	FailedCode      string    // EKS's code of why; "": Unknown
	FailedReason    string    // why it did not
	UpgradedFrom    string    // the minor version before the last upgrade; empty: there is no way back to it
	Upgraded        time.Time // when that upgrade had ended

	Inspection Inspection
}

// An Inspection is what was found when somebody last looked into the cluster, for insights.
type Inspection struct {
	Revision   int64 // of Spec.Inspection
	Started    time.Time
	Ended      time.Time
	Error      string // why nothing was found; what follows is from before
	KubeProxy  string // the version of the DaemonSet's image, v1.35.4-…; empty: there is none
	Deprecated []DeprecatedAPI
	Counter    string             // the API server whose counts those of Deprecated are: when it was started
	Verdicts   map[string]Verdict // what the insights said then, by their ids
}

// A Verdict is the status of an insight, and since when it has it.
type Verdict struct {
	Status string
	Since  time.Time
}

// A DeprecatedAPI will be removed, and has been asked for within the last thirty days.
type DeprecatedAPI struct {
	Group, Version, Resource string
	Removed                  string           // in this minor version
	Replacement              string           // the version of the group that is to be used instead; empty: there is none
	Counted                  int64            // requests since Inspection.Counter started
	Days                     map[string]int64 // requests by the day on which they were noticed, as 2026-11-30
	Last                     time.Time        // when it was last noticed that there had been any
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
	// An update that is asked for shows at once, so that a waiter does not take the state
	// before it for the state after.
	if c.Status.State == ClusterActive && c.Updating() {
		return ClusterUpdating
	}
	return c.Status.State
}

// Updating says whether an update has been asked for and has not ended.
func (c Cluster) Updating() bool { return c.Status.AppliedRevision < c.Spec.Revision }

// Version is the minor version that the cluster is at: during an upgrade, and after one
// that failed, the one before it.
func (c Cluster) Version() string {
	if c.Status.RunningVersion == "" {
		return c.Spec.Version
	}
	return c.Status.RunningVersion
}

// TargetVersion is the minor version that the control plane should run: what the caller
// wants, unless that has been tried and did not come up.
func (c Cluster) TargetVersion() string {
	if c.Status.RunningVersion == "" || c.Updating() && c.Status.FailedRevision != c.Spec.Revision {
		return c.Spec.Version
	}
	return c.Status.RunningVersion
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
