// Package provision makes and changes EC2's records inside a caller's store
// transaction: networks, addresses, interfaces, security groups, instances.
//
// It is what service/ec2 does behind its requests, for all who have to do the same
// without one: Auto Scaling launches instances, EKS makes interfaces and security
// groups. They share one transaction with what the caller writes itself:
//
//	EnsureRegion            the default VPC of an account in a region
//	VPC, Subnet             networks
//	SecurityGroup, AuthorizeRules, RevokeRules
//	Interface, Attach, Detach, AssignAddresses, UnassignAddresses
//	MergeTemplate → Instance → Terminate → Terminated
//	SpotRequest → FulfilSpot → InterruptSpot → TakeBackSpot
//
// What a caller asks for wrongly is answered with an *awsapi.Error in EC2's codes and
// wording, and then the transaction must be given up: records may be half made in it.
// Records of other accounts and regions do not exist for a caller.
//
// The package knows no request and no response, makes nothing real (the controllers
// of the nouns do, from the records), and does not check what IAM allows, nor the
// rules for tags that callers give: controllers set reserved ones.
package provision
