package provision

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	"ekster.dev/ekster/internal/awsapi"
)

// fault is an error of EC2's that the caller can mend. All of them are 400.
func fault(code, format string, args ...any) error {
	return awsapi.Errorf(code, http.StatusBadRequest, format, args...)
}

// Refusal is EC2's code and message of an error that is one of EC2's refusals; ok is false
// for others, which say nothing about what was asked for.
func Refusal(err error) (code, message string, ok bool) {
	e, ok := errors.AsType[*awsapi.Error](err)
	if !ok {
		return "", "", false
	}
	return e.Code, e.Message, true
}

// A Noun is how EC2 speaks of one kind of thing when it is not there.
type Noun struct {
	Prefix    string // of its ids
	Missing   string // error code
	Malformed string // error code for what is no id; "" where EC2 says Missing
	One, Many string // "The <One> 'x' does not exist"
}

// The nouns whose ids callers give.
var (
	VPCs              = Noun{"vpc-", "InvalidVpcID.NotFound", "", "vpc ID", "vpc IDs"}
	Subnets           = Noun{"subnet-", "InvalidSubnetID.NotFound", "", "subnet ID", "subnet IDs"}
	SecurityGroups    = Noun{"sg-", "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "security group", "security groups"}
	SecurityRules     = Noun{"sgr-", "InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed", "security group rule ID", "security group rule IDs"}
	NetworkInterfaces = Noun{"eni-", "InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.Malformed", "networkInterface ID", "networkInterface IDs"}
	Instances         = Noun{"i-", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "instance ID", "instance IDs"}
	RouteTables       = Noun{"rtb-", "InvalidRouteTableID.NotFound", "", "routeTable ID", "routeTable IDs"}
	InternetGateways  = Noun{"igw-", "InvalidInternetGatewayID.NotFound", "", "internetGateway ID", "internetGateway IDs"}
	Images            = Noun{"ami-", "InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "image id", "image ids"}
	Addresses         = Noun{"eipalloc-", "InvalidAllocationID.NotFound", "", "allocation ID", "allocation IDs"}
	NATGateways       = Noun{"nat-", "NatGatewayNotFound", "", "Nat Gateway", "Nat Gateways"}
	Peerings          = Noun{"pcx-", "InvalidVpcPeeringConnectionID.NotFound", "", "vpcPeeringConnection ID", "vpcPeeringConnection IDs"}
	Endpoints         = Noun{"vpce-", "InvalidVpcEndpointId.NotFound", "", "Vpc Endpoint Id", "Vpc Endpoint Ids"}
	DHCPOptions       = Noun{"dopt-", "InvalidDhcpOptionID.NotFound", "", "dhcpOption ID", "dhcpOption IDs"}
	EgressOnly        = Noun{"eigw-", "InvalidGatewayID.NotFound", "", "egressOnlyInternetGateway ID", "egressOnlyInternetGateway IDs"}
	PrefixLists       = Noun{"pl-", "InvalidPrefixListID.NotFound", "InvalidPrefixListId.Malformed", "prefix list ID", "prefix list IDs"}
	NetworkACLs       = Noun{"acl-", "InvalidNetworkAclID.NotFound", "", "networkAcl ID", "networkAcl IDs"}
	SpotRequests      = Noun{"sir-", "InvalidSpotInstanceRequestID.NotFound", "", "spot instance request ID", "spot instance request IDs"}
	KeyPairs          = Noun{"key-", "InvalidKeyPair.NotFound", "", "key pair ID", "key pair IDs"}
)

// NotFound is EC2's answer when none of ids is there.
func (n Noun) NotFound(ids ...string) error {
	if n.Prefix == Images.Prefix { // the only ones that EC2 puts into brackets
		ids = []string{"[" + strings.Join(ids, ", ") + "]"}
	}
	if len(ids) == 1 {
		return fault(n.Missing, "The %s '%s' does not exist", n.One, ids[0])
	}
	return fault(n.Missing, "The %s '%s' do not exist", n.Many, strings.Join(ids, ", "))
}

var hexID = regexp.MustCompile(`^[0-9a-f]{8}([0-9a-f]{9})?$`)

// Check says whether id has the form of an id of n's.
func (n Noun) Check(id string) error {
	if rest, ok := strings.CutPrefix(id, n.Prefix); ok && hexID.MatchString(rest) {
		return nil
	}
	switch {
	case n.Malformed == "":
		return n.NotFound(id)
	case n.Prefix == Instances.Prefix:
		return fault(n.Malformed, "Invalid id: \"%s\"", id)
	}
	return fault(n.Malformed, "Invalid id: \"%s\" (expecting \"%s...\")", id, n.Prefix)
}

// dependent is the answer to deleting what something else still needs.
func dependent(id string) error {
	return fault("DependencyViolation", "resource %s has a dependent object", id)
}
