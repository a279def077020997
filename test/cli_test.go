package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/test/lab"
)

// shell runs the commands of a user.
type shell struct {
	t   *testing.T
	env []string
}

// TestMainJobCLI types the main job into the real aws CLI and kubectl.
func TestMainJobCLI(t *testing.T) {
	needsClusters(t)
	for tool, version := range map[string][]string{"aws": {"--version"}, "kubectl": {"version", "--client"}} {
		if out, err := exec.Command(tool, version...).CombinedOutput(); err != nil {
			t.Skipf("needs %s: %v %.100s", tool, err, out)
		}
	}
	watch := newStopwatch(t)
	d, _ := newDaemon(t)
	sh := newShell(t, d)
	sh.roles()
	a, b := sh.subnets()
	sh.run("aws", "eks", "create-cluster", "--name", clusterName, "--kubernetes-version", version,
		"--role-arn", "arn:aws:iam::000000000000:role/cluster", "--resources-vpc-config", "subnetIds="+a+","+b)
	// The CLI's waiter asks every 30 s: it is to find the cluster ACTIVE at its first question.
	sh.until("the cluster to be ACTIVE", "ACTIVE", "aws", "eks", "describe-cluster", "--name", clusterName, "--query", "cluster.status", "--output", "text")
	sh.run("aws", "eks", "wait", "cluster-active", "--name", clusterName)
	sh.run("aws", "eks", "update-kubeconfig", "--name", clusterName)
	watch.done("cluster")
	sh.run("aws", "eks", "create-nodegroup", "--cluster-name", clusterName, "--nodegroup-name", groupName, "--instance-types", "t3.medium",
		"--scaling-config", "minSize=2,maxSize=10,desiredSize=3", "--disk-size", "50", "--labels", "role=app", "--subnets", a, b,
		"--node-role", "arn:aws:iam::000000000000:role/node")
	sh.awaitNodes(3)
	nodes := sh.run("kubectl", "get", "nodes", "-o", "wide", "--show-labels")
	for _, want := range []string{"172.31.", "role=app", "node.kubernetes.io/instance-type=t3.medium", "topology.kubernetes.io/zone=us-west-2"} {
		if !strings.Contains(nodes, want) {
			t.Errorf("kubectl get nodes lacks %s:\n%s", want, nodes)
		}
	}
	sh.run("aws", "eks", "wait", "nodegroup-active", "--cluster-name", clusterName, "--nodegroup-name", groupName)
	watch.done("nodes")
	sh.run("kubectl", "create", "deployment", "web", "--image", helloImage, "--replicas", "4")
	sh.run("kubectl", "expose", "deployment", "web", "--port", "80", "--target-port", "8080")
	sh.run("kubectl", "rollout", "status", "deployment/web", "--timeout=120s")
	sh.run("kubectl", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	wantPage(t, sh.page(webURL), "pod:    web-")
	watch.done("workload")
	sh.run("aws", "eks", "update-nodegroup-config", "--cluster-name", clusterName, "--nodegroup-name", groupName, "--scaling-config", "desiredSize=5")
	sh.awaitNodes(5)
	watch.done("scaling")
	sh.run("aws", "eks", "delete-nodegroup", "--cluster-name", clusterName, "--nodegroup-name", groupName)
	sh.until("the node group to be gone", "[]", "aws", "eks", "list-nodegroups", "--cluster-name", clusterName, "--query", "nodegroups", "--output", "json")
	sh.run("aws", "eks", "delete-cluster", "--name", clusterName)
	sh.until("the cluster to be gone", "[]", "aws", "eks", "list-clusters", "--query", "clusters", "--output", "json")
	watch.done("deletion")
	purge(t, d)
	watch.done("purge")
}

// newShell is a shell after `eval "$(ekster env)"`, with a home of its own.
func newShell(t *testing.T, d *lab.Daemon) *shell {
	t.Helper()
	vars, err := d.Exports(t.Context())
	no(t, err)
	home := t.TempDir()
	sh := &shell{t: t, env: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "KUBECONFIG=" + filepath.Join(home, "kubeconfig")}}
	for k, v := range vars {
		sh.env = append(sh.env, k+"="+v)
	}
	// Shims of pyenv need to know where its versions are.
	for _, name := range []string{"PYENV_ROOT", "PYENV_VERSION"} {
		if v := os.Getenv(name); v != "" {
			sh.env = append(sh.env, name+"="+v)
		}
	}
	if real, err := os.UserHomeDir(); err == nil && os.Getenv("PYENV_ROOT") == "" {
		if root := filepath.Join(real, ".pyenv"); exists(root) {
			sh.env = append(sh.env, "PYENV_ROOT="+root)
		}
	}
	return sh
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs a command that is to succeed, and returns what it printed.
func (sh *shell) run(path string, argv ...string) string {
	sh.t.Helper()
	ctx, cancel := context.WithTimeout(sh.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := lab.Output(ctx, sh.env, path, argv...)
	no(sh.t, err)
	return out
}

// until repeats a command until it prints just this.
func (sh *shell) until(what, want, path string, argv ...string) {
	sh.t.Helper()
	no(sh.t, lab.Until(sh.t.Context(), lab.DeleteTimeout, what, func(ctx context.Context) (bool, string, error) {
		out, err := lab.Output(ctx, sh.env, path, argv...)
		return err == nil && strings.TrimSpace(out) == want, fmt.Sprint(out, err), nil
	}))
}

// page fetches a page in a pod. What a pod prints before kubectl is attached to it reaches nobody, here as anywhere:
// a run that says no word of the pod's is done again.
func (sh *shell) page(url string) string {
	sh.t.Helper()
	const runs = 5
	for i := range runs {
		out := sh.run("kubectl", "run", "probe", "--rm", "-i", "--image", helloImage, "--restart", "Never", "--", "get", url)
		if !strings.HasPrefix(out, `pod "probe" deleted`) {
			return out
		}
		sh.t.Logf("run %d: kubectl was attached too late", i+1)
	}
	sh.t.Fatalf("kubectl was attached too late %d times", runs)
	return ""
}

func (sh *shell) awaitNodes(n int) {
	sh.t.Helper()
	want := strings.TrimSpace(strings.Repeat("True ", n))
	sh.until(fmt.Sprint(n, " Ready nodes"), want, "kubectl", "get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`)
}

func (sh *shell) roles() {
	sh.t.Helper()
	for name, r := range map[string]struct {
		service  string
		policies []string
	}{
		"cluster": {"eks.amazonaws.com", []string{"AmazonEKSClusterPolicy"}},
		"node":    {"ec2.amazonaws.com", lab.NodePolicies},
	} {
		sh.run("aws", "iam", "create-role", "--role-name", name, "--assume-role-policy-document", *lab.Trust(r.service))
		for _, p := range r.policies {
			sh.run("aws", "iam", "attach-role-policy", "--role-name", name, "--policy-arn", "arn:aws:iam::aws:policy/"+p)
		}
	}
}

// subnets are two of the default VPC.
func (sh *shell) subnets() (a, b string) {
	sh.t.Helper()
	var ids []string
	out := sh.run("aws", "ec2", "describe-subnets", "--filters", "Name=default-for-az,Values=true", "--query", "Subnets[].SubnetId", "--output", "json")
	no(sh.t, json.Unmarshal([]byte(out), &ids))
	if len(ids) < 2 {
		sh.t.Fatalf("subnets %v", ids)
	}
	return ids[0], ids[1]
}
