package authz

import (
	"regexp"
	"strings"
)

// PrincipalType is what kind of caller makes a request.
type PrincipalType uint8

// The types.
const (
	Anonymous     PrincipalType = iota // unsigned
	Root                               // the root user of an account
	User                               // an IAM user
	RoleSession                        // an assumed role
	FederatedUser                      // a session of GetFederationToken
	WebIdentity                        // a federated identity on its way to AssumeRoleWithWebIdentity or …WithSAML
	Service                            // an AWS service
)

// A Principal is the caller of a request. Which fields are set depends on its Type.
type Principal struct {
	Type    PrincipalType
	ARN     string // as AWS writes it: of the user, the session, or arn:aws:iam::A:root
	Account string // 12 digits; empty for Anonymous, WebIdentity and Service
	RoleARN string // of a RoleSession: arn:aws:iam::A:role/path/Name
	// ID is the unique id: AIDA… of a user, AROA…:session of a role session, the account of a root user.
	ID string
	// Provider names a WebIdentity's provider (arn:aws:iam::A:oidc-provider/… or a domain such as
	// accounts.google.com) or a Service (eks.amazonaws.com).
	Provider string
}

// Context returns the condition keys that follow from the principal alone: aws:PrincipalArn,
// aws:PrincipalAccount, aws:PrincipalType, aws:userid and aws:username. Tags are the caller's to add.
func (p Principal) Context() map[string][]string {
	ctx := map[string][]string{}
	put := func(key, value string) {
		if value != "" {
			ctx[key] = []string{value}
		}
	}
	put("aws:PrincipalAccount", p.Account)
	switch p.Type {
	case Root:
		put("aws:PrincipalType", "Account")
		put("aws:PrincipalArn", p.ARN)
		put("aws:userid", p.Account)
	case User:
		put("aws:PrincipalType", "User")
		put("aws:PrincipalArn", p.ARN)
		put("aws:userid", p.ID)
		put("aws:username", p.ARN[strings.LastIndexByte(p.ARN, '/')+1:])
	case RoleSession:
		put("aws:PrincipalType", "AssumedRole")
		put("aws:PrincipalArn", p.RoleARN)
		put("aws:userid", p.ID)
	case FederatedUser:
		put("aws:PrincipalType", "FederatedUser")
		put("aws:PrincipalArn", p.ARN)
		put("aws:userid", p.ID)
	case Anonymous:
		put("aws:PrincipalType", "Anonymous")
		put("aws:userid", "anonymous")
	case Service:
		put("aws:PrincipalServiceName", p.Provider)
		ctx["aws:PrincipalIsAWSService"] = []string{"true"}
	}
	return ctx
}

// A grant says whom of the caller's identities a resource policy's Principal names, weakest first.
type grant uint8

const (
	noGrant      grant = iota
	accountGrant       // its account: the account's own policies have to allow as well
	roleGrant          // the role of its session: limited by boundary and session policies
	directGrant        // itself, or everybody
)

// A principalSpec is a compiled Principal or NotPrincipal element.
type principalSpec struct {
	everybody bool // "*"
	allAWS    bool // {"AWS": "*"}
	aws       []awsPrincipal
	services  []string // as written
	federated []string
	canonical []string
}

type awsPrincipal struct {
	raw     string // as written
	account string // the account it stands for, if it is one
	arn     string // a user, role or session
	id      string // AIDA…, AROA…, AROA…:session: what IAM leaves of a principal that was deleted
}

// match says what of p the element names; the strongest grant counts.
func (s *principalSpec) match(p *Principal) grant {
	if s.everybody {
		return directGrant
	}
	switch p.Type {
	case Service:
		for _, name := range s.services {
			if strings.EqualFold(name, p.Provider) {
				return directGrant
			}
		}
		return noGrant
	case WebIdentity:
		for _, name := range s.federated {
			if name == p.Provider {
				return directGrant
			}
		}
		return noGrant
	}
	if s.allAWS {
		return directGrant
	}
	best := noGrant
	for i := range s.aws {
		best = max(best, s.aws[i].match(p))
	}
	return best
}

func (a *awsPrincipal) match(p *Principal) grant {
	switch {
	case p.Type == Anonymous:
		return noGrant
	case a.account != "":
		if a.account != p.Account {
			return noGrant
		}
		if p.Type == Root {
			return directGrant
		}
		return accountGrant
	case a.arn != "":
		if a.arn == p.ARN {
			return directGrant
		}
		if p.Type == RoleSession && a.arn == p.RoleARN {
			return roleGrant
		}
	case a.id != "":
		if a.id == p.ID {
			return directGrant
		}
		if p.Type == RoleSession && len(p.ID) > len(a.id) && p.ID[len(a.id)] == ':' && strings.HasPrefix(p.ID, a.id) {
			return roleGrant
		}
	}
	return noGrant
}

// excludes says whether NotPrincipal spares p. Under Deny every identity of the caller has to be listed:
// the user and its account; the session, its role and their account. AWS documents it so. Under Allow
// one of them is enough to be left out.
func (s *principalSpec) excludes(p *Principal, effect Effect) bool {
	if effect == Allow || s.everybody || s.allAWS || p.Type == Service || p.Type == WebIdentity || p.Type == Anonymous {
		return s.match(p) != noGrant
	}
	var seen [directGrant + 1]bool
	for i := range s.aws {
		seen[s.aws[i].match(p)] = true
	}
	switch p.Type {
	case Root:
		return seen[directGrant]
	case RoleSession:
		return seen[directGrant] && seen[roleGrant] && seen[accountGrant]
	}
	return seen[directGrant] && seen[accountGrant]
}

var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	uniqueID   = regexp.MustCompile(`^(A[A-Z]{3}[A-Z0-9]{12,124}|AROA[A-Z0-9]{12,124}:[\w+=,.@-]+)$`)
	iamARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):(root|(?:user|role)/[\x21-\x7e]*[\w+=,.@-]+)$`)
	stsARN     = regexp.MustCompile(`^arn:aws[a-z-]*:sts::[0-9]{12}:(assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+)$`)
	providerID = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(saml-provider|oidc-provider)/[^*?]+$`)
	domainName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
)

func parsePrincipals(n *node) (*principalSpec, error) {
	if n.kind == stringNode {
		if n.text != "*" {
			return nil, malformed("Invalid principal in policy: \"STAR\":\"" + n.text + "\"")
		}
		return &principalSpec{everybody: true}, nil
	}
	if n.kind != objectNode || len(n.members) == 0 {
		return nil, errSyntax
	}
	s := &principalSpec{}
	for i := range n.members {
		kind := n.members[i].key
		values, ok := n.members[i].value.texts(false)
		if !ok || len(values) == 0 {
			return nil, errSyntax
		}
		for _, v := range values {
			if err := s.add(kind, v); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *principalSpec) add(kind, v string) error {
	switch kind {
	case "AWS":
		if v == "*" {
			s.allAWS = true
			return nil
		}
		a, ok := parseAWSPrincipal(v)
		if !ok {
			return InvalidPrincipal(v)
		}
		s.aws = append(s.aws, a)
	case "Service":
		if !domainName.MatchString(v) {
			return malformed("Invalid principal in policy: \"SERVICE\":\"" + v + "\"")
		}
		s.services = append(s.services, v)
	case "Federated":
		if !domainName.MatchString(v) && !providerID.MatchString(v) {
			return malformed("Federated principals must be valid domain names or SAML metadata ARNs")
		}
		s.federated = append(s.federated, v)
	case "CanonicalUser":
		s.canonical = append(s.canonical, v)
	default:
		return errSyntax
	}
	return nil
}

func parseAWSPrincipal(v string) (awsPrincipal, bool) {
	a := awsPrincipal{raw: v}
	if accountID.MatchString(v) {
		a.account = v
		return a, true
	}
	if m := iamARN.FindStringSubmatch(v); m != nil {
		if strings.ContainsAny(v, "*?") {
			return a, false
		}
		if m[2] == "root" {
			a.account = m[1]
		} else {
			a.arn = v
		}
		return a, true
	}
	if stsARN.MatchString(v) {
		a.arn = v
		return a, true
	}
	if uniqueID.MatchString(v) {
		a.id = v
		return a, true
	}
	return a, false
}
