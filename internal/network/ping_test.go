package network

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

// ping sends an echo request and says whether the answer came.
func ping(t *testing.T, h *Host, guest, address string, wait time.Duration) bool {
	t.Helper()
	var pc net.PacketConn
	err := within(h.GuestPath(guest), func() (err error) {
		pc, err = net.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	request := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}
	var sum uint32
	for i := 0; i < len(request); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(request[i:]))
	}
	binary.BigEndian.PutUint16(request[2:], ^uint16(sum+sum>>16))
	if _, err := pc.WriteTo(request, &net.IPAddr{IP: net.ParseIP(address)}); err != nil {
		t.Fatal(err)
	}
	pc.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 1500)
	for {
		_, from, err := pc.ReadFrom(buf)
		if err != nil {
			return false
		}
		if from.String() == address && buf[0] == 0 { // echo reply
			return true
		}
	}
}

func TestPing(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	v.SecurityGroups = append(v.SecurityGroups, SecurityGroup{ID: "sg-echo", Ingress: []Rule{
		{Protocol: "icmp", FromPort: 8, ToPort: 0, CIDRs: []netip.Prefix{prefix("10.0.2.0/24")}},
	}}, SecurityGroup{ID: "sg-unreachable", Ingress: []Rule{{Protocol: "icmp", FromPort: 3, ToPort: -1, CIDRs: everywhere}}})
	v.Interfaces[0].SecurityGroups = []string{"sg-echo"}
	v.Interfaces[1].SecurityGroups = []string{"sg-unreachable"}
	ensure(t, h, v)
	if !ping(t, h, "i-3", "10.0.1.11", 5*time.Second) {
		t.Error("i-3 gets no echo from i-1, which lets it in")
	}
	if ping(t, h, "i-3", "10.0.1.12", denied) {
		t.Error("i-3 gets an echo from i-2, which lets in another type only")
	}
	if ping(t, h, "i-3", "10.0.2.1", denied) {
		t.Error("the gateway answers; AWS's does not")
	}
}
