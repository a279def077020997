package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/durable"
)

// ErrNotOurs says that a directory holds somebody else's files: nothing is written to it
// and nothing deleted in it.
var ErrNotOurs = errors.New("is not a state directory of Ekster")

// settingsFile is what makes a directory ours.
const settingsFile = "config.json"

const credentialsFile = "root-credentials.json"

// contents are the names in a state directory in the order in which they are deleted. The
// settings go last: by them a purge that was cut off is known and finished.
var contents = []string{
	"instances", "clusters", "etcd", "registry", "tls", "log", "run",
	"issuer-host.json", "metadata-key.json", credentialsFile, settingsFile,
}

// beforeSettings are the files that may be there before the settings: a start that failed
// leaves them. Of the settings themselves it leaves what was to become them.
var beforeSettings = []string{settingsFile, "run/lock", "run/daemon.json", "run/daemon.sock", "log/daemon.log", "log/daemon.log.1"}

var prefixPattern = regexp.MustCompile(`^ek[0-9a-f]{4}$`)

// finished is the name of the file that an unfinished write, killed, was to become, and of other files their own.
func finished(name string) string {
	dir, base := filepath.Split(name)
	if of, ok := durable.Unfinished(base); ok {
		return dir + of
	}
	return name
}

// check refuses settings that no daemon has written: any file of that name is JSON, too.
func (s Settings) check() error {
	switch {
	case !prefixPattern.MatchString(s.Prefix):
		return fmt.Errorf("prefix %q", s.Prefix)
	case CheckAccount(s.Account) != nil:
		return fmt.Errorf("account %q", s.Account)
	case !s.Loopback.IsValid() || !s.Loopback.Addr().Is4() || !s.Loopback.Addr().IsLoopback() || s.Loopback.Bits() != 16:
		return fmt.Errorf("loopback %q", s.Loopback)
	}
	return nil
}

// CheckAccount refuses what is no id of an account.
func CheckAccount(id string) error {
	if len(id) != 12 || strings.Trim(id, "0123456789") != "" {
		return fmt.Errorf("%w, not %q", errAccountID, id)
	}
	return nil
}

// Claim makes the directory unless it is there, and fails with ErrNotOurs if what is there
// is somebody else's: whoever starts on it comes here before writing anything.
func (d Dir) Claim() error {
	_, err := d.Settings()
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(string(d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			// A file system of its own has lost+found; images may be loaded before the first start.
			if n := e.Name(); n != "lost+found" && finished(n) != settingsFile && !slices.Contains([]string{"instances", "clusters", "registry", "tls", "log", "run"}, n) {
				return fmt.Errorf("%s %w, and not empty: it holds %s", d, ErrNotOurs, n)
			}
		}
		// What is above it is not ours to close.
		if err := os.MkdirAll(filepath.Dir(string(d)), 0o755); err != nil {
			return err
		}
		return os.MkdirAll(string(d), 0o700)
	}
	return err
}

// An Owner is somebody on this host.
type Owner struct{ UID, GID int }

// openTo lets somebody read the settings and the root user's key, and nothing else: the
// directory can be gone through and not be listed, and what else is in it stays root's.
func (d Dir) openTo(who Owner) error {
	return errors.Join(
		os.Lchown(d.join(credentialsFile), who.UID, who.GID),
		os.Chmod(d.join(settingsFile), 0o644),
		os.MkdirAll(d.Registry(), 0o700), // which its own package lets everybody read
		os.Chmod(d.Registry(), 0o700),
		os.Chmod(string(d), 0o711),
	)
}

// Purge deletes the directory, and returns what it has left since it is not Ekster's. The
// error is ErrNotOurs, and nothing is deleted, unless a daemon has been started on it.
func (d Dir) Purge() (left []string, err error) {
	_, err = d.Settings()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.purgeFailedStart()
	}
	if err != nil {
		return nil, err
	}
	if err := d.removeUnfinished(); err != nil {
		return nil, err
	}
	for _, name := range contents {
		if err := os.RemoveAll(d.join(name)); err != nil {
			return nil, err
		}
	}
	err = os.Remove(string(d))
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) { // busy: it is a mount point
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	for _, e := range entries {
		left = append(left, e.Name())
	}
	return left, err
}

// removeUnfinished deletes what writes that were killed have left of the files in the directory
// itself: a part of the root user's key may be among them.
func (d Dir) removeUnfinished() error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := finished(e.Name()); n == e.Name() || e.IsDir() || !slices.Contains(contents, n) {
			continue
		}
		if err := os.Remove(d.join(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// purgeFailedStart deletes a directory that no daemon has come to write its settings to: if
// there is nothing in it but what a start leaves before that.
func (d Dir) purgeFailedStart() error {
	var all []string
	err := filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, string(d)), "/")
		if ours := name == "" || e.IsDir() && slices.Contains(contents, name) || !e.IsDir() && slices.Contains(beforeSettings, finished(name)); !ours {
			return fmt.Errorf("%s %w: it holds %s", d, ErrNotOurs, name)
		}
		all = append(all, path)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(all) {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
