package controlplane

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// eksPlugins are the admission plugins that EKS's guide says are on.
var eksPlugins = []string{
	"NodeRestriction", "ExtendedResourceToleration", "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "TaintNodesByCondition", "PodSecurity", "Priority",
	"DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval",
	"CertificateSigning", "CertificateSubjectRestriction", "DefaultIngressClass", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook", "ResourceQuota",
	"ValidatingAdmissionPolicy",
}

// TestAdmission looks at what the API server lets in: by the list of its plugins in its log, and
// by what some of them do.
func TestAdmission(t *testing.T) {
	cfg, planes := testConfig(t)
	boot(t, planes, cfg)
	api := admin(t, cfg)
	api.want("/api/v1/namespaces/default/serviceaccounts/default", 200, startup)

	t.Run("plugins", func(t *testing.T) {
		log, err := os.ReadFile(filepath.Join(cfg.Dir, logFile))
		if err != nil {
			t.Fatal(err)
		}
		var loaded []string
		for _, m := range regexp.MustCompile(`Loaded \d+ (?:mutating|validating) admission controller\(s\) successfully in the following order: ([A-Za-z,]+)`).FindAllStringSubmatch(string(log), -1) {
			loaded = append(loaded, strings.Split(m[1], ",")...)
		}
		for _, want := range eksPlugins {
			if !slices.Contains(loaded, want) {
				t.Errorf("%s is not among %v", want, loaded)
			}
		}
		if slices.Contains(loaded, "AlwaysPullImages") {
			t.Error("AlwaysPullImages is on")
		}
	})

	post := func(path string, what object, code int, says ...string) {
		t.Helper()
		got, answer := api.do(http.MethodPost, path, what)
		message, _ := answer["message"].(string)
		if got != code {
			t.Errorf("POST %s answers %d %s, want %d", path, got, message, code)
		}
		for _, s := range says {
			if !strings.Contains(message, s) {
				t.Errorf("POST %s says %s, want %s", path, message, s)
			}
		}
	}
	namespace := func(name string, labels object) {
		t.Helper()
		post("/api/v1/namespaces", object{"metadata": object{"name": name, "labels": labels}}, 201)
		api.want("/api/v1/namespaces/"+name+"/serviceaccounts/default", 200, startup) // or pods are refused for its want
	}
	pod := func(name string, container object) object {
		container["name"], container["image"] = "c", "none"
		return object{"metadata": object{"name": name}, "spec": object{"containers": []object{container}}}
	}
	privileged := func(name string) object { return pod(name, object{"securityContext": object{"privileged": true}}) }
	careful := object{
		"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": object{"drop": []string{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"},
	}

	t.Run("Pod Security", func(t *testing.T) {
		namespace("strict", object{"pod-security.kubernetes.io/enforce": "restricted"})
		namespace("middling", object{"pod-security.kubernetes.io/enforce": "baseline"})
		namespace("free", object{})
		post("/api/v1/namespaces/strict/pods", privileged("p"), 403, `pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged`,
			`container "c" must not set securityContext.privileged=true`, "runAsNonRoot != true")
		post("/api/v1/namespaces/strict/pods", pod("plain", object{}), 403, `violates PodSecurity "restricted:latest"`)
		post("/api/v1/namespaces/strict/pods", pod("careful", object{"securityContext": careful}), 201)
		post("/api/v1/namespaces/middling/pods", privileged("p"), 403, `violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`)
		post("/api/v1/namespaces/middling/pods", pod("plain", object{}), 201)
		post("/api/v1/namespaces/free/pods", privileged("p"), 201) // EKS's default is privileged
	})
	t.Run("LimitRanger and ResourceQuota", func(t *testing.T) {
		namespace("small", object{})
		post("/api/v1/namespaces/small/limitranges", object{"metadata": object{"name": "l"}, "spec": object{"limits": []object{
			{"type": "Container", "default": object{"cpu": "100m"}, "defaultRequest": object{"cpu": "50m"}}}}}, 201)
		post("/api/v1/namespaces/small/resourcequotas", object{"metadata": object{"name": "q"}, "spec": object{"hard": object{"pods": "1"}}}, 201)
		if !eventually(startup, func() bool {
			_, q := api.get("/api/v1/namespaces/small/resourcequotas/q")
			status, _ := q["status"].(map[string]any)
			return status["hard"] != nil
		}) {
			t.Fatal("nobody counts for the quota")
		}
		post("/api/v1/namespaces/small/pods", pod("first", object{}), 201)
		got := api.want("/api/v1/namespaces/small/pods/first", 200, 5*time.Second)
		if text := string(mustJSON(got["spec"])); !strings.Contains(text, `"cpu": "50m"`) || !strings.Contains(text, `"cpu": "100m"`) {
			t.Errorf("without defaults: %s", text)
		}
		post("/api/v1/namespaces/small/pods", pod("second", object{}), 403, `pods "second" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`)
	})
	t.Run("DefaultStorageClass", func(t *testing.T) {
		post("/apis/storage.k8s.io/v1/storageclasses", object{"metadata": object{"name": "std", "annotations": object{"storageclass.kubernetes.io/is-default-class": "true"}},
			"provisioner": "none"}, 201)
		claim := object{"metadata": object{"name": "data"}, "spec": object{"accessModes": []string{"ReadWriteOnce"}, "resources": object{"requests": object{"storage": "1Gi"}}}}
		post("/api/v1/namespaces/default/persistentvolumeclaims", claim, 201)
		got := api.want("/api/v1/namespaces/default/persistentvolumeclaims/data", 200, 5*time.Second)
		if spec, _ := got["spec"].(map[string]any); spec["storageClassName"] != "std" {
			t.Errorf("the claim has %v", spec)
		}
	})
}
