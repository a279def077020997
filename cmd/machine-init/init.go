package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
	"ekster.dev/ekster/internal/nodeconfig"
)

// initialise is the last stage, and does not return before the instance is
// stopped.
func initialise(i spec.Instance, end ending) error {
	if err := os.Unsetenv(powerOnVar); err != nil {
		return err
	}
	network()
	s := newSupervisor(end)
	go func() {
		if err := bringUp(i, s); err != nil {
			// As on EC2: the instance runs, its console says why it is no node.
			console("node bootstrap ended: %v", err)
		}
	}()
	return s.run()
}

// network sets what the kernel keeps per network namespace; addresses and
// routes are there already.
func network() {
	if err := loopbackUp(); err != nil {
		console("loopback interface: %v", err)
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":          "1",
		"net/ipv6/conf/all/forwarding": "1",
	} {
		// A kernel without IPv6 lacks some.
		err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			console("sysctl %s: %v", name, err)
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// bringUp makes the instance what its user data asks for.
func bringUp(i spec.Instance, s *supervisor) error {
	f := readFacts(&metadata{address: metadataAddress})
	console("instance metadata read: %s, %s in %s, %s", f.InstanceID, f.InstanceType, f.AvailabilityZone, f.hostname)
	if err := setHostname(f.hostname); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	u, err := readUserData(i, f)
	if err != nil {
		return fmt.Errorf("user data: %w", err)
	}
	cloud := newCloudInit(s, f, u)
	if !i.Bottlerocket { // which has no cloud-init, and no sshd
		cloud.early()
		if cloud.sshd() {
			s.start(service{name: "sshd", path: binDir + "/machine-sshd", env: []string{path, "HOME=/root"}})
		}
	}
	if !u.HasNode {
		cloud.final()
		console("user data names no cluster: this is a plain instance")
		return nil
	}
	if err := u.Node.Validate(); err != nil {
		return fmt.Errorf("NodeConfig: %w", err)
	}
	if n := u.Node.Spec.Instance.Network; n != nil {
		if err := overrideResolver(i, n); err != nil {
			return fmt.Errorf("setting nameservers: %w", err)
		}
	}
	if u.Node.Spec.Instance.LocalStorage != nil {
		console("NodeConfig: localStorage is passed over, this instance has no instance store")
	}
	if err := configureContainerd(i, u.Node.Spec.Containerd.Config); err != nil {
		return fmt.Errorf("configuring containerd: %w", err)
	}
	s.start(service{name: "containerd", path: binDir + "/containerd",
		args: []string{"--config", "/etc/containerd/config.toml"}, env: environment(u.Node, "containerd")})
	named := make(chan error, 1)
	go func() { named <- nameNode(s, &f, u.Node) }() // while containerd starts
	// Scripts may change what the kubelet starts with, as in cloud-init's order.
	cloud.final()
	if i.Kube == "" {
		return errors.New("this instance has no kubelet")
	}
	if err := <-named; err != nil {
		return fmt.Errorf("finding the node's name: %w", err)
	}
	args, err := configureKubelet(i, f, u.Node)
	if err != nil {
		return fmt.Errorf("configuring the kubelet: %w", err)
	}
	waitForSocket(containerdSocket)
	console("containerd is up")
	s.start(service{name: "kubelet", path: binDir + "/kubelet", args: args, env: environment(u.Node, "kubelet")})
	return nil
}

// readUserData reads user data as the instance's system does.
func readUserData(i spec.Instance, f facts) (nodeconfig.UserData, error) {
	if !i.Bottlerocket {
		return nodeconfig.Parse(f.userData)
	}
	s, err := nodeconfig.ParseSettings(f.userData)
	if err != nil {
		return nodeconfig.UserData{}, err
	}
	for _, name := range s.Ignored {
		console("%s is not supported and was passed over", name)
	}
	if s.HasNode && len(s.Node.DNS) == 0 {
		// What EKS's services begin with, by the addresses of the VPC.
		s.Node.DNS = []netip.Addr{netip.AddrFrom4([4]byte{10, 100, 0, 10})}
		if strings.HasPrefix(f.PrivateIP, "10.") {
			s.Node.DNS[0] = netip.AddrFrom4([4]byte{172, 20, 0, 10})
		}
		console("settings.kubernetes.cluster-dns-ip is not set: %s is taken", s.Node.DNS[0])
	}
	return nodeconfig.UserData{Node: s.Node, HasNode: s.HasNode}, nil
}

func setHostname(name string) error {
	if err := os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644); err != nil {
		return err
	}
	return unix.Sethostname([]byte(name))
}

func overrideResolver(i spec.Instance, n *nodeconfig.InstanceResolver) error {
	servers, domains := n.Nameservers, n.Domains
	if len(servers) == 0 {
		servers = i.NameServers
	}
	if len(domains) == 0 {
		domains = i.Domains
	}
	return os.WriteFile("/etc/resolv.conf", []byte(resolvConf(servers, domains)), 0o644)
}

const path = "PATH=" + binDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is a daemon's: NodeConfig may add to all of them, by the key
// "default", or to one, by its name.
func environment(c nodeconfig.NodeConfig, daemon string) []string {
	env := []string{path, "HOME=/root"}
	for _, key := range []string{"default", daemon} {
		for k, v := range c.Spec.Instance.Environment[key] {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// waitForSocket returns once somebody answers at the socket. containerd that
// does not come up is started again by the supervisor, so there is no end to
// the waiting.
func waitForSocket(path string) {
	for tick := time.NewTicker(3 * time.Millisecond); ; <-tick.C {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
			tick.Stop()
			return
		}
	}
}

// describe says how a process ended.
func describe(w unix.WaitStatus) string {
	switch {
	case w.Exited():
		return fmt.Sprintf("exit status %d", w.ExitStatus())
	case w.Signaled():
		return "killed by " + unix.SignalName(w.Signal())
	}
	return fmt.Sprintf("status %#x", uint32(w))
}
