// Package addon is the catalogue of EKS add-ons, and the Kubernetes objects that EKS puts
// into every cluster.
//
//	cluster/            what EKS itself makes: RBAC of its users, StorageClass gp2, the
//	                    webhook that gives pods their AWS identity
//	<add-on>/addon.yaml  what DescribeAddonVersions says of it, its images and its defaults
//	        /schema.json the JSON schema of its configurationValues
//	        /*.yaml      its objects, as templates
//
// Adding an add-on takes a folder and no Go code. Names, labels, service accounts, RBAC,
// tolerations and priority classes are those of EKS. A template sees the cluster's Values,
// .Version, .Namespace, .Image (or .Images), and .Config: the caller's configurationValues
// over the defaults.
//
// A setting that nothing in the templates would obey is not in the schema, so that it is
// refused and not forgotten. The package applies nothing (package kubeapply does) and knows
// of no cluster.
package addon
