package controlplane

import (
	"bufio"
	"encoding/binary"
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
	wanted := []struct {
		table string
		at    netip.AddrPort
	}{{"/proc/net/tcp", cfg.Listen}}
	if cfg.Netns != "" {
		wanted = append(wanted, struct {
			table string
			at    netip.AddrPort
		}{fmt.Sprintf("/proc/%d/net/tcp", pid), guestListen})
	}
	for _, w := range wanted {
		f, err := duplicate(pid, w.table, w.at)
		if err != nil {
			next.close()
			return fmt.Errorf("holding its listener %s: %w", w.at, err)
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

// duplicate returns a duplicate of the process's socket that listens on at, as the table of its namespace says.
func duplicate(pid int, table string, at netip.AddrPort) (*os.File, error) {
	inode, err := listening(table, at)
	if err != nil {
		return nil, err
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	for _, path := range fds {
		if to, err := os.Readlink(path); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		n, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return nil, err
		}
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return nil, err
		}
		defer unix.Close(pidfd)
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), at.String()), nil
	}
	return nil, errNoListener
}

// listening finds the inode of a listening socket in a table like /proc/net/tcp; see proc_net_tcp.rst of the kernel.
func listening(table string, at netip.AddrPort) (inode string, err error) {
	f, err := os.Open(table)
	if err != nil {
		return "", err
	}
	defer f.Close()
	a := at.Addr().As4()
	want := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(a[:]), at.Port())
	const stateListen = "0A"
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
		c := strings.Fields(lines.Text())
		if len(c) > 9 && c[1] == want && c[3] == stateListen {
			return c[9], nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", errNoListener
}
