// Package test is the main job, end to end: it starts bin/ekster as a user would and works
// with it through the AWS SDK and client-go, on real control planes and real nodes.
//
//	TestMainJob     roles ─ cluster ─ node group ─ workload ─ scaling ─ access ─ deletion ─ purge
//	TestMainJobCLI  the same over the aws CLI and kubectl
//	TestCommands    quickstart, doctor, kubectl, image load, logs: what takes neither of them
//	TestKill        kill -9 of each part; down and up; everything killed at once
//	TestTwoDaemons  two state directories side by side
//	TestBadInput    what is refused, in which words, and that nothing is half made
//	TestFailures    what fails on EKS for want of a network, a role or room, to the message that is read
//	TestEndpoint    a node of one's own joins by the endpoint that DescribeCluster shows; it is opened and closed
//	TestOwnNodes    a scaling group of one's own joins by aws-auth, and not without
//	TestAddons      EKS add-ons instead of self-managed ones; metrics and an autoscaler on them
//	TestUpstreamVPCCNI  AWS's own VPC CNI on a node beside ours, if it is built
//	TestPods        AWS identities of pods, and people with tokens of an OIDC issuer
//	TestRoleChain   a user, two roles on the way, and clusters whose only master is the last one
//	TestUpgrade     a cluster in use from version to version, a step back, to one that does not come up
//	TestNodegroups  nodes that fall ill, Spot nodes that are taken back, issues of a group, rolls that
//	                a budget forbids, a group without nodes
//	TestVersions    a cluster of each Kubernetes version that is built
//
// The tests need root and what `make build` makes. Each has daemons of its own (package
// lab), which are purged at its end whatever happened, and then looks for anything that is
// left on the host. With -short they are skipped. What a part does in detail is tested
// where the part is.
package test
