package controlplane

import (
	"errors"
	"path/filepath"

	"ekster.dev/ekster/internal/process"
)

// Kinds of logs that EKS can be asked to write, as its API spells them, and that are files of
// their own. What the other kinds have (api, controllerManager, scheduler) stands together in
// control-plane.log, since their parts are one process.
const (
	LogAudit         = "audit"
	LogAuthenticator = "authenticator"
)

// LogFile is where a kind of log of the control plane in dir is, once there is anything in it.
func LogFile(dir, kind string) string {
	switch kind {
	case LogAudit, LogAuthenticator:
		return filepath.Join(dir, kind+".log")
	}
	return filepath.Join(dir, logFile)
}

// auditFlags have the API server write its audit log, and rotate it.
func auditFlags(cfg Config) []string {
	if !cfg.Audit {
		return nil
	}
	return []string{
		"--audit-policy-file=" + filepath.Join(cfg.Dir, auditPolicyFile),
		"--audit-log-path=" + LogFile(cfg.Dir, LogAudit),
		"--audit-log-maxsize=32", "--audit-log-maxbackup=1", // MiB, files
	}
}

// auditPolicy says how much of which request is written: nothing of what goes on all the time
// and changes nothing, no bodies of what may hold secrets, of other changes the whole, and of
// aws-auth above all, by which people get in.
func auditPolicy() object {
	group := func(name string, resources ...string) object { return object{"group": name, "resources": resources} }
	core := func(resources ...string) []object { return []object{group("", resources...)} }
	reads, writes := []string{"get", "list", "watch"}, []string{"create", "update", "patch", "delete", "deletecollection"}
	return object{
		"apiVersion": "audit.k8s.io/v1",
		"kind":       "Policy",
		"omitStages": []string{"RequestReceived"},
		"rules": []object{
			{"level": "RequestResponse", "namespaces": []string{"kube-system"}, "verbs": writes, "resources": []object{{"group": "", "resources": []string{"configmaps"}, "resourceNames": []string{"aws-auth"}}}},
			{"level": "None", "users": []string{"system:kube-proxy"}, "verbs": []string{"watch"}, "resources": core("endpoints", "services", "services/status")},
			{"level": "None", "userGroups": []string{"system:nodes"}, "verbs": []string{"get"}, "resources": core("nodes", "nodes/status")},
			{"level": "None", "resources": []object{group("coordination.k8s.io", "leases")}},
			{"level": "None", "nonResourceURLs": []string{"/healthz*", "/livez*", "/readyz*", "/version", "/swagger*", "/openapi*"}},
			{"level": "None", "resources": core("events")},
			{"level": "Metadata", "resources": append(core("secrets", "configmaps", "serviceaccounts/token"), group("authentication.k8s.io", "tokenreviews"))},
			{"level": "Request", "verbs": reads},
			{"level": "RequestResponse", "verbs": writes},
			{"level": "Metadata"},
		},
	}
}

// maxLog is how long control-plane.log and the authenticator's log become.
const maxLog = 16 << 20

// RotateLogs keeps what the control plane in dir has said from growing for ever.
func RotateLogs(dir string) error { return rotate(dir, maxLog) }

func rotate(dir string, most int64) error {
	return errors.Join(
		process.RotateLog(LogFile(dir, ""), most),
		process.RotateLog(LogFile(dir, LogAuthenticator), most),
	)
}
