package clusterauth

import (
	"net"
	"os"
	"strings"
	"testing"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestOpenClose(t *testing.T) {
	w := newWorld(t)
	again, err := w.auth.Open(arnC1)
	if err != nil || again != w.socket {
		t.Errorf("a second Open returns %s, %v; the first returned %s", again, err, w.socket)
	}
	other, err := w.auth.Open(arnC2)
	if err != nil || other == w.socket {
		t.Errorf("another cluster's socket is %s, %v", other, err)
	}
	if mode := info(t, w.socket).Mode(); mode.Perm() != 0o600 || mode.Type() != os.ModeSocket {
		t.Errorf("the socket's mode is %v", mode)
	}
	for range 2 {
		w.auth.Close(arnC2)
		if _, err := os.Stat(other); err == nil {
			t.Error("the socket is there after Close")
		}
	}
	if !w.as(w.root).Authenticated {
		t.Error("closing one cluster closes another")
	}
}

// What a killed daemon leaves behind is in nobody's way, be it a socket or not.
func TestStaleSocket(t *testing.T) {
	w := newWorld(t)
	w.auth.Close(arnC1)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.socket})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	info(t, w.socket)
	if again, err := w.auth.Open(arnC1); err != nil || again != w.socket {
		t.Fatalf("Open returns %s, %v", again, err)
	}
	if !w.as(w.root).Authenticated {
		t.Errorf("nobody gets in: %s", w.log)
	}
}

func TestSocketPathTooLong(t *testing.T) {
	a := New(Config{Dir: "/" + strings.Repeat("x", 100)})
	if s, err := a.Open(arnC1); err == nil {
		t.Errorf("Open returns %s, which no listener takes", s)
	}
}

// Two clusters of one name in two regions have nothing in common; a token does not tell them
// apart, as on AWS, but the principal's entry does.
func TestClusterOfTheSameName(t *testing.T) {
	w := newWorld(t)
	alice, key := w.user("alice")
	w.entry(resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD"})
	if !w.as(key).Authenticated {
		t.Fatalf("alice does not get in: %s", w.log)
	}
	const elsewhere = "arn:aws:eks:eu-west-1:" + account + ":cluster/c1"
	w.cluster(elsewhere, "c1", "API")
	if s := w.auth.authenticate(t.Context(), elsewhere, w.token(key, "c1", front)); s.Authenticated {
		t.Error("alice gets into another cluster by the entry of this one")
	}
}

// A record may go before its API server does.
func TestDeletedCluster(t *testing.T) {
	w := newWorld(t)
	token := w.token(w.root, "c1", front)
	w.update(func(tx *store.Tx) { tx.Clusters.Delete(arnC1) })
	if w.login(token).Authenticated {
		t.Error("somebody gets into a cluster that is no more")
	}
}

func info(t *testing.T, path string) os.FileInfo {
	t.Helper()
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}
