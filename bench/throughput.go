package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// flowTime is how long one flow sends.
const flowTime = 2 * time.Second

// throughput is figure 8: one TCP connection between two pods on two nodes, and one between
// two namespaces that only a veth pair connects. The same program sends and receives in both.
func (r *run) throughput(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		from, to, err := r.twoPods(ctx, cloud)
		if err != nil {
			return err
		}
		plain, err := newPair(ctx)
		if err != nil {
			return err
		}
		defer plain.remove()
		var floors, rates []float64
		for i := range r.runs + 1 {
			floor, err := flow(ctx, plain.from, plain.to)
			if err != nil {
				return fmt.Errorf("the veth pair: %w", err)
			}
			rate, err := flow(ctx, from, to)
			if err != nil {
				return fmt.Errorf("the pods: %w", err)
			}
			if i > 0 { // the first of each warms up
				floors, rates = append(floors, floor), append(rates, rate)
			}
		}
		l := line{Figure: "8", What: "TCP between pods on two nodes", Unit: "Gbit/s", Value: median(rates), Floor: median(floors), Samples: rates, Note: "floor: one veth pair"}
		l.Ratio = l.Value / l.Floor
		l.Limit, l.Pass = "≥ 0.8 × floor", new(l.Ratio >= 0.8)
		r.report.add(l)
		return nil
	})
}

// An end is a network namespace and an address in it.
type end struct {
	netns   string
	address netip.Addr
}

// twoPods makes a cluster with two nodes and a pod on each, and finds the pods' namespaces.
func (r *run) twoPods(ctx context.Context, cloud *lab.Cloud) (from, to end, err error) {
	land, err := cloud.Landscape(ctx)
	if err != nil {
		return from, to, err
	}
	const cluster = "bench"
	if _, err := r.createCluster(ctx, cloud, land, cluster); err != nil {
		return from, to, err
	}
	cl, err := cloud.Cluster(ctx, cluster)
	if err != nil {
		return from, to, err
	}
	kube, err := cloud.Kube(cl)
	if err != nil {
		return from, to, err
	}
	if _, err := cloud.EKS.CreateNodegroup(ctx, land.NodegroupInput(cluster, "bench", 2)); err != nil {
		return from, to, err
	}
	nodes, err := kube.AwaitNodes(ctx, 2)
	if err != nil {
		return from, to, err
	}
	for i, n := range nodes {
		_, err := kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("end-", i), Labels: map[string]string{"app": "end"}},
			Spec:       corev1.PodSpec{NodeName: n.Name, Containers: []corev1.Container{{Name: "hello", Image: "registry.ekster.internal/hello:v1"}}},
		}, metav1.CreateOptions{})
		if err != nil {
			return from, to, err
		}
	}
	pods, err := kube.AwaitPods(ctx, "default", "app=end", 2)
	if err != nil {
		return from, to, err
	}
	if from, err = podEnd(pods[0]); err != nil {
		return from, to, err
	}
	to, err = podEnd(pods[1])
	return from, to, err
}

// podEnd finds a pod's namespace by its address, among the processes of its program.
func podEnd(p corev1.Pod) (end, error) {
	address, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil {
		return end{}, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return end{}, err
	}
	for _, comm := range processes {
		if raw, err := os.ReadFile(comm); err != nil || string(raw) != "hello\n" {
			continue // another one, or gone
		}
		e := end{filepath.Join(filepath.Dir(comm), "ns", "net"), address}
		if has, err := e.real(); err == nil && has {
			return e, nil
		}
	}
	return end{}, fmt.Errorf("no process is in the network namespace of pod %s (%s)", p.Name, address)
}

// real says whether the namespace has the address.
func (e end) real() (has bool, err error) {
	err = inNamespace(e.netns, func() error {
		list, err := net.InterfaceAddrs()
		has = slices.ContainsFunc(list, func(a net.Addr) bool { return strings.HasPrefix(a.String(), e.address.String()+"/") })
		return err
	})
	return has, err
}

// inNamespace runs f on a thread in a network namespace; the thread ends with it.
func inNamespace(path string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open(path)
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering %s: %w", path, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// A pair is two namespaces that a veth pair connects.
type pair struct {
	names    []string
	from, to end
}

func newPair(ctx context.Context) (p *pair, err error) {
	id := strconv.Itoa(os.Getpid())
	p = &pair{names: []string{"ekster-bench-a-" + id, "ekster-bench-b-" + id}}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	a, b := p.names[0], p.names[1]
	for _, args := range [][]string{
		{"netns", "add", a}, {"netns", "add", b},
		{"-n", a, "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", b},
		{"-n", a, "address", "add", "192.0.2.1/24", "dev", "veth0"}, {"-n", b, "address", "add", "192.0.2.2/24", "dev", "veth0"},
		{"-n", a, "link", "set", "veth0", "up"}, {"-n", b, "link", "set", "veth0", "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	p.from = end{"/run/netns/" + a, netip.AddrFrom4([4]byte{192, 0, 2, 1})}
	p.to = end{"/run/netns/" + b, netip.AddrFrom4([4]byte{192, 0, 2, 2})}
	return p, nil
}

func (p *pair) remove() {
	for _, n := range p.names {
		_ = exec.Command("ip", "netns", "delete", n).Run() // one that was not made is not there
	}
}

// flow sends for flowTime and returns the Gbit/s that have arrived. Both ends are processes
// of their own, so that they do not share a scheduler.
func flow(ctx context.Context, from, to end) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*flowTime)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	sink := exec.CommandContext(ctx, self, "sink", to.netns, to.address.String())
	sink.Stderr = os.Stderr
	out, err := sink.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := sink.Start(); err != nil {
		return 0, err
	}
	var port int
	if _, err := fmt.Fscanln(out, &port); err != nil {
		return 0, errors.Join(err, sink.Wait())
	}
	target := netip.AddrPortFrom(to.address, uint16(port)).String()
	if said, err := exec.CommandContext(ctx, self, "source", from.netns, target).CombinedOutput(); err != nil {
		cancel()
		return 0, errors.Join(fmt.Errorf("sending: %w: %s", err, said), sink.Wait())
	}
	var rate float64
	_, err = fmt.Fscanln(out, &rate)
	return rate, errors.Join(err, sink.Wait())
}

// sinkMain receives one connection in a namespace: it prints its port, and then the Gbit/s.
func sinkMain(_ context.Context, args []string) error {
	return inNamespace(args[0], func() error {
		l, err := net.Listen("tcp4", net.JoinHostPort(args[1], "0"))
		if err != nil {
			return err
		}
		defer l.Close()
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		buf, total, began := make([]byte, 256<<10), 0, time.Now()
		for {
			n, err := c.Read(buf)
			if total += n; err != nil { // its end
				break
			}
		}
		fmt.Println(float64(total) * 8 / 1e9 / seconds(began))
		return nil
	})
}

// sourceMain sends from a namespace to an address for flowTime.
func sourceMain(ctx context.Context, args []string) error {
	return inNamespace(args[0], func() error {
		c, err := net.DialTimeout("tcp4", args[1], 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 256<<10)
		for end := time.Now().Add(flowTime); time.Now().Before(end) && ctx.Err() == nil; {
			if _, err := c.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
}
