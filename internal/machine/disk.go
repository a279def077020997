package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"ekster.dev/ekster/internal/process"
)

func diskImage(dir string) string { return filepath.Join(dir, "disk.img") }

// DaemonLog is the file in which a machine keeps what one of its daemons says. On a volume
// of its own it can be read only as long as the machine runs: nobody else has it mounted.
func DaemonLog(dir, name string) (string, error) {
	file := filepath.Join("var", "log", filepath.Base(name)+".log")
	p, running, err := process.Find(dir, initName)
	if err != nil || !running {
		return filepath.Join(dir, "disk", file), err
	}
	return filepath.Join("/proc", strconv.Itoa(p.PID), "root", file), nil
}

// DiskSupport tells why this host cannot give instances a volume of their own:
// it has no loop devices, or no mkfs.ext4. Config.DiskGiB has to be 0 then.
func DiskSupport() error {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("no loop devices: %w", err)
	}
	_, err := exec.LookPath("mkfs.ext4")
	return err
}

// ensureDisk makes the image of the root volume, an ext4 file system that
// takes up room on the host only as it fills.
func ensureDisk(ctx context.Context, c Config) error {
	if c.DiskGiB == 0 {
		return nil
	}
	image := diskImage(c.Dir)
	if _, err := os.Stat(image); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := image + ".new"
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(fresh, int64(c.DiskGiB)<<30); err != nil {
		return err
	}
	// A small journal and few blocks set aside: neither is of use to a volume
	// that lives as long as its instance.
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=16", "-L", "/",
		"-E", "lazy_itable_init=1,lazy_journal_init=1", fresh)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mkfs, err, bytes.TrimSpace(out))
	}
	return os.Rename(fresh, image)
}
