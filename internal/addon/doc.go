// Package addon holds the Kubernetes objects that EKS puts into every cluster,
// and applies them.
//
//	cluster     what EKS itself makes: RBAC of its users, StorageClass gp2, the
//	            webhook that gives pods their AWS identity
//	vpc-cni     DaemonSet aws-node
//	kube-proxy  DaemonSet kube-proxy
//	coredns     Deployment coredns, Service kube-dns
//	eks-pod-identity-agent  DaemonSet eks-pod-identity-agent; in no cluster unless asked for
//
// Each is a folder of YAML templates; names, labels, service accounts, RBAC,
// tolerations and priority classes are those of EKS. Render fills in a cluster's
// Values; Apply writes by server-side apply with the field manager "eks", so that
// what a user owns is not taken without force. Apply needs no discovery: the
// kinds that the templates use are a table.
//
// It does not know EKS add-on versions, does not validate configuration values,
// and does not watch what it applied.
package addon
