package vpccni

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A vpc is a router's namespace with one instance, and the EC2 API and IMDS of
// both. Its router is strict: a packet that leaves by an ENI that does not own
// the source address is dropped, as EC2's source check does.
type vpc struct {
	t            *testing.T
	router, node string // paths of namespaces
	max          limits

	mu    sync.Mutex
	enis  []*ENI
	next  byte
	deny  string // an error code that every EC2 call gets
	calls map[string]int
}

const apiAddr = "198.18.0.1"

func newVPC(t *testing.T, max limits) *vpc {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	v := &vpc{t: t, router: newNamespace(t, "router"), node: newNamespace(t, "node"), max: max, next: 10, calls: map[string]int{}}
	in(t, v.router, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, a := range []string{apiAddr + "/32", "169.254.169.254/32", "10.0.1.1/32", "10.0.2.5/32"} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return err
			}
		}
		if err := setSysctl("net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	e := v.newENI(0)
	if err := v.plug(e, 0); err != nil {
		t.Fatal(err)
	}
	in(t, v.node, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, l := range []netlink.Link{lo, eth0} {
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
		}
		if err := netlink.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: e.Primary.AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(10, 0, 1, 1)})
	})
	v.serve(apiAddr+":80", http.HandlerFunc(v.ec2))
	v.serve("169.254.169.254:80", http.HandlerFunc(v.imds))
	return v
}

// serve runs an HTTP server in the router's namespace.
func (v *vpc) serve(addr string, h http.Handler) {
	v.t.Helper()
	var l net.Listener
	in(v.t, v.router, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go s.Serve(l)
	v.t.Cleanup(func() { s.Close() })
}

func (v *vpc) newENI(secondary int) *ENI {
	e := &ENI{ID: fmt.Sprintf("eni-%017d", v.next), MAC: fmt.Sprintf("0a:58:0a:00:01:%02x", v.next), Subnet: netip.MustParsePrefix("10.0.1.0/24")}
	e.Primary = v.address()
	e.Device = -1
	for range secondary {
		e.Secondary = append(e.Secondary, v.address())
	}
	v.enis = append(v.enis, e)
	return e
}

func (v *vpc) address() netip.Addr {
	v.next++
	return netip.AddrFrom4([4]byte{10, 0, 1, v.next - 1})
}

// plug makes the ENI's cable: eth<n> in the node, and the router's way to all
// its addresses.
func (v *vpc) plug(e *ENI, device int) error {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return err
	}
	ns, err := netns.GetFromPath(v.node)
	if err != nil {
		return err
	}
	defer ns.Close()
	cable := fmt.Sprintf("e%d", device)
	err = inNamespace(v.router, func() error {
		err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: cable, MTU: 9001},
			PeerName:  fmt.Sprintf("eth%d", device), PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(int(ns)),
		})
		if err != nil {
			return err
		}
		if err := setSysctl("net/ipv4/conf/"+cable+"/rp_filter", "1"); err != nil {
			return err
		}
		if err := setSysctl("net/ipv4/conf/"+cable+"/proxy_arp", "1"); err != nil {
			return err
		}
		l, err := netlink.LinkByName(cable)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	if err != nil {
		return fmt.Errorf("cable of %s: %w", e.ID, err)
	}
	e.Device = device
	return v.routes(e)
}

func (v *vpc) routes(e *ENI) error {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return err
	}
	return inNamespace(v.router, func() error {
		l, err := netlink.LinkByName(fmt.Sprintf("e%d", e.Device))
		if err != nil {
			return err
		}
		for _, a := range append([]netip.Addr{e.Primary}, e.Secondary...) {
			if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: hostNet(a), Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (v *vpc) find(id string) *ENI {
	i := slices.IndexFunc(v.enis, func(e *ENI) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return v.enis[i]
}

// ec2 answers in the query protocol; it holds the instance's limits.
func (v *vpc) ec2(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fail := func(code, message string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>`, code, message)
	}
	if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/ec2/aws4_request") || r.Header.Get("X-Amz-Security-Token") != "session" {
		fail("AuthFailure", "not signed as the instance's role")
		return
	}
	op := r.PostFormValue("Action")
	v.calls[op]++
	if v.deny != "" {
		fail(v.deny, "denied by the test")
		return
	}
	var n int
	fmt.Sscan(r.PostFormValue("SecondaryPrivateIpAddressCount"), &n)
	e := v.find(r.PostFormValue("NetworkInterfaceId"))
	var err error
	switch op {
	case "DescribeInstanceTypes":
		fmt.Fprintf(w, `<R><instanceTypeSet><item><instanceType>t3.test</instanceType><networkInfo><maximumNetworkInterfaces>%d</maximumNetworkInterfaces>`+
			`<ipv4AddressesPerInterface>%d</ipv4AddressesPerInterface></networkInfo></item></instanceTypeSet></R>`, v.max.ENIs, v.max.Addresses)
	case "AssignPrivateIpAddresses":
		if len(e.Secondary)+1+n > v.max.Addresses {
			fail("PrivateIpAddressLimitExceeded", "too many")
			return
		}
		fmt.Fprint(w, "<R><assignedPrivateIpAddressesSet>")
		for range n {
			a := v.address()
			e.Secondary = append(e.Secondary, a)
			fmt.Fprintf(w, "<item><privateIpAddress>%s</privateIpAddress></item>", a)
		}
		fmt.Fprint(w, "</assignedPrivateIpAddressesSet></R>")
		err = v.routes(e)
	case "UnassignPrivateIpAddresses":
		e.Secondary = slices.DeleteFunc(e.Secondary, func(a netip.Addr) bool {
			for k, vals := range r.PostForm {
				if strings.HasPrefix(k, "PrivateIpAddress.") && vals[0] == a.String() {
					return true
				}
			}
			return false
		})
		fmt.Fprint(w, "<R><return>true</return></R>")
	case "CreateNetworkInterface":
		e := v.newENI(n)
		fmt.Fprintf(w, "<R><networkInterface><networkInterfaceId>%s</networkInterfaceId><macAddress>%s</macAddress><privateIpAddress>%s</privateIpAddress><privateIpAddressesSet>",
			e.ID, e.MAC, e.Primary)
		for _, a := range append([]netip.Addr{e.Primary}, e.Secondary...) {
			fmt.Fprintf(w, "<item><privateIpAddress>%s</privateIpAddress></item>", a)
		}
		fmt.Fprint(w, "</privateIpAddressesSet></networkInterface></R>")
	case "AttachNetworkInterface":
		var device int
		fmt.Sscan(r.PostFormValue("DeviceIndex"), &device)
		if device >= v.max.ENIs {
			fail("AttachmentLimitExceeded", "too many")
			return
		}
		err = v.plug(e, device)
		fmt.Fprint(w, "<R><attachmentId>eni-attach-1</attachmentId></R>")
	case "ModifyNetworkInterfaceAttribute":
		fmt.Fprint(w, "<R><return>true</return></R>")
	default:
		fail("InvalidAction", op)
	}
	if err != nil {
		v.t.Errorf("fake EC2: %s: %v", op, err)
	}
}

func (v *vpc) imds(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Method == http.MethodPut {
		fmt.Fprint(w, "token")
		return
	}
	if r.Header.Get("X-aws-ec2-metadata-token") != "token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/latest/meta-data/")
	if rest, ok := strings.CutPrefix(path, "network/interfaces/macs/"); ok && rest != "" {
		v.imdsENI(w, rest)
		return
	}
	role, err := json.Marshal(map[string]any{
		"AccessKeyId": "ASIATEST", "SecretAccessKey": "secret", "Token": "session", "Expiration": time.Now().Add(time.Hour),
	})
	if err != nil {
		v.t.Error(err)
	}
	macs := ""
	for _, e := range v.enis {
		if e.Device >= 0 {
			macs += e.MAC + "/\n"
		}
	}
	answer, ok := map[string]string{
		"instance-id": "i-0123456789abcdef0", "instance-type": "t3.test", "placement/region": "eu-west-1", "mac": v.enis[0].MAC,
		"network/interfaces/macs/": macs, "iam/security-credentials/": "node-role", "iam/security-credentials/node-role": string(role),
	}[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, answer)
}

func (v *vpc) imdsENI(w http.ResponseWriter, path string) {
	mac, key, _ := strings.Cut(path, "/")
	for _, e := range v.enis {
		if e.MAC != mac || e.Device < 0 {
			continue
		}
		addrs := e.Primary.String()
		for _, a := range e.Secondary {
			addrs += "\n" + a.String()
		}
		answer, ok := map[string]string{
			"interface-id": e.ID, "device-number": fmt.Sprint(e.Device), "local-ipv4s": addrs, "subnet-ipv4-cidr-block": e.Subnet.String(),
			"subnet-id": "subnet-1", "security-group-ids": "sg-1\nsg-2", "vpc-ipv4-cidr-blocks": "10.0.0.0/16",
		}[key]
		if ok {
			fmt.Fprint(w, answer)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (v *vpc) count(op string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[op]
}

func (v *vpc) refuse(code string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.deny = code
}
