package controlplane

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// daemon is the webhooks' server: who a token is, and what they may read.
type daemon struct {
	mu        sync.Mutex
	tokens    map[string]string // token to user
	reads     map[string]string // user to the resource that a policy lets them read
	groups    map[string]string // user to group, "people" if none
	asked     []string          // users that access was asked for
	resources []string          // the same with the resource
}

// serve runs the daemon's side of the socket until stop is called.
func (d *daemon) serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /authenticate", d.authenticate)
	mux.HandleFunc("POST /authorize", d.authorize)
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	return sync.OnceFunc(func() { server.Close(); <-done })
}

func (d *daemon) authenticate(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct{ Token string }
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	user, ok := d.tokens[review.Spec.Token]
	group := d.groups[user]
	d.mu.Unlock()
	status := object{"authenticated": ok}
	if ok {
		status["user"] = object{"username": user, "groups": []string{cmp.Or(group, "people")}}
	}
	answer(w, object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}

func (d *daemon) authorize(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			User               string
			ResourceAttributes struct{ Verb, Resource string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked := review.Spec.ResourceAttributes
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, review.Spec.User)
	d.resources = append(d.resources, review.Spec.User+" "+asked.Resource)
	allowed := asked.Resource != "" && d.reads[review.Spec.User] == asked.Resource && asked.Verb == "list"
	answer(w, object{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": object{"allowed": allowed},
	})
}

func answer(w http.ResponseWriter, v object) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(mustJSON(v))
}

func (d *daemon) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func TestWebhooks(t *testing.T) {
	cfg, planes := testConfig(t)
	boot(t, planes, cfg) // without a daemon
	someone := bearer(t, cfg, "token-of-ada")
	const namespaces, pods, secrets = "/api/v1/namespaces", "/api/v1/pods", "/api/v1/secrets"
	if code, _ := someone.get(namespaces); code != http.StatusUnauthorized {
		t.Fatalf("without a daemon a token is answered %d, want 401", code)
	}

	d := &daemon{tokens: map[string]string{"token-of-ada": "ada"}, reads: map[string]string{"ada": "namespaces"}, groups: map[string]string{}}
	stop := d.serve(t, cfg.AuthSocket)
	someone.want(namespaces, 200, 5*time.Second) // by access policy
	someone.want(pods, 403, 5*time.Second)       // by neither

	admin(t, cfg).do(http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", object{
		"metadata": object{"name": "people-view"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
		"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "people"}},
	})
	someone.want(pods, 200, 5*time.Second) // by RBAC
	someone.want(secrets, 403, 5*time.Second)

	stop()
	stop = d.serve(t, cfg.AuthSocket) // a restarted daemon is found again
	someone.want(namespaces, 200, 5*time.Second)

	// What is taken away is gone within about a second.
	d.set(func() { d.reads["ada"] = "secrets" })
	someone.want(secrets, 200, 3*time.Second)
	d.set(func() { delete(d.tokens, "token-of-ada") })
	someone.want(namespaces, 401, 3*time.Second)
	d.set(func() { d.tokens["token-of-ada"] = "ada" })
	someone.want(namespaces, 200, 3*time.Second)

	// A node may have one, and is asked for where the node authorizer has no opinion.
	const node = "system:node:ip-10-0-1-2.ec2.internal"
	d.set(func() {
		d.tokens["token-of-a-node"], d.groups[node], d.reads[node] = node, "system:nodes", "namespaces"
	})
	machine := bearer(t, cfg, "token-of-a-node")
	machine.want(namespaces, 200, 5*time.Second)
	machine.want("/api/v1/services", 200, 5*time.Second) // every node lists them, and nobody else is asked
	d.set(func() { delete(d.reads, node) })
	machine.want(namespaces, 403, 3*time.Second)
	d.set(func() {
		if slices.Contains(d.resources, node+" services") || !slices.Contains(d.resources, node+" namespaces") {
			t.Errorf("access was asked for %q", d.resources)
		}
	})

	// Components and service accounts cannot have access policies, and are not asked for.
	d.set(func() {
		if !slices.Contains(d.asked, "ada") || slices.ContainsFunc(d.asked, func(u string) bool { return u != node && strings.HasPrefix(u, "system:") }) {
			t.Errorf("access was asked for %q", d.asked)
		}
	})

	stop() // no daemon: access policies have no opinion, certificates work on
	admin(t, cfg).want(namespaces, 200, 5*time.Second)
	someone.want(namespaces, 401, 5*time.Second)
}
