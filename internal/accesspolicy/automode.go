package accesspolicy

// The policies of EKS Auto Mode and of other AWS services. AWS describes these in words; the rules
// spell the words out.

// leaseRules is leader election, in the namespace of the scope.
func leaseRules() []Rule {
	return []Rule{rule("coordination.k8s.io", "leases", "create get list watch update patch delete")}
}

func blockStorageRules() []Rule {
	return []Rule{
		rule("storage.k8s.io", "csidrivers", "create get list watch update patch delete"),
		rule("", "persistentvolumes", "get list watch create update patch delete"),
		rule("", "persistentvolumeclaims", "get list watch update"),
		rule("", "persistentvolumeclaims/status", "patch"),
		rule("", "nodes pods", view),
		rule("", "events", "get list watch create update patch"),
		rule("storage.k8s.io", "storageclasses csinodes volumeattributesclasses", view),
		rule("storage.k8s.io", "volumeattachments", "get list watch patch update"),
		rule("storage.k8s.io", "volumeattachments/status", "patch"),
		rule("snapshot.storage.k8s.io", "volumesnapshots volumesnapshotcontents volumesnapshotclasses", "get list watch create update patch delete"),
		rule("snapshot.storage.k8s.io", "volumesnapshots/status volumesnapshotcontents/status", "update patch"),
		rule("groupsnapshot.storage.k8s.io", "volumegroupsnapshots volumegroupsnapshotcontents volumegroupsnapshotclasses", "get list watch update patch"),
		rule("groupsnapshot.storage.k8s.io", "volumegroupsnapshots/status volumegroupsnapshotcontents/status", "update patch"),
	}
}

func computeRules() []Rule {
	return []Rule{
		rule("karpenter.sh", "nodepools nodeclaims", "create get list watch update patch delete"),
		rule("karpenter.sh", "nodepools/status nodeclaims/status", "get update patch"),
		rule("eks.amazonaws.com", "nodeclasses nodeclasses/status", "create get list watch update patch delete"),
		rule("", "pods nodes persistentvolumes persistentvolumeclaims replicationcontrollers namespaces", view),
		rule("storage.k8s.io", "storageclasses csinodes volumeattachments", view),
		rule("apps", "deployments daemonsets replicasets statefulsets", "list watch"),
		rule("policy", "poddisruptionbudgets", view),
		rule("", "events", "create get list watch patch update"),
		rule("events.k8s.io", "events", "create patch update"),
		rule("", "nodes", "update patch delete"),
		rule("", "pods/eviction", "create"),
		rule("", "pods", "delete"),
		rule("apiextensions.k8s.io", "customresourcedefinitions", "create get list watch"),
		named("apiextensions.k8s.io", "customresourcedefinitions", "nodeclasses.eks.amazonaws.com nodepools.karpenter.sh "+
			"nodeclaims.karpenter.sh nodediagnostics.eks.amazonaws.com", "update patch delete"),
	}
}

func loadBalancingRules() []Rule {
	return []Rule{
		rule("", "events", "create patch"),
		rule("", "pods nodes endpoints namespaces", view),
		rule("", "pods/status", "update patch"),
		rule("", "services services/status", "get list watch update patch"),
		rule("networking.k8s.io", "ingresses ingresses/status", "get list watch update patch"),
		rule("extensions", "ingresses ingresses/status", "get list watch update patch"),
		rule("networking.k8s.io", "ingressclasses", view),
		rule("discovery.k8s.io", "endpointslices", view),
		rule("eks.amazonaws.com", "targetgroupbindings", "create get list watch update patch delete"),
		rule("eks.amazonaws.com", "targetgroupbindings/status", "update patch"),
		rule("eks.amazonaws.com", "ingressclassparams", view),
		rule("apiextensions.k8s.io", "customresourcedefinitions", "create get list watch"),
		named("apiextensions.k8s.io", "customresourcedefinitions",
			"targetgroupbindings.eks.amazonaws.com ingressclassparams.eks.amazonaws.com", "update patch delete"),
		rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations validatingwebhookconfigurations", "create get list watch"),
		named("admissionregistration.k8s.io", "mutatingwebhookconfigurations validatingwebhookconfigurations",
			"eks-load-balancing-webhook", "update patch delete"),
	}
}

func networkingRules() []Rule {
	return []Rule{
		rule("eks.amazonaws.com", "nodeclasses nodeclasses/status", view),
		rule("karpenter.sh", "nodeclaims nodeclaims/status", view),
		rule("", "pods nodes", view),
		rule("eks.amazonaws.com", "cninodes cninodes/status", "create get list watch update patch delete"),
		rule("apiextensions.k8s.io", "customresourcedefinitions", "create get list watch"),
		named("apiextensions.k8s.io", "customresourcedefinitions", "cninodes.eks.amazonaws.com", "update patch delete"),
		rule("", "events", "create patch"),
	}
}

// autoNodeRules are for what runs on an Auto Mode node outside of pods: proxy, DNS, pod network, block
// storage, device and health monitors. The kubelet itself is the node authorizer's matter.
func autoNodeRules() []Rule {
	return []Rule{
		rule("", "services endpoints nodes pods namespaces", view),
		rule("discovery.k8s.io", "endpointslices", view),
		rule("networking.k8s.io", "networkpolicies servicecidrs", view),
		rule("networking.k8s.aws", "policyendpoints", view),
		rule("networking.k8s.aws", "policyendpoints/status", "get"),
		rule("eks.amazonaws.com", "cninodes", "get list watch patch update"),
		rule("eks.amazonaws.com", "nodediagnostics", view),
		rule("eks.amazonaws.com", "nodediagnostics/status", "get patch update"),
		rule("", "nodes", "patch"),
		rule("", "nodes/status", "patch update"),
		rule("storage.k8s.io", "csinodes csidrivers volumeattachments", view),
		rule("", "events", "create patch update"),
		rule("events.k8s.io", "events", "create patch update"),
	}
}

// insightsRules let EKS look at nodes and at kube-proxy.
func insightsRules() []Rule {
	return []Rule{rule("", "nodes nodes/status", view), named("apps", "daemonsets", "kube-proxy", view)}
}

// regionSwitchRules scale workloads when ARC shifts them to another Region.
func regionSwitchRules() []Rule {
	return []Rule{
		rule("apps", "deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale", "get list watch patch update"),
		rule("autoscaling", "horizontalpodautoscalers", "get list watch patch update"),
	}
}

// emrRules are the role that EMR on EKS documents for the namespace of its jobs.
func emrRules() []Rule {
	const all = "get list watch create update patch delete deletecollection"
	return []Rule{
		rule("", "namespaces", "get"),
		rule("", "serviceaccounts services configmaps events pods pods/log", all),
		rule("", "secrets", "create patch delete watch"),
		rule("", "persistentvolumeclaims", all),
		rule("apps", "statefulsets deployments", all),
		rule("batch", "jobs", all),
		rule("extensions", "ingresses", all),
		rule("networking.k8s.io", "ingresses", all),
		rule("rbac.authorization.k8s.io", "roles rolebindings", all),
	}
}
