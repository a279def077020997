package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// started is a state directory as daemons leave it.
func started(t *testing.T) Dir {
	t.Helper()
	d := Dir(filepath.Join(t.TempDir(), "state"))
	if err := d.Claim(); err != nil {
		t.Fatal(err)
	}
	s, err := d.settingsFor(0, "", alone)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.keep(s); err != nil {
		t.Fatal(err)
	}
	for _, name := range contents {
		put(t, d, name)
	}
	return d
}

// put makes a file, or a directory with one, unless it is there.
func put(t *testing.T, d Dir, name string) {
	t.Helper()
	path := d.join(name)
	if filepath.Ext(name) == "" {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(path, "file")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestPurgeDeletesTheStateDirectory(t *testing.T) {
	d := started(t)
	if left, err := d.Purge(); err != nil || left != nil {
		t.Fatal(left, err)
	}
	if _, err := os.Stat(string(d)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := d.Purge(); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A kill -9 in the middle of a write leaves a file that is in nobody's way.
func TestWritesThatWereKilled(t *testing.T) {
	d := started(t)
	for _, name := range []string{".config.json-1", ".root-credentials.json-22", ".metadata-key.json-333"} {
		put(t, d, name)
	}
	if err := d.Claim(); err != nil {
		t.Error(err)
	}
	put(t, d, ".thesis.txt-1")
	if left, err := d.Purge(); err != nil || !slices.Equal(left, []string{".thesis.txt-1"}) {
		t.Error(left, err)
	}
	if err := d.Claim(); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody's: %v", err)
	}
	d = Dir(filepath.Join(t.TempDir(), "first"))
	if err := os.MkdirAll(d.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".config.json-1", "run/.daemon.json-22"} {
		put(t, d, name)
	}
	if err := d.Claim(); err != nil {
		t.Errorf("the start after one that was killed: %v", err)
	}
	if left, err := d.Purge(); err != nil || left != nil {
		t.Errorf("left %v, %v", left, err)
	}
}

// Somebody may have started a daemon in a directory that holds more.
func TestPurgeLeavesWhatIsNotOurs(t *testing.T) {
	d := started(t)
	put(t, d, "thesis.txt")
	if left, err := d.Purge(); err != nil || !slices.Equal(left, []string{"thesis.txt"}) {
		t.Error(left, err)
	}
	if left, err := d.Purge(); !errors.Is(err, ErrNotOurs) {
		t.Errorf("again: %v, %v", left, err)
	}
}

func TestPurgeAfterAStartThatFailed(t *testing.T) {
	d := Dir(t.TempDir())
	for _, name := range []string{"instances", "clusters", "tls", "run", "log"} {
		if err := os.Mkdir(d.join(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"run/daemon.json", "run/lock", "log/daemon.log"} {
		put(t, d, name+".")
		if err := os.Rename(d.join(name+"."), d.join(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Claim(); err != nil {
		t.Errorf("a second start: %v", err)
	}
	if _, err := d.Purge(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(string(d)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestClaimRefusesWhatIsNotOurs(t *testing.T) {
	d := Dir(t.TempDir())
	put(t, d, "run")
	if err := d.Claim(); err != nil {
		t.Errorf("the rest of a start: %v", err)
	}
	put(t, d, "etcd")
	if err := d.Claim(); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody's etcd: %v", err)
	}
	if err := os.WriteFile(d.join(settingsFile), []byte(`{"auths":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Claim(); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody's settings: %v", err)
	}
	if err := d.NextEpoch(); !errors.Is(err, ErrNotOurs) {
		t.Errorf("an epoch in somebody's settings: %v", err)
	}
}

// Who has started the daemon by sudo can read what `ekster env` reads, and nothing else.
func TestOpenTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives a file away")
	}
	d := started(t)
	if err := d.openTo(Owner{UID: 65534, GID: 65534}); err != nil {
		t.Fatal(err)
	}
	if err := d.NextEpoch(); err != nil { // which writes the settings again
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		"": 0o711, settingsFile: 0o644, credentialsFile: 0o600, "metadata-key.json": 0o600, "registry": 0o700, "etcd": 0o700, "clusters": 0o700, "run": 0o700,
	} {
		fi, err := os.Stat(d.join(name))
		if err != nil {
			t.Fatal(err)
		}
		owner := uint32(0)
		if name == credentialsFile {
			owner = 65534
		}
		if fi.Mode().Perm() != want || fi.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%q is %s, of %d", name, fi.Mode(), fi.Sys().(*syscall.Stat_t).Uid)
		}
	}
}
