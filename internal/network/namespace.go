package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where `ip netns` looks; what we put there can be entered with it.
const namespaceDir = "/run/netns"

// onThread runs f on a thread whose network namespace f may change, and brings the
// thread back. A thread that cannot be brought back is given up: it stays locked
// and ends with its goroutine, so that no other goroutine ever runs on it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("opening the thread's network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if back := netns.Set(home); back != nil {
			done <- errors.Join(err, fmt.Errorf("returning to the thread's network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// within runs f on a thread that is in the namespace at path.
func within(path string, f func() error) error {
	ns, err := openNamespace(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("entering %s: %w", path, err)
		}
		return f()
	})
}

func openNamespace(path string) (netns.NsHandle, error) {
	ok, err := isNamespace(path)
	if err != nil {
		return netns.None(), err
	}
	if !ok {
		return netns.None(), fmt.Errorf("network namespace %s: %w", path, fs.ErrNotExist)
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return netns.None(), fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	return ns, nil
}

// isNamespace is false for an absent file and for a plain one: what a bind mount
// leaves when the machine reboots, or when we are killed before mounting.
func isNamespace(path string) (bool, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", path, err)
	}
	return st.Type == unix.NSFS_MAGIC, nil
}

// ensureNamespace makes a namespace at path, if there is none, and runs setup in it
// before it appears there: a namespace that can be seen is set up.
func (h *Host) ensureNamespace(path string, setup func() error) error {
	ok, err := isNamespace(path)
	if err != nil || ok {
		return err
	}
	if err := ensureNamespaceDir(); err != nil {
		return err
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace for %s: %w", path, err)
		}
		if err := h.step("setting up "+path, setup); err != nil {
			return err
		}
		if err := h.step("making file "+path, func() error { return os.WriteFile(path, nil, 0o444) }); err != nil {
			return err
		}
		return h.step("mounting "+path, func() error {
			own := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
			return unix.Mount(own, path, "none", unix.MS_BIND, "")
		})
	})
}

// ensureNamespaceDir makes the directory a shared mount, as `ip netns` does: a
// namespace that is unmounted here then goes from other mount namespaces, too.
func ensureNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(namespaceDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", namespaceDir, err)
	}
	err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount yet
		if err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("making %s a shared mount: %w", namespaceDir, err)
	}
	return nil
}

// removeNamespace removes the name, and every veth first: another process or mount
// may keep the namespace itself alive, and with it its links, for any time.
func (h *Host) removeNamespace(path string) error {
	ok, err := isNamespace(path)
	if err != nil {
		return err
	}
	if ok {
		if err := h.removeLinks(path); err != nil {
			return err
		}
		err := h.step("unmounting "+path, func() error {
			for { // stacked, if the directory was once mounted over
				if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
					if errors.Is(err, unix.EINVAL) {
						return nil
					}
					return err
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return h.step("removing file "+path, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// removeLinks removes every veth of the namespace.
func (h *Host) removeLinks(path string) error {
	if err := h.removeGroup(path); err != nil {
		return err
	}
	sp, err := openSpace(path)
	if err != nil {
		return err
	}
	defer sp.close()
	links, err := sp.links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Type() != "veth" {
			continue
		}
		if err := h.deleteLink(sp, l); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup removes a router's interfaces at once: each single removal would wait
// for a grace period of the kernel. In what is no router it does nothing.
func (h *Host) removeGroup(path string) error {
	if ok, err := isNamespace(path); err != nil || !ok {
		return err
	}
	return h.step("removing the interfaces of "+filepath.Base(path), func() error {
		err := within(path, deleteGroup)
		if errors.Is(err, unix.ENODEV) { // none is in the group
			return nil
		}
		return err
	})
}

// linkGroup is the group of a router's interfaces, so that they can be removed as one.
const linkGroup = 0xe57

// deleteGroup removes the links of linkGroup in the thread's namespace.
func deleteGroup() error {
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(linkGroup)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// removeDevice removes one veth of a guest.
func (h *Host) removeDevice(guest, device string) error {
	sp, err := openSpace(h.GuestPath(guest))
	if err != nil {
		return err
	}
	defer sp.close()
	l, err := sp.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", device, sp.name, err)
	}
	if l.Type() != "veth" {
		return fmt.Errorf("%s of %s is a %s, not an interface of the VPC", device, sp.name, l.Type())
	}
	return h.deleteLink(sp, l)
}

// enlarge gives a guest's end of a veth gsoSize, which cannot be said when the pair is made.
func (h *Host) enlarge(guest, device string) error {
	sp, err := openSpace(h.GuestPath(guest))
	if err != nil {
		return err
	}
	defer sp.close()
	l, err := sp.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", device, sp.name, err)
	}
	return h.enlargeLink(sp, l)
}

func (h *Host) enlargeLink(sp *space, l netlink.Link) error {
	return h.step("enlarging the packets of "+l.Attrs().Name+" of "+sp.name, func() error {
		return errors.Join(sp.nl.LinkSetGSOIPv4MaxSize(l, gsoSize), sp.nl.LinkSetGROIPv4MaxSize(l, gsoSize))
	})
}

func (h *Host) deleteLink(sp *space, l netlink.Link) error {
	return h.step("removing link "+l.Attrs().Name+" of "+sp.name, func() error {
		err := sp.nl.LinkDel(l)
		// Its other end may have gone since the dump, and this one with it.
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	})
}

// A space is an open network namespace: its descriptor and a netlink socket in it.
type space struct {
	path, name string
	ns         netns.NsHandle
	nl         *netlink.Handle
}

func openSpace(path string) (*space, error) {
	ns, err := openNamespace(path)
	if err != nil {
		return nil, err
	}
	sp := &space{path: path, name: filepath.Base(path), ns: ns}
	err = onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		sp.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("opening netlink in %s: %w", path, err)
	}
	return sp, nil
}

func (sp *space) close() {
	sp.nl.Close()
	sp.ns.Close()
}

// dump repeats a dump that was overtaken by a change.
func dump[T any](what string, list func() ([]T, error)) ([]T, error) {
	for range 20 {
		all, err := list()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", what, err)
		}
		return all, nil
	}
	return nil, fmt.Errorf("listing %s: it kept changing meanwhile", what)
}

func (sp *space) links() ([]netlink.Link, error) {
	return dump("links of "+sp.name, sp.nl.LinkList)
}

// carrierTimeout is far more than the second for which the kernel may hold back its
// work on links whose carrier changed.
const carrierTimeout = 5 * time.Second

// awaitCarrier waits until the link can send. Its carrier comes when its other end is
// taken up, but until the kernel has worked on that, a little later, it drops what it
// should send, without a word: mostly the answer to the first ARP request, which the
// other end repeats only after a second.
func (sp *space) awaitCarrier(ctx context.Context, index int) error {
	deadline := time.NewTimer(carrierTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		l, err := sp.nl.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("looking at link %d of %s: %w", index, sp.name, err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("link %s of %s: no carrier after %v", l.Attrs().Name, sp.name, carrierTimeout)
		case <-tick.C:
		}
	}
}

// setting is one sysctl below /proc/sys/net.
type setting struct{ name, value string }

// write sets it in the thread's network namespace. A setting of a feature that the
// kernel was built without is left out.
func (s setting) write() error {
	path := filepath.Join("/proc/sys/net", s.name)
	was, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(s.name, "ipv6/") {
		return nil
	}
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(was)) == s.value {
		return nil
	}
	return os.WriteFile(path, []byte(s.value), 0)
}

// setUp returns the setup of a new namespace: its settings, and lo up.
func setUp(settings []setting) func() error {
	return func() error {
		for _, s := range settings {
			if err := s.write(); err != nil {
				return err
			}
		}
		nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer nl.Close()
		lo, err := nl.LinkByName("lo")
		if err != nil {
			return err
		}
		return nl.LinkSetUp(lo)
	}
}
