package cli

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/daemon"
)

// invoker is the user who has run this by sudo; false if nobody has, or root.
func invoker() (daemon.Owner, bool) {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, gerr := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil || gerr != nil || uid <= 0 || os.Geteuid() != 0 {
		return daemon.Owner{}, false
	}
	return daemon.Owner{UID: uid, GID: gid}, true
}

// asInvoker calls f with the home of the user who is meant: who has run this by sudo, with
// whose rights f then uses files, or whoever runs it. Root's would follow a link of theirs
// to anywhere, and would leave files that they cannot write.
func asInvoker(f func(home string) error) error {
	who, ok := invoker()
	if !ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		return f(home)
	}
	u, err := user.LookupId(strconv.Itoa(who.UID))
	if err != nil {
		return fmt.Errorf("the home of the user who runs sudo: %w", err)
	}
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and nobody else gets its rights.
		runtime.LockOSThread()
		done <- func() error {
			// Once it is done the second call changes nothing and returns what is so.
			for _, set := range []func() (int, error){
				func() (int, error) { return unix.SetfsgidRetGid(who.GID) },
				func() (int, error) { return unix.SetfsgidRetGid(-1) },
				func() (int, error) { return unix.SetfsuidRetUid(who.UID) },
			} {
				if _, err := set(); err != nil {
					return err
				}
			}
			if now, err := unix.SetfsuidRetUid(-1); err != nil || now != who.UID {
				return errors.Join(err, fmt.Errorf("files are not used as user %d", who.UID))
			}
			return f(u.HomeDir)
		}()
	}()
	return <-done
}
