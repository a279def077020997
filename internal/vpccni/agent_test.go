package vpccni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The test binary is also the agent and the plugin: both need a process of their
// own in the node's namespace.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(Plugin())
	}
	if dir := os.Getenv("VPCCNI_TEST_AGENT"); dir != "" {
		cfg, err := ConfigFromEnv(os.Getenv, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err == nil {
			cfg.Socket, cfg.StateFile = filepath.Join(dir, "ipam.sock"), filepath.Join(dir, "ipam.json")
			cfg.Plugin, cfg.Conflist = filepath.Join(dir, "bin", "aws-cni"), filepath.Join(dir, "net.d", "10-aws.conflist")
			err = Run(m2ctx(), cfg)
		}
		if err != nil {
			slog.Error("agent", "err", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A machine is the vpc's instance with its agent.
type machine struct {
	*vpc
	dir   string
	agent *exec.Cmd
	log   *bytes.Buffer
	env   []string
}

func newMachine(t *testing.T, max limits, env ...string) *machine {
	m := &machine{vpc: newVPC(t, max), dir: t.TempDir(), env: env}
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("agent's log:\n%s", m.log)
		}
	})
	return m
}

func (m *machine) start() (untilReady time.Duration) {
	m.t.Helper()
	began := time.Now()
	m.launch()
	m.await("the network configuration", m.configured)
	return time.Since(began)
}

func (m *machine) configured() bool {
	_, err := os.Stat(filepath.Join(m.dir, "net.d", "10-aws.conflist"))
	return err == nil
}

// launch starts an agent on a node that has no network configuration.
func (m *machine) launch() {
	m.t.Helper()
	if m.log == nil {
		m.log = &bytes.Buffer{}
	}
	if err := os.RemoveAll(filepath.Join(m.dir, "net.d")); err != nil {
		m.t.Fatal(err)
	}
	m.agent = exec.Command("/proc/self/exe")
	m.agent.Env = append([]string{"VPCCNI_TEST_AGENT=" + m.dir, "AWS_ENDPOINT_URL=http://" + apiAddr, "IP_COOLDOWN_PERIOD=0"}, m.env...)
	m.agent.Stdout, m.agent.Stderr = m.log, m.log
	in(m.t, m.node, m.agent.Start)
}

func (m *machine) kill() {
	if m.agent == nil {
		return
	}
	if err := m.agent.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Errorf("killing the agent: %v", err)
	}
	m.agent.Wait() // killed: its exit code says nothing
	m.agent = nil
}

func (m *machine) await(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			m.t.Fatalf("waiting for %s: not in time", what)
		}
	}
}

// A pod is a namespace that the plugin connects.
type pod struct {
	m     *machine
	name  string
	ns    string
	ports string // JSON of portMappings
	addr  netip.Addr
}

func (m *machine) pod(name string) *pod {
	m.t.Helper()
	return &pod{m: m, name: name, ns: newNamespace(m.t, name), ports: "[]"}
}

func (p *pod) cni(command string) ([]byte, error) {
	p.m.t.Helper()
	cmd := exec.Command(filepath.Join(p.m.dir, "bin", "aws-cni"))
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=c-" + p.name, "CNI_NETNS=" + p.ns, "CNI_IFNAME=eth0", "CNI_PATH=/nowhere",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + p.name + ";K8S_POD_INFRA_CONTAINER_ID=x",
	}
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"cniVersion":"1.0.0","name":"aws-cni","type":"aws-cni","socket":%q,"runtimeConfig":{"portMappings":%s}}`,
		filepath.Join(p.m.dir, "ipam.sock"), p.ports))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	in(p.m.t, p.m.node, cmd.Start)
	if err := cmd.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("%s of %s: %w: %s%s", command, p.name, err, out.String(), errs.String())
	}
	return out.Bytes(), nil
}

func (p *pod) add() {
	p.m.t.Helper()
	out, err := p.cni("ADD")
	if err != nil {
		p.m.t.Fatal(err)
	}
	var r struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal(out, &r); err != nil || len(r.IPs) != 1 || r.IPs[0].Address.Bits() != 32 {
		p.m.t.Fatalf("ADD of %s answered %s (%v)", p.name, out, err)
	}
	p.addr = r.IPs[0].Address.Addr()
}

func (p *pod) must(command string) {
	p.m.t.Helper()
	if _, err := p.cni(command); err != nil {
		p.m.t.Error(err)
	}
}

// echo serves, in a namespace, the address that each client comes from.
func echo(t *testing.T, ns, addr string) {
	t.Helper()
	var l net.Listener
	in(t, ns, func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		io.WriteString(w, host)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// call connects from a namespace and gives what the echo there saw.
func call(ns, addr string) (string, error) {
	var c net.Conn
	err := inNamespace(ns, func() (err error) {
		c, err = net.DialTimeout("tcp4", addr, 2*time.Second)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body, err
}

func expect(t *testing.T, what, from, to, want string) {
	t.Helper()
	if got, err := call(from, to); err != nil || got != want {
		t.Errorf("%s: seen from %q (%v), want %s", what, got, err, want)
	}
}

func TestPodsOnTwoENIs(t *testing.T) {
	m := newMachine(t, limits{ENIs: 2, Addresses: 3}, "WARM_IP_TARGET=1")
	took := m.start()
	t.Logf("the network configuration was there after %s", took)
	if took > 5*time.Second {
		t.Errorf("ready after %s", took)
	}
	nodeAddr := m.enis[0].Primary.String()
	echo(t, m.node, ":7000")
	echo(t, m.router, "10.0.2.5:7000")
	echo(t, m.router, apiAddr+":7000")

	pods := []*pod{m.pod("a"), m.pod("b"), m.pod("c"), m.pod("d")}
	for i, p := range pods {
		if i == 3 {
			p.ports = `[{"hostPort":8081,"containerPort":7000,"protocol":"tcp"}]`
		}
		p.add()
		first := p.addr
		p.add() // the runtime may repeat itself
		if p.addr != first {
			t.Errorf("a repeated ADD gave %s after %s", p.addr, first)
		}
		p.must("CHECK")
		echo(t, p.ns, ":7000")
	}
	m.mu.Lock()
	if len(m.enis) != 2 || len(m.enis[0].Secondary) != 2 || len(m.enis[1].Secondary) != 2 {
		t.Errorf("the instance has %d ENIs", len(m.enis))
	}
	m.mu.Unlock()

	for _, p := range pods {
		at := p.addr.String() + ":7000"
		expect(t, "node to pod "+p.name, m.node, at, nodeAddr)
		expect(t, "pod "+p.name+" to node", p.ns, nodeAddr+":7000", p.addr.String())
		expect(t, "pod "+p.name+" to the VPC", p.ns, "10.0.2.5:7000", p.addr.String())
		expect(t, "pod "+p.name+" beyond the VPC", p.ns, apiAddr+":7000", nodeAddr)
		if got, err := call(m.router, at); err != nil {
			t.Errorf("the VPC to pod %s: %q, %v", p.name, got, err)
		}
		for _, q := range pods {
			if p != q {
				expect(t, "pod "+p.name+" to pod "+q.name, p.ns, q.addr.String()+":7000", p.addr.String())
			}
		}
	}
	if _, err := call(m.router, nodeAddr+":8081"); err != nil {
		t.Errorf("host port of a pod on the second ENI: %v", err)
	}
	expect(t, "a pod to its own host port", pods[3].ns, nodeAddr+":8081", nodeAddr)

	full := m.pod("full")
	if _, err := full.cni("ADD"); err == nil || !strings.Contains(err.Error(), "add cmd: failed to assign an IP address to container") {
		t.Errorf("ADD without a free address: %v", err)
	}

	// A new agent goes on with what the killed one knew.
	m.kill()
	m.start()
	expect(t, "after the agent's restart", pods[0].ns, pods[3].addr.String()+":7000", pods[0].addr.String())
	if _, err := full.cni("ADD"); err == nil {
		t.Error("a new agent gave an address that a pod has")
	}
	pods[2].must("CHECK")
	for _, p := range pods {
		p.must("DEL")
		p.must("DEL")
	}
	if _, err := pods[0].cni("CHECK"); err == nil {
		t.Error("CHECK after DEL succeeded")
	}
	if _, err := call(m.router, nodeAddr+":8081"); err == nil {
		t.Error("the host port is still open")
	}
	full.add()
	full.must("DEL")
	m.expectClean()
}

// expectClean: no pod left a rule, a link or a host port.
func (m *machine) expectClean() {
	m.t.Helper()
	in(m.t, m.node, func() error {
		live, err := podVeths()
		if err != nil || len(live) != 0 {
			m.t.Errorf("veths left: %v, %v", live, err)
		}
		rules, err := netlink.RuleList(netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Priority == toPodPriority || r.Priority == fromPodPriority {
				m.t.Errorf("rule left: %v", r)
			}
		}
		out, err := exec.Command("nft", "list", "table", "ip", "aws-cni-hostports").CombinedOutput()
		if err == nil && bytes.Contains(out, []byte("dnat")) {
			m.t.Errorf("host ports left:\n%s", out)
		}
		return nil
	})
}

func TestDelWithoutAgentIsCaughtUp(t *testing.T) {
	m := newMachine(t, limits{ENIs: 1, Addresses: 2}, "WARM_IP_TARGET=1")
	m.start()
	one, two := m.pod("one"), m.pod("two")
	one.add()
	m.kill()
	one.must("DEL")
	if _, err := two.cni("ADD"); err == nil {
		t.Error("ADD without an agent succeeded")
	}
	m.start()
	two.add()
	if two.addr != one.addr {
		t.Errorf("the only address is %s, the pod got %s", one.addr, two.addr)
	}
	// The file is lost with the pod alive: the pod's address is still not given out.
	m.kill()
	if err := os.Remove(filepath.Join(m.dir, "ipam.json")); err != nil {
		t.Fatal(err)
	}
	m.start()
	if _, err := m.pod("three").cni("ADD"); err == nil {
		t.Error("an agent without its file gave an address that a pod has")
	}
	if err := dropNamespace(two.ns); err != nil {
		t.Fatal(err)
	}
	two.must("DEL") // its namespace is gone
	m.expectClean()
}

func TestNotReadyWhileEC2Refuses(t *testing.T) {
	m := newMachine(t, limits{ENIs: 1, Addresses: 3}, "WARM_IP_TARGET=2")
	m.start() // learns the limits
	m.kill()
	m.mu.Lock()
	m.enis[0].Secondary = nil
	m.mu.Unlock()
	m.refuse("UnauthorizedOperation")
	m.launch()
	m.await("refused calls", func() bool { return m.count("AssignPrivateIpAddresses") >= 3 })
	if m.configured() {
		t.Error("the node was declared ready without an address")
	}
	if r, err := ask(filepath.Join(m.dir, "ipam.sock"), request{Op: "status"}); err == nil {
		t.Errorf("STATUS without an address: %+v", r)
	}
	if _, err := m.pod("early").cni("ADD"); err == nil || !strings.Contains(err.Error(), "failed to assign an IP address to container") {
		t.Errorf("ADD while EC2 refuses: %v", err)
	}
	m.refuse("")
	m.await("the network configuration", m.configured)
	m.pod("p").add()
}
