package network

import (
	"net"
	"testing"
	"time"
)

// giveAddress puts an address on lo of a guest, as a pod behind it would have it.
func giveAddress(t testing.TB, h *Host, guest, address string) {
	t.Helper()
	sp, err := openSpace(h.GuestPath(guest))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.nl.AddrReplace(lo, addressOf(address)); err != nil {
		t.Fatal(err)
	}
}

func TestSecondaryAddressIsReachedThroughTheGuest(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	v.Interfaces[1].Addresses = append(v.Interfaces[1].Addresses, addr("10.0.1.200"))
	ensure(t, h, v)
	giveAddress(t, h, "i-2", "10.0.1.200/32")
	serve(t, h, "i-2", "10.0.1.200:80")
	mustReach(t, h, "i-1", "10.0.1.200:80")
	mustReach(t, h, "i-3", "10.0.1.200:80")

	// It moves to the other instance, as an address of a warm pool may.
	v.Interfaces[0].Addresses = append(v.Interfaces[0].Addresses, addr("10.0.1.200"))
	v.Interfaces[1].Addresses = v.Interfaces[1].Addresses[:1]
	ensure(t, h, v)
	giveAddress(t, h, "i-1", "10.0.1.200/32")
	serve(t, h, "i-1", "10.0.1.200:81")
	mustReach(t, h, "i-3", "10.0.1.200:81")
}

// sendFrom sends a datagram from a given source address.
func sendFrom(t testing.TB, h *Host, guest, from, to string) {
	t.Helper()
	err := within(h.GuestPath(guest), func() error {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "udp4", to)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(from))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSpoofedSourceIsDropped(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	ensure(t, h, v)
	giveAddress(t, h, "i-1", "10.0.1.77/32")
	giveAddress(t, h, "i-1", "10.0.1.12/32") // another instance's
	pc, err := h.ListenPacket(t.Context(), "i-3", "udp4", "10.0.2.13:99")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	// receive returns the sender of the next datagram.
	receive := func(wait time.Duration) string {
		pc.SetReadDeadline(time.Now().Add(wait))
		buf := make([]byte, 64)
		n, _, err := pc.ReadFrom(buf)
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
	sendFrom(t, h, "i-1", "10.0.1.77", "10.0.2.13:99")
	sendFrom(t, h, "i-1", "10.0.1.12", "10.0.2.13:99")
	sendFrom(t, h, "i-1", "10.0.1.11", "10.0.2.13:99")
	if got := receive(5 * time.Second); got != "10.0.1.11" {
		t.Errorf("a datagram from %q came first", got)
	}
	if got := receive(denied); got != "" {
		t.Errorf("a datagram from %q arrived", got)
	}

	v.Interfaces[0].SourceDestCheck = false
	ensure(t, h, v)
	sendFrom(t, h, "i-1", "10.0.1.77", "10.0.2.13:99")
	if got := receive(5 * time.Second); got != "10.0.1.77" {
		t.Errorf("without the check: got %q", got)
	}
	// But never to the metadata service, which knows instances by their addresses.
	md, err := h.ListenPacket(t.Context(), "vpc-1", "udp4", "169.254.169.253:53")
	if err != nil {
		t.Fatal(err)
	}
	defer md.Close()
	sendFrom(t, h, "i-1", "10.0.1.12", "169.254.169.253:53")
	md.SetReadDeadline(time.Now().Add(denied))
	if _, from, err := md.ReadFrom(make([]byte, 64)); err == nil {
		t.Errorf("the router's services got a datagram from %v", from)
	}
}

// controlPlane has two interfaces, in two subnets, besides twoSubnets.
func controlPlane() VPC {
	v := twoSubnets()
	v.Interfaces = append(v.Interfaces,
		eni("eni-cpa", "subnet-a", "cp-1", "eth0", "10.0.1.50", "sg-open"),
		eni("eni-cpb", "subnet-b", "cp-1", "eth1", "10.0.2.50", "sg-open"))
	return v
}

func TestGuestWithTwoInterfacesAnswersByTheOneAsked(t *testing.T) {
	h := newHost(t)
	ensure(t, h, controlPlane())
	serve(t, h, "cp-1", "10.0.1.50:443")
	serve(t, h, "cp-1", "10.0.2.50:443")
	serve(t, h, "i-3", "10.0.2.13:80")
	for _, guest := range []string{"i-1", "i-3"} {
		mustReach(t, h, guest, "10.0.1.50:443")
		mustReach(t, h, guest, "10.0.2.50:443") // the source check drops a reply by the wrong one
	}
	if got, err := ask(t, h, "cp-1", "10.0.2.13:80", 5*time.Second); err != nil || got != "10.0.2.50" {
		t.Errorf("cp-1 to subnet-b: seen as %q, %v", got, err)
	}
}

func TestSecondInterfaceIsPluggedIntoALiveGuest(t *testing.T) {
	h := newHost(t)
	v := twoSubnets()
	ensure(t, h, v)
	serve(t, h, "i-2", "10.0.1.12:80")
	c, err := h.Dial(t.Context(), h.GuestPath("i-1"), "tcp4", "10.0.1.12:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	second := eni("eni-0123456789abcdef0", "subnet-b", "i-1", "eth1", "10.0.2.99", "sg-open")
	second.Configure = false
	v.Interfaces = append(v.Interfaces, second)
	ensure(t, h, v)
	sp, err := openSpace(h.GuestPath("i-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	l, err := sp.nl.LinkByName("eth1")
	if err != nil {
		t.Fatal(err)
	}
	if a := l.Attrs(); a.HardwareAddr.String() != second.MAC.String() || a.Flags&net.FlagUp != 0 || a.MTU != MTU {
		t.Errorf("eth1 is %v, flags %v, MTU %d", a.HardwareAddr, a.Flags, a.MTU)
	}
	if _, err := c.Read(make([]byte, 64)); err != nil {
		t.Errorf("eth0's connection broke: %v", err)
	}
	v.Interfaces = v.Interfaces[:3]
	ensure(t, h, v)
	if _, err := sp.nl.LinkByName("eth1"); err == nil {
		t.Error("eth1 is still there")
	}
	mustReach(t, h, "i-1", "10.0.1.12:80")
}
