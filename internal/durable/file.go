// Package durable writes files that are read after a crash.
//
// Who reads one finds the old or the new content, never a part, also after a power loss:
// without the sync a renamed file may be there and be empty. It reads nothing: what a
// file means that somebody else has torn is for its owner to say.
//
// A write that is killed leaves a file beside the one that it was to become. It is of no use to anybody, and for
// the owner of the directory, who knows whether somebody is writing, to take away: Unfinished tells it.
package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile writes a file that only its owner may read, whole or not at all, and durably.
func WriteFile(file string, data []byte) (err error) {
	dir := filepath.Dir(file)
	tmp, err := create(file)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
			err = fmt.Errorf("writing %s: %w", file, err)
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

// create makes the file, of mode 0600, that is to become file.
func create(file string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
}

// Unfinished says of which file in the same directory a name is an unfinished write.
func Unfinished(name string) (file string, ok bool) {
	i := strings.LastIndex(name, "-")
	if i < 2 || name[0] != '.' || name[i+1:] == "" || strings.Trim(name[i+1:], "0123456789") != "" {
		return "", false
	}
	return name[1:i], true
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
