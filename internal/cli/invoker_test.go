package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ekster.dev/ekster/internal/daemon"
)

// nobody is a user of every Debian.
const nobody = 65534

// bySudo plays that nobody runs the test by sudo.
func bySudo(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is what sudo makes one")
	}
	t.Setenv("SUDO_UID", strconv.Itoa(nobody))
	t.Setenv("SUDO_GID", strconv.Itoa(nobody))
}

func TestInvoker(t *testing.T) {
	bySudo(t)
	if who, ok := invoker(); !ok || who != (daemon.Owner{UID: nobody, GID: nobody}) {
		t.Error(who, ok)
	}
	for _, uid := range []string{"", "0", "-1", "root"} {
		t.Setenv("SUDO_UID", uid)
		if who, ok := invoker(); ok {
			t.Errorf("%q: %v", uid, who)
		}
	}
}

// What is written in a user's home by sudo is theirs, and is nothing that they could not write.
func TestFilesAreUsedAsTheInvoker(t *testing.T) {
	bySudo(t)
	home, err := os.MkdirTemp("/tmp", "ekster-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	s := state(t)
	creds, err := daemon.Dir(s).Credentials()
	if err != nil {
		t.Fatal(err)
	}
	a := &app{out: new(strings.Builder)}
	if err := asInvoker(func(string) error { return a.writeProfile(home, creds, "http://127.0.0.1:4600") }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".aws", ".aws/config", ".aws/credentials"} {
		fi, err := os.Stat(filepath.Join(home, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != nobody || st.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
	roots := filepath.Join(s, "config.json")
	if err := asInvoker(func(string) error { return os.WriteFile(roots, nil, 0o600) }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("writing a file of root's: %v", err)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "f"), nil, 0o600); err != nil {
		t.Errorf("root has lost its rights: %v", err)
	}
}
