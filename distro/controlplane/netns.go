package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inherited names, in the environment of the process after it has entered its namespace, the file descriptor of
// the listener it opened before.
const inherited = "EKSTER_HOST_LISTENER"

// given is how many listeners the daemon hands over from the process before this one, as descriptors 3 and up: the
// host's, and the namespace's if there is one. Connections made while no process ran wait in them. The variable is set
// by Ekster's package process.
const given = "EKSTER_FILES"

// handedOver returns the i-th given listener, or nil if there is none.
func handedOver(i int) (listener, error) {
	if n, err := strconv.Atoi(os.Getenv(given)); err != nil || i >= n {
		return nil, nil
	}
	return adopt(strconv.Itoa(3 + i))
}

// listener is what enter hands to the rest: the host's loopback listener.
type listener = *net.TCPListener

// enter opens the host's listener and moves the process into its network namespace. A namespace belongs to a
// thread, and Go has started threads by now, so the one thread that moved executes the program again; the
// listener's descriptor survives that, as a socket stays in the namespace it was made in.
func (c Config) enter() (listener, error) {
	if fd, ok := os.LookupEnv(inherited); ok {
		os.Unsetenv(inherited)
		return adopt(fd)
	}
	ln, err := handedOver(0)
	if ln == nil && err == nil {
		ln, err = c.bind()
	}
	if err != nil {
		return nil, fmt.Errorf("listening on the host: %w", err)
	}
	if c.Netns == "" {
		return ln, nil
	}
	return nil, execIn(c.Netns, ln)
}

// bind opens the host's listener. It waits for an address in use: the kernel closes the sockets of a killed process
// some time after that process counts as dead and we are started in its place.
func (c Config) bind() (listener, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Second); ; <-tick.C {
		ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(c.Listen))
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return ln, err
		}
	}
}

func adopt(fd string) (listener, error) {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return nil, fmt.Errorf("inherited listener %q: %w", fd, err)
	}
	file := os.NewFile(uintptr(n), "host listener")
	defer file.Close() // FileListener duplicates it, close-on-exec
	ln, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("inherited listener: %w", err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("inherited listener is a %T", ln)
	}
	return tcp, nil
}

// execIn does not return unless something is wrong.
func execIn(netns string, ln listener) error {
	file, err := ln.File()
	if err != nil {
		return fmt.Errorf("descriptor of the host's listener: %w", err)
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("keeping the host's listener across exec: %w", err)
	}
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("opening the control plane's network namespace: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program itself: %w", err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", netns, err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("setting lo up in %s: %w", netns, err)
	}
	env := append(os.Environ(), inherited+"="+strconv.Itoa(int(file.Fd())))
	err = syscall.Exec(self, append([]string{"kube", Name}, os.Args[1:]...), env)
	return fmt.Errorf("executing %s in %s: %w", self, netns, err)
}

// loopbackUp sets lo up: the parts talk to each other over it, and a fresh namespace has it down.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	flags := ifr.Uint16()
	if flags&unix.IFF_UP != 0 {
		return nil
	}
	ifr.SetUint16(flags | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// listen opens the namespace's own listener, if there is one, and returns it together with the host's.
func (c Config) listen(host listener) (*merged, error) {
	if host == nil {
		return nil, errors.New("no listener on the host")
	}
	if c.Netns == "" {
		return merge(host), nil
	}
	guest, err := handedOver(1)
	if guest == nil && err == nil {
		guest, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(c.GuestListen))
	}
	if err != nil {
		return nil, fmt.Errorf("listening in %s: %w", c.Netns, err)
	}
	return merge(guest, host), nil
}
