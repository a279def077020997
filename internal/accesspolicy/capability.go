package accesspolicy

// The policies of EKS's capabilities: they cover what a capability's controllers need for themselves. What it
// deploys for its users is theirs to allow by further policies.

// ackRules are for the custom resources of AWS's controllers. Each AWS service has a group of its own. Secrets that
// such resources refer to are AmazonEKSSecretReaderPolicy's.
func ackRules() []Rule {
	return []Rule{
		rule("services.k8s.aws", "*", own),
		rule("*.services.k8s.aws", "*", own),
		rule("", "namespaces", view),
		rule("", "events", "create patch update"),
		rule("events.k8s.io", "events", "create patch update"),
		rule("coordination.k8s.io", "leases", "create get list watch update patch delete"),
	}
}

// argoClusterRules see namespaces, find out which APIs there are, and keep Argo CD's own CRDs.
func argoClusterRules() []Rule {
	return []Rule{
		rule("", "namespaces", view),
		rule("apiextensions.k8s.io", "customresourcedefinitions", "create get list watch"),
		named("apiextensions.k8s.io", "customresourcedefinitions",
			"applications.argoproj.io applicationsets.argoproj.io appprojects.argoproj.io", "update patch delete"),
		paths("/api /api/* /apis /apis/* /openapi /openapi/* /version /version/", "get"),
	}
}

// argoRules are for Argo CD's applications and what it keeps of them, in its own namespace.
func argoRules() []Rule {
	return []Rule{
		rule("argoproj.io", "*", own),
		rule("", "secrets configmaps", own),
		rule("", "events", "create get list watch patch update"),
		rule("events.k8s.io", "events", "create patch update"),
		rule("coordination.k8s.io", "leases", "create get list watch update patch delete"),
	}
}

// kroRules are for ResourceGraphDefinitions, the CRDs that are made of them, and their instances.
func kroRules() []Rule {
	return []Rule{
		rule("kro.run", "*", "*"),
		rule("apiextensions.k8s.io", "customresourcedefinitions", "*"),
		rule("", "events", "create patch update"),
		rule("events.k8s.io", "events", "create patch update"),
		rule("coordination.k8s.io", "leases", "create get list watch update patch delete"),
	}
}
