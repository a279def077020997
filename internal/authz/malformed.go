package authz

import (
	"fmt"
	"regexp"
	"strings"
)

// A MalformedError is a policy document that IAM refuses. Its text is the message of IAM's
// MalformedPolicyDocument error.
type MalformedError struct{ Message string }

func (e *MalformedError) Error() string { return e.Message }

func malformed(message string) *MalformedError { return &MalformedError{Message: message} }

// InvalidPrincipal is the error for an AWS principal that a policy names and that does not exist.
// Parse returns it for one that cannot exist; who knows the accounts checks Policy.Principals.
func InvalidPrincipal(principal string) *MalformedError {
	return malformed("Invalid principal in policy: \"AWS\":\"" + principal + "\"")
}

var (
	errSyntax      = malformed("Syntax errors in policy.")
	errVersion     = malformed("Policy document must be version 2012-10-17 or greater.")
	errLegacy      = malformed("The policy failed legacy parsing")
	errSid         = malformed("Statement IDs (SID) in a single policy must be unique.")
	errNoActions   = malformed("Policy statement must contain actions.")
	errNoResources = malformed("Policy statement must contain resources.")
	errHasPrinc    = malformed("Policy document should not specify a principal.")
	errNoPrincipal = malformed("Missing required field Principal")
	errTrustAction = malformed("AssumeRole policy may only specify STS AssumeRole actions.")
)

func errProhibited(field string) *MalformedError { return malformed("Has prohibited field " + field) }

var vendorCharacters = regexp.MustCompile(`^[A-Za-z0-9.-]*$`)

// checkAction refuses an action that does not read vendor:name.
func checkAction(action string) error {
	if action == "*" {
		return nil
	}
	switch strings.Count(action, ":") {
	case 0:
		return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	case 1:
	default:
		return malformed("Actions/Condition can contain only one colon.")
	}
	vendor, _, _ := strings.Cut(action, ":")
	if vendor != "*" && !vendorCharacters.MatchString(vendor) {
		return malformed("Vendor " + vendor + " is not valid")
	}
	return nil
}

var trustActions = []string{"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity",
	"sts:tagsession", "sts:setsourceidentity", "sts:setcontext"}

// checkTrustAction refuses in a trust policy what is not about assuming the role.
func checkTrustAction(action string) error {
	action = strings.ToLower(action)
	if strings.HasPrefix(action, "sts:") {
		p := compile(action, syntax{wildcards: true})
		for _, a := range trustActions {
			if p.match(a, false, nil) {
				return nil
			}
		}
	}
	return errTrustAction
}

// iamResources are the beginnings that IAM accepts for the resource part of its own ARNs, in its order.
var iamResources = []string{"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/",
	"server-certificate/", "policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"}

var partitionName = regexp.MustCompile(`^(\*|aws(-[a-z]+)*)$`)

// checkResource refuses a resource that is neither "*" nor an ARN. An ARN may end early.
func checkResource(resource string) error {
	if resource == "*" {
		return nil
	}
	parts := splitARN(resource)
	if len(parts) < 2 {
		return malformed(fmt.Sprintf("Resource %s must be in ARN format or \"*\".", resource))
	}
	partition := parts[1]
	if !partitionName.MatchString(partition) {
		for len(parts) < 6 {
			parts = append(parts, "*")
		}
		return malformed(fmt.Sprintf("Partition %q is not valid for resource %q.",
			partition, "arn:"+strings.Join(parts[1:], ":")))
	}
	if len(parts) < 3 || strings.ContainsAny(parts[2], "*?") {
		return malformed("Resource vendor must be fully qualified and cannot contain regexes.")
	}
	if len(parts) < 6 {
		return nil
	}
	service, region, rest := parts[2], parts[3], parts[5]
	switch {
	case service == "iam" && region != "" && region != "*":
		return malformed("IAM resource " + resource + " cannot contain region information.")
	case service == "s3" && region != "" && region != "*":
		return malformed("Resource " + resource + " can not contain region information.")
	case service == "iam" && !iamResource(rest):
		return malformed("IAM resource path must either be \"*\" or start with " + strings.Join(iamResources, ", ") + ".")
	}
	return nil
}

// splitARN splits an ARN that may hold policy variables into its up to six fields. A colon inside a
// variable separates nothing.
func splitARN(arn string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(arn) && len(parts) < 5; i++ {
		switch {
		case arn[i] == ':':
			parts = append(parts, arn[start:i])
			start = i + 1
		case strings.HasPrefix(arn[i:], "${"):
			if n := strings.IndexByte(arn[i:], '}'); n > 0 {
				i += n
			}
		}
	}
	return append(parts, arn[start:])
}

// iamResource accepts a resource part that starts, up to its first wildcard, as one of iamResources does.
func iamResource(rest string) bool {
	if i := strings.IndexAny(rest, "*?$"); i >= 0 {
		rest = rest[:i]
		for _, prefix := range iamResources {
			if strings.HasPrefix(prefix, rest) {
				return true
			}
		}
	}
	for _, prefix := range iamResources {
		if strings.HasPrefix(rest, prefix) {
			return true
		}
	}
	return false
}

// legacyResource is a check of IAM's older parser: an ARN with an empty field has to be complete and
// has to name a service.
func legacyResource(resource string) bool {
	if resource == "*" {
		return true
	}
	parts := splitARN(resource)
	if len(parts) < 6 && strings.Contains(resource, "::") {
		return false
	}
	return len(parts) < 3 || parts[2] != ""
}
