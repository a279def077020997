package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A Host is this machine's kernel, as far as names with one prefix go: two hosts
// with different prefixes never meet. It is safe for concurrent use.
type Host struct {
	prefix string
	log    *slog.Logger
	mu     sync.Mutex      // one change at a time; each takes milliseconds
	gone   map[string]bool // guests that were removed

	relaysMu sync.Mutex
	relays   map[string]map[Relay]net.Listener // by VPC

	// fault fails a step before or after it is done. Tests set it; it stands for being
	// killed there.
	fault func(step string, done bool) error
}

// New returns the host whose namespaces are called <prefix>-….
func New(prefix string, log *slog.Logger) (*Host, error) {
	if prefix == "" || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, fmt.Errorf("network prefix %q is not made of lower case letters and digits", prefix)
	}
	return &Host{prefix: prefix, log: log, gone: map[string]bool{}}, nil
}

// GuestPath is where the guest's namespace is mounted, if it exists.
func (h *Host) GuestPath(guest string) string { return h.path(guest) }

// RouterPath is where the VPC's namespace is mounted, if it exists.
func (h *Host) RouterPath(vpc string) string { return h.path(vpc) }

func (h *Host) path(name string) string {
	return filepath.Join(namespaceDir, h.prefix+"-"+name)
}

// guestSettings: reverse paths are checked loosely (2), since a guest with several
// interfaces receives on one what its main table would send by another.
var guestSettings = []setting{
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "2"},
}

// EnsureGuest makes the guest's namespace. It may be called before and after
// EnsureVPC, which does the same for the guests of its interfaces.
func (h *Host) EnsureGuest(ctx context.Context, guest string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ensureGuest(ctx, guest)
}

func (h *Host) ensureGuest(ctx context.Context, guest string) error {
	if !identifier.MatchString(guest) {
		return fmt.Errorf("guest %q is not an identifier", guest)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.ensureNamespace(h.GuestPath(guest), setUp(guestSettings))
}

// RemoveGuest removes the guest's namespace and all veths in it, also those the
// guest made. An absent guest is no error. It does not come back: interfaces that a VPC
// still lists in the guest are left out from then on. Who removes a guest cannot know what
// an EnsureVPC that is under way has been told, and would leave it behind.
func (h *Host) RemoveGuest(ctx context.Context, guest string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	h.gone[guest] = true
	return h.removeNamespace(h.GuestPath(guest))
}

// Instances are the guests that exist and are instances: their ids begin with i-.
func (h *Host) Instances() (ids []string, err error) {
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), h.prefix+"-"); ok && strings.HasPrefix(id, "i-") {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// RemoveVPC removes the VPC's router and the interfaces in it; the guests stay.
// An absent VPC is no error. Sockets from Listen should be closed by then: they
// would keep the namespace, without its links and its name.
func (h *Host) RemoveVPC(ctx context.Context, id string) error {
	h.EnsureRelays(id, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.removeNamespace(h.RouterPath(id)); err != nil {
		return err
	}
	return h.removeInternet()
}

// removeInternet removes the internet's namespace once no router is connected with it.
func (h *Host) removeInternet() error {
	if ok, err := isNamespace(h.InternetPath()); err != nil || !ok {
		return err
	}
	sp, err := openSpace(h.InternetPath())
	if err != nil {
		return err
	}
	links, err := sp.links()
	sp.close()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Type() == "veth" {
			return nil
		}
	}
	return h.removeNamespace(h.InternetPath())
}

// Purge removes everything with this host's prefix, and the mount of /run/netns if
// nobody has a namespace in it.
func (h *Host) Purge(ctx context.Context) error {
	h.endRelays()
	h.mu.Lock()
	defer h.mu.Unlock()
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var paths []string
	others := false
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), h.prefix+"-") {
			paths = append(paths, filepath.Join(namespaceDir, e.Name()))
		} else {
			others = true
		}
	}
	// First all that is between routers and guests, by router, which is much quicker.
	var errs []error
	for _, remove := range []func(string) error{h.removeGroup, h.removeNamespace} {
		for _, path := range paths {
			if err := ctx.Err(); err != nil {
				return err
			}
			errs = append(errs, remove(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if others {
		return nil
	}
	// EINVAL: it is no mount. EBUSY: somebody has just begun to use it.
	err = unix.Unmount(namespaceDir, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("unmounting %s: %w", namespaceDir, err)
	}
	return nil
}

// step does one thing to the kernel and says which one it was if that fails.
func (h *Host) step(what string, do func() error) error {
	if h.fault != nil {
		if err := h.fault(what, false); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if h.fault != nil {
		if err := h.fault(what, true); err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
	}
	return nil
}
