package addon

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/internal/resource"
)

func quantities(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: apiresource.MustParse(cpu), corev1.ResourceMemory: apiresource.MustParse(memory), corev1.ResourcePods: apiresource.MustParse("110"),
	}
}

// edit changes an object as a user with kubectl does.
func (w *world) edit(kind, name, patch string) {
	w.t.Helper()
	var err error
	o := metav1.PatchOptions{FieldManager: "kubectl-edit"}
	switch kind {
	case "ConfigMap":
		_, err = w.kube.CoreV1().ConfigMaps("kube-system").Patch(w.t.Context(), name, types.StrategicMergePatchType, []byte(patch), o)
	case "Deployment":
		_, err = w.kube.AppsV1().Deployments("kube-system").Patch(w.t.Context(), name, types.StrategicMergePatchType, []byte(patch), o)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) corefile() string {
	w.t.Helper()
	m, err := w.kube.CoreV1().ConfigMaps("kube-system").Get(w.t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Data["Corefile"]
}

func (w *world) replicas() int32 {
	w.t.Helper()
	d, err := w.kube.AppsV1().Deployments("kube-system").Get(w.t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return *d.Spec.Replicas
}

func issue(t *testing.T, a resource.Addon, code, message string) {
	t.Helper()
	if len(a.Status.Issues) != 1 || a.Status.Issues[0].Code != code || a.Status.Issues[0].Message != message {
		t.Errorf("issues %+v\nwant %s: %s", a.Status.Issues, code, message)
	}
}

// The self-managed coredns becomes an add-on, whose fields are EKS's or a user's, and whose
// health is that of its pods.
func TestLifeOfCoreDNS(t *testing.T) {
	w := newWorld(t)
	w.edit("ConfigMap", "coredns", `{"data":{"Corefile":"mine"}}`)
	w.create("coredns", func(s *resource.AddonSpec) { s.Configuration = `{"replicaCount":3}` })
	a := w.becomes("coredns", resource.AddonCreateFailed)
	issue(t, a, "ConfigurationConflict", "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts:\n"+
		"ConfigMap coredns - .data.Corefile\nDeployment.apps coredns - .spec.replicas")
	if w.corefile() != "mine" || w.replicas() != 2 {
		t.Errorf("a create that failed has changed something: Corefile %q, %d replicas", w.corefile(), w.replicas())
	}
	w.remove("coredns", false)
	w.gone("coredns")

	// Taken over. Without nodes there are no replicas.
	w.create("coredns", func(s *resource.AddonSpec) { s.ResolveConflicts = "OVERWRITE" })
	a = w.becomes("coredns", resource.AddonDegraded)
	issue(t, a, "InsufficientNumberOfReplicas", replicasText)
	if !strings.HasPrefix(w.corefile(), ".:53 {") {
		t.Errorf("Corefile %q", w.corefile())
	}
	w.node()
	w.eventually("coredns is ACTIVE", func() bool {
		w.kubelet()
		a, _ = w.addon("coredns")
		return a.Current() == resource.AddonActive && len(a.Status.Issues) == 0
	}, func() string { return a.Status.Waiting })

	t.Run("a configuration takes effect", func(t *testing.T) {
		id := w.change("coredns", "NONE", `{"replicaCount":3,"podDisruptionBudget":{"enabled":false}}`)
		if a, _ := w.addon("coredns"); a.Current() != resource.AddonUpdating {
			t.Errorf("state %s", a.Current())
		}
		w.eventually("the update ends", func() bool {
			w.kubelet()
			a, _ = w.addon("coredns")
			return a.Current() == resource.AddonActive
		}, func() string { return a.Status.Waiting })
		if u := w.ends(id); u.State != resource.UpdateSuccessful || u.Ended.IsZero() {
			t.Errorf("update %+v", u)
		}
		if w.replicas() != 3 {
			t.Errorf("%d replicas", w.replicas())
		}
		_, err := w.kube.PolicyV1().PodDisruptionBudgets("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("what the configuration has no more is still there: %v", err)
		}
	})
	t.Run("a user's field", func(t *testing.T) {
		w.edit("Deployment", "coredns", `{"spec":{"replicas":1}}`)
		u := w.ends(w.change("coredns", "NONE", `{"replicaCount":2}`))
		const text = conflictText + "Deployment.apps coredns - .spec.replicas"
		if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "ConfigurationConflict" || u.Errors[0].Message != text {
			t.Errorf("update %+v", u)
		}
		issue(t, w.becomes("coredns", resource.AddonUpdateFailed), "ConfigurationConflict", text)
		for _, f := range []struct {
			mode string
			want int32
		}{{"PRESERVE", 1}, {"OVERWRITE", 2}} {
			id := w.change("coredns", f.mode, `{"replicaCount":2}`)
			w.eventually(f.mode+" ends", func() bool {
				w.kubelet()
				a, _ = w.addon("coredns")
				return a.Current() == resource.AddonActive
			}, func() string { return a.Status.State + " " + a.Status.Waiting })
			if u := w.ends(id); u.State != resource.UpdateSuccessful || w.replicas() != f.want {
				t.Errorf("%s: %+v, %d replicas", f.mode, u, w.replicas())
			}
		}
	})
	t.Run("an update whose pods do not come", func(t *testing.T) {
		u := w.ends(w.change("coredns", "NONE", `{"replicaCount":2,"nodeSelector":{"no":"such"}}`))
		if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "InsufficientNumberOfReplicas" {
			t.Errorf("update %+v", u)
		}
		w.becomes("coredns", resource.AddonDegraded)
		id := w.change("coredns", "NONE", `{}`)
		w.eventually("coredns is ACTIVE", func() bool {
			w.kubelet()
			a, _ = w.addon("coredns")
			return a.Current() == resource.AddonActive
		}, func() string { return a.Status.Waiting })
		if u := w.ends(id); u.State != resource.UpdateSuccessful {
			t.Errorf("update %+v", u)
		}
	})
	t.Run("another version, and back", func(t *testing.T) {
		for _, f := range []struct {
			version string
			policy  *policyv1.UnhealthyPodEvictionPolicyType
		}{{"v1.13.2-eksbuild.2", new(policyv1.AlwaysAllow)}, {"v1.13.2-eksbuild.1", nil}} {
			id := w.move("coredns", f.version)
			w.eventually("coredns is ACTIVE", func() bool {
				w.kubelet()
				a, _ = w.addon("coredns")
				return a.Current() == resource.AddonActive
			}, func() string { return a.Status.Waiting })
			pdb, err := w.kube.PolicyV1().PodDisruptionBudgets("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
			if u := w.ends(id); err != nil || u.State != resource.UpdateSuccessful || !reflect.DeepEqual(pdb.Spec.UnhealthyPodEvictionPolicy, f.policy) {
				t.Errorf("%s: %+v, %v, budget %+v", f.version, u, err, pdb.Spec)
			}
		}
	})
	t.Run("a workload that somebody deletes", func(t *testing.T) {
		if err := w.kube.AppsV1().Deployments("kube-system").Delete(t.Context(), "coredns", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		issue(t, w.becomes("coredns", resource.AddonDegraded), "K8sResourceNotFound", "The add-on is unhealthy because a resource of it is not found: Deployment.apps coredns")
	})
	t.Run("deleted with its objects", func(t *testing.T) {
		w.remove("coredns", false)
		w.gone("coredns")
		if _, err := w.kube.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the ConfigMap is still there: %v", err)
		}
	})
}

func (w *world) gone(name string) {
	w.t.Helper()
	w.eventually(name+" is gone", func() bool { _, ok := w.addon(name); return !ok }, func() string {
		a, _ := w.addon(name)
		return a.Status.Waiting
	})
}

// DaemonSets have all their pods where there are no nodes; roles get to service accounts;
// what is preserved stays; and without its rights EKS can do nothing.
func TestDaemonSets(t *testing.T) {
	w := newWorld(t)
	w.create("vpc-cni", func(s *resource.AddonSpec) { s.ServiceRole = "arn:aws:iam::000000000000:role/cni" })
	w.create("kube-proxy", nil)
	w.becomes("vpc-cni", resource.AddonActive)
	w.becomes("kube-proxy", resource.AddonActive)
	account, err := w.kube.CoreV1().ServiceAccounts("kube-system").Get(t.Context(), "aws-node", metav1.GetOptions{})
	if err != nil || account.Annotations["eks.amazonaws.com/role-arn"] != "arn:aws:iam::000000000000:role/cni" {
		t.Errorf("annotations %v, %v", account.Annotations, err)
	}
	w.remove("vpc-cni", true)
	w.gone("vpc-cni")
	if _, err := w.kube.AppsV1().DaemonSets("kube-system").Get(t.Context(), "aws-node", metav1.GetOptions{}); err != nil {
		t.Errorf("what was to be preserved: %v", err)
	}
	w.create("vpc-cni", nil) // no conflict with what EKS itself has left
	w.becomes("vpc-cni", resource.AddonActive)

	w.create("metrics-server", func(s *resource.AddonSpec) { s.Namespace, s.Configuration = "observing", `{"replicas":0}` })
	w.becomes("metrics-server", resource.AddonActive)
	if _, err := w.kube.AppsV1().Deployments("observing").Get(t.Context(), "metrics-server", metav1.GetOptions{}); err != nil {
		t.Errorf("in a namespace of its own: %v", err)
	}

	if err := w.kube.RbacV1().ClusterRoleBindings().Delete(t.Context(), "eks:addon-cluster-admin", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var u resource.Update
	w.eventually("the update is denied", func() bool {
		u = w.ends(w.change("kube-proxy", "OVERWRITE", `{"podLabels":{"a":"b"}}`))
		return u.State == resource.UpdateFailed // RBAC takes a moment to forget
	}, func() string { return u.State })
	if len(u.Errors) != 1 || u.Errors[0].Code != "AccessDenied" {
		t.Errorf("update %+v", u)
	}
}
