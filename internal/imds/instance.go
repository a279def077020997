package imds

import (
	"context"
	"errors"
	"time"
)

// An Instance is all that its metadata service says about one instance. An
// empty member is not in the tree: its path answers 404, which clients take as
// "not set".
type Instance struct {
	ID            string
	Type          string
	ImageID       string
	Architecture  string // "x86_64", "arm64"
	Account       string
	Region        string
	Zone          string
	ZoneID        string
	Domain        string // "amazonaws.com"
	Partition     string // "aws"
	ReservationID string
	LaunchIndex   int
	LaunchTime    time.Time
	LifeCycle     string // "on-demand", "spot"
	KeyName       string
	PublicKey     string // of KeyName, OpenSSH's format

	Hostname       string // private DNS name
	PublicHostname string
	PrivateIP      string
	PublicIP       string
	IPv6           string
	SecurityGroups []string    // names, of the primary interface
	Interfaces     []Interface // the primary one first

	BlockDevices map[string]string // "ami" → "xvda", "root" → "/dev/xvda", "ebs1" → "sdf"

	ProfileARN string
	ProfileID  string
	Role       string
	// Credentials are of Role, for who asks by a version of the service: "1.0", or "2.0" with a token.
	Credentials func(ctx context.Context, version string) (Credentials, error)

	UserData []byte

	Tags map[string]string // nil: not enabled in the metadata options

	// LifecycleState is the Auto Scaling group's target, "InService"; "" without one.
	LifecycleState string
	// SpotAction is the interruption notice, as JSON; "" without one.
	SpotAction          string
	SpotTerminationTime time.Time
	// RebalanceNotice is when a Spot instance was said to be at a higher risk of
	// interruption; zero: it was not.
	RebalanceNotice time.Time

	TokensRequired bool // http-tokens
	Disabled       bool // http-endpoint
	IPv6Enabled    bool // http-protocol-ipv6
	HopLimit       int  // http-put-response-hop-limit; 0: none

	version string // of the request
}

// An Interface is one attached ENI.
type Interface struct {
	MAC              string
	ID               string
	DeviceNumber     int
	NetworkCard      int
	Owner            string
	SubnetID         string
	SubnetCIDR       string
	SubnetIPv6CIDRs  []string
	VPCID            string
	VPCCIDRs         []string // the primary one first
	VPCIPv6CIDRs     []string
	PrivateIPs       []string // the primary one first
	IPv4Prefixes     []string
	IPv6s            []string
	IPv6Prefixes     []string
	Hostname         string
	PublicHostname   string
	PublicIPs        map[string][]string // public address → its private ones
	SecurityGroupIDs []string
	SecurityGroups   []string // names
}

// Credentials are a role's, for a while.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	Token           string
	Updated         time.Time
	Expires         time.Time
}

// ErrNotAssumable is what Instance.Credentials returns (wrapped) where the
// role's trust policy does not let EC2 assume it. Clients see it as a code in
// an otherwise fine answer.
var ErrNotAssumable = errors.New("EC2 cannot assume the role")
