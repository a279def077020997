// Package durable writes files that are read after a crash.
//
// Who reads one finds the old or the new content, never a part, also after a power loss:
// without the sync a renamed file may be there and be empty. It reads nothing: what a
// file means that somebody else has torn is for its owner to say.
package durable

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile writes a file that only its owner may read, whole or not at all, and durably.
func WriteFile(file string, data []byte) (err error) {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-*") // mode 0600
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

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
