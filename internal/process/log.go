package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// RotateLog keeps a log from growing for ever: one that is as long as most is copied to
// PATH.1, in the place of the one before, and begun anew. Its writers append (Spec.Log), and
// need not be told; what they write between the two steps is lost.
func RotateLog(path string, most int64) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() < most {
		return nil
	}
	if err == nil {
		err = copyFile(path, path+".1")
	}
	if err == nil {
		err = os.Truncate(path, 0)
	}
	if err != nil {
		return fmt.Errorf("rotating %s: %w", path, err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
