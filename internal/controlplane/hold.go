package controlplane

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// held are a running process's listeners, held beside it: when the process is replaced or dies, they stay open, and
// who connects meanwhile waits for the next process instead of being refused.
type held struct {
	pid    int
	listen netip.AddrPort // the host's
	files  []*os.File     // the host's and, with a namespace, the guest's
}

func (h *held) close() {
	if h == nil {
		return
	}
	for _, f := range h.files {
		_ = f.Close() // a duplicate: nothing is lost with it
	}
}

// forNext are the listeners for the process that is started next, as distro/controlplane takes them. Those of another
// address than the wanted one are let go.
func (p *Planes) forNext(cfg Config) []*os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.held[cfg.Dir]
	if h == nil {
		return nil
	}
	if h.listen != cfg.Listen {
		h.close()
		delete(p.held, cfg.Dir)
		return nil
	}
	return h.files
}

// hold takes duplicates of the listeners of a process that is ready, once a process.
func (p *Planes) hold(cfg Config, pid int) error {
	p.mu.Lock()
	h := p.held[cfg.Dir]
	p.mu.Unlock()
	if h != nil && h.pid == pid {
		return nil
	}
	next := &held{pid: pid, listen: cfg.Listen}
	wanted := []netip.AddrPort{cfg.Listen}
	if cfg.Netns != "" {
		wanted = append(wanted, guestListen)
	}
	for _, at := range wanted {
		f, err := duplicate(pid, at)
		if err != nil {
			next.close()
			return fmt.Errorf("holding its listener %s: %w", at, err)
		}
		next.files = append(next.files, f)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[cfg.Dir].close()
	p.held[cfg.Dir] = next
	return nil
}

// letGo closes what is held of the control plane in dir.
func (p *Planes) letGo(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[dir].close()
	delete(p.held, dir)
}

var errNoListener = errors.New("the process has no such listener")

// duplicate returns a duplicate of the process's socket that listens on at. The sockets themselves are asked:
// /proc/net/tcp is that of the main thread's namespace, and Go may have left that thread in a guest's.
func duplicate(pid int, at netip.AddrPort) (*os.File, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	for _, path := range fds {
		if to, err := os.Readlink(path); err != nil || !strings.HasPrefix(to, "socket:") {
			continue // closed meanwhile, or something else
		}
		n, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return nil, err
		}
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if errors.Is(err, unix.EBADF) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if listens(fd, at) {
			return os.NewFile(uintptr(fd), at.String()), nil
		}
		if err := unix.Close(fd); err != nil {
			return nil, err
		}
	}
	return nil, errNoListener
}

// listens tells whether the socket is one that accepts connections at exactly this IPv4 address.
func listens(fd int, at netip.AddrPort) bool {
	if accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || accepts == 0 {
		return false
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	in4, ok := name.(*unix.SockaddrInet4)
	return ok && netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)) == at
}
