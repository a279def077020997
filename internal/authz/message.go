package authz

import "strings"

// DenyMessage is what AWS answers to the denied request:
//
//	User: <arn> is not authorized to perform: <action> on resource: <arn> because no identity-based policy allows the <action> action
//	User: <arn> is not authorized to perform: <action> on resource: <arn> with an explicit deny in an identity-based policy: <arn>
//
// The second ARN is the managed policy's; inline ones have no name there, and of those of another
// account than the resource's none is told. A request for no resource in particular ("*") has no
// "on resource" part but in IAM. STS gives no reason when a
// trust policy does not allow, and federated identities are told the action only.
func (d Decision) DenyMessage(req Request) string {
	if req.Principal.Type == WebIdentity {
		return "Not authorized to perform " + req.Action
	}
	var b strings.Builder
	b.WriteString("User: ")
	switch {
	case req.Principal.ARN != "":
		b.WriteString(req.Principal.ARN)
	case req.Principal.Provider != "":
		b.WriteString(req.Principal.Provider)
	default:
		b.WriteString("anonymous")
	}
	b.WriteString(" is not authorized to perform: ")
	b.WriteString(req.Action)
	if d.Resource != "" && (d.Resource != "*" || strings.HasPrefix(req.Action, "iam:")) {
		b.WriteString(" on resource: ")
		b.WriteString(d.Resource)
	}
	switch {
	case d.Reason == ExplicitDeny:
		b.WriteString(" with an explicit deny in ")
		b.WriteString(article(d.Kind))
		b.WriteString(d.Kind.String())
		if strings.HasPrefix(d.Statement.Source, "arn:") && (req.ResourceAccount == "" || req.ResourceAccount == req.Principal.Account) {
			b.WriteString(": ")
			b.WriteString(d.Statement.Source)
		}
	case d.Reason == ImplicitDeny && d.Kind != Trust:
		b.WriteString(" because no ")
		b.WriteString(d.Kind.String())
		b.WriteString(" allows the ")
		b.WriteString(req.Action)
		b.WriteString(" action")
	}
	return b.String()
}

func article(k Kind) string {
	switch k {
	case Identity:
		return "an "
	case Trust:
		return "the "
	}
	return "a "
}
