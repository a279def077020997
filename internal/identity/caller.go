package identity

import (
	"strconv"
	"time"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Caller is the caller of a request as package authz knows it.
func Caller(p awsapi.Principal) authz.Principal {
	out := authz.Principal{ARN: p.ARN, Account: p.Account, RoleARN: p.RoleARN, ID: p.ID}
	switch p.Type {
	case awsapi.TypeRoot:
		out.Type = authz.Root
	case awsapi.TypeUser:
		out.Type = authz.User
	case awsapi.TypeAssumedRole:
		out.Type = authz.RoleSession
	case awsapi.TypeFederatedUser:
		out.Type = authz.FederatedUser
	}
	return out
}

// servedIn is the region that a call goes to. IAM has one endpoint, in us-east-1, whatever region who is
// given another endpoint signs for. STS has one in each region besides its global one, for
// which us-east-1 is signed.
func servedIn(call awsapi.Call) string {
	if call.Service == "iam" {
		return "us-east-1"
	}
	return call.Region
}

// Context returns the condition keys of a call that do not depend on its operation:
// who calls, from where, when and how.
func Context(call awsapi.Call) map[string][]string {
	ctx := Caller(call.Caller).Context()
	now := call.Time.UTC()
	ctx["aws:CurrentTime"] = []string{now.Format(time.RFC3339)}
	ctx["aws:EpochTime"] = []string{strconv.FormatInt(now.Unix(), 10)}
	ctx["aws:SecureTransport"] = []string{strconv.FormatBool(call.Secure)}
	// Nobody signs what a service does in its user's name, or in its own: both keys are always there.
	ctx["aws:ViaAWSService"] = []string{"false"}
	ctx["aws:PrincipalIsAWSService"] = []string{"false"}
	ctx["aws:RequestedRegion"] = []string{servedIn(call)}
	if call.SourceIP.IsValid() {
		ctx["aws:SourceIp"] = []string{call.SourceIP.Unmap().String()}
	}
	if call.UserAgent != "" {
		ctx["aws:UserAgent"] = []string{call.UserAgent}
	}
	if !call.Caller.Issued.IsZero() && !call.Caller.Expires.IsZero() {
		ctx["aws:TokenIssueTime"] = []string{call.Caller.Issued.UTC().Format(time.RFC3339)}
		ctx["aws:MultiFactorAuthPresent"] = []string{"false"}
	}
	return ctx
}

// sessionKeys are the condition keys that a session gives to what is done with it: where it
// comes from.
func sessionKeys(tx *store.Tx, s resource.Session) map[string][]string {
	keys := map[string][]string{}
	put := func(key, value string) {
		if value != "" {
			keys[key] = []string{value}
		}
	}
	put("aws:SourceIdentity", s.SourceID)
	put("aws:FederatedProvider", s.Provider)
	if i, ok := tx.Instances.Get(s.Instance); ok {
		put("ec2:SourceInstanceARN", instanceARN(i))
		put("ec2:RoleDelivery", s.Delivery)
		put("aws:Ec2InstanceSourceVpc", i.Spec.VPC)
		put("aws:Ec2InstanceSourcePrivateIPv4", i.Spec.PrivateIP)
	}
	return keys
}
