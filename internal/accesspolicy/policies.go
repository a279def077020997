package accesspolicy

import (
	"slices"
	"strings"
)

const (
	view  = "get list watch"
	write = "create delete deletecollection patch update"
	own   = view + " " + write
)

// policies is ordered by name.
var policies = []Policy{
	unpublished("AIDevOpsAgentAccessPolicy"),
	policy("AmazonAIOpsAssistantPolicy", viewRules()),
	policy("AmazonARCRegionSwitchScalingPolicy", regionSwitchRules()),
	policy("AmazonEKSACKPolicy", ackRules()),
	policy("AmazonEKSAdminPolicy", adminRules()),
	policy("AmazonEKSAdminViewPolicy", []Rule{rule("*", "*", view)}),
	policy("AmazonEKSArgoCDClusterPolicy", argoClusterRules()),
	policy("AmazonEKSArgoCDPolicy", argoRules()),
	policy("AmazonEKSAutoNodePolicy", autoNodeRules()),
	reserved("AmazonEKSBlockStorageClusterPolicy", blockStorageRules()),
	reserved("AmazonEKSBlockStoragePolicy", leaseRules()),
	policy("AmazonEKSClusterAdminPolicy", []Rule{rule("*", "*", "*"), paths("*", "*")}),
	hidden("AmazonEKSClusterInsightsPolicy", insightsRules()),
	reserved("AmazonEKSComputeClusterPolicy", computeRules()),
	reserved("AmazonEKSComputePolicy", leaseRules()),
	policy("AmazonEKSEditPolicy", editRules()),
	policy("AmazonEKSEventPolicy", []Rule{rule("", "events", "create patch update"), rule("events.k8s.io", "events", "create patch update")}),
	reserved("AmazonEKSHybridPolicy", []Rule{rule("*", "nodes", "list")}),
	policy("AmazonEKSKROPolicy", kroRules()),
	policy("AmazonEKSLoadBalancingClusterPolicy", loadBalancingRules()),
	policy("AmazonEKSLoadBalancingPolicy", leaseRules()),
	policy("AmazonEKSNetworkingClusterPolicy", networkingRules()),
	policy("AmazonEKSNetworkingPolicy", leaseRules()),
	unpublished("AmazonEKSPodIdentityPolicy"),
	policy("AmazonEKSSecretAdminPolicy", []Rule{rule("", "secrets", own)}),
	policy("AmazonEKSSecretReaderPolicy", []Rule{rule("", "secrets", view)}),
	policy("AmazonEKSViewPolicy", viewRules()),
	policy("AmazonEMRJobPolicy", emrRules()),
	unpublished("AmazonSagemakerHyperpodClusterPolicy"),
	unpublished("AmazonSagemakerHyperpodControllerPolicy"),
	unpublished("AmazonSagemakerHyperpodSpacePolicy"),
	unpublished("AmazonSagemakerHyperpodSpaceTemplatePolicy"),
	unpublished("AmazonSagemakerHyperpodSystemNamespacePolicy"),
	unpublished("AmazonSagemakerHyperpodUserClusterPolicy"),
}

var byName = func() map[string]int {
	m := map[string]int{}
	for i, p := range policies {
		m[p.Name] = i
	}
	return m
}()

func policy(name string, rules []Rule) Policy {
	return Policy{Name: name, ARN: arnPrefix + name, Rules: rules}
}

func unpublished(name string) Policy {
	return Policy{Name: name, ARN: arnPrefix + name, Unpublished: true}
}

func reserved(name string, rules []Rule) Policy {
	p := policy(name, rules)
	p.Reserved = true
	return p
}

func hidden(name string, rules []Rule) Policy {
	p := reserved(name, rules)
	p.Hidden = true
	return p
}

// rule takes a group ("" is the core group), and resources and verbs separated by spaces.
func rule(group, resources, verbs string) Rule {
	return Rule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// named is a rule for some objects only.
func named(group, resources, names, verbs string) Rule {
	r := rule(group, resources, verbs)
	r.ResourceNames = strings.Fields(names)
	return r
}

func paths(urls, verbs string) Rule {
	return Rule{NonResourceURLs: strings.Fields(urls), Verbs: strings.Fields(verbs)}
}

// viewRules reads what is in a namespace, without Secrets, RBAC and what reaches into a pod.
func viewRules() []Rule {
	return []Rule{
		rule("", "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "+
			"persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale "+
			"replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status", view),
		rule("apps", "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "+
			"replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status", view),
		rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", view),
		rule("batch", "cronjobs cronjobs/status jobs jobs/status", view),
		rule("discovery.k8s.io", "endpointslices", view),
		rule("extensions", "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "+
			"networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale", view),
		rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", view),
		rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", view),
	}
}

// editRules adds changes, Secrets, and pods from the inside.
func editRules() []Rule {
	return slices.Concat(viewRules(), []Rule{
		rule("", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", view),
		rule("", "pods pods/attach pods/exec pods/portforward pods/proxy", write),
		rule("", "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "+
			"serviceaccounts services services/proxy", write),
		rule("", "serviceaccounts", "impersonate"),
		rule("apps", "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "+
			"statefulsets statefulsets/scale", write),
		rule("autoscaling", "horizontalpodautoscalers", write),
		rule("batch", "cronjobs jobs", write),
		rule("extensions", "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "+
			"replicasets replicasets/scale replicationcontrollers/scale", write),
		rule("networking.k8s.io", "ingresses networkpolicies", write),
		rule("policy", "poddisruptionbudgets", write),
	})
}

// adminRules adds who may do what in the namespace.
func adminRules() []Rule {
	return slices.Concat(editRules(), []Rule{
		rule("authorization.k8s.io", "localsubjectaccessreviews", "create"),
		rule("rbac.authorization.k8s.io", "rolebindings roles", own),
	})
}
