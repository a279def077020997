package vpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// probe tries a cell from the namespace at path, and says who answers: nobody if it is "".
func (w *world) probe(ctx context.Context, path string, c cell) (string, error) {
	if c.protocol == "icmp" {
		return w.ping(ctx, path, c)
	}
	conn, err := w.host.Dial(ctx, path, c.protocol, net.JoinHostPort(c.address, fmt.Sprint(c.port)))
	if err == nil {
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		conn.SetDeadline(deadline)
		if c.protocol == "udp" {
			_, err = conn.Write([]byte("who?"))
		}
	}
	if err == nil {
		buf := make([]byte, 64)
		var n int
		if n, err = conn.Read(buf); err == nil {
			return string(buf[:n]), nil
		}
		if c.protocol == "tcp" { // it was open
			return "", err
		}
	}
	var silence net.Error
	// Only the internet itself says so of an address that nobody has.
	unknown := c.src.eni == "" && strings.Contains(err.Error(), "network is unreachable")
	if ctx.Err() != nil || unknown || errors.As(err, &silence) && silence.Timeout() {
		return "", nil
	}
	return "", fmt.Errorf("not silence: %w", err)
}

// echoes are the identifiers of echo requests: answers to others come to the same socket.
var echoes atomic.Uint32

// ping sends an echo request; who answers is told by the address.
func (w *world) ping(ctx context.Context, path string, c cell) (string, error) {
	address := net.ParseIP(c.address)
	network, any, request, reply := "ip4:icmp", "0.0.0.0", byte(echo), byte(echoReply)
	if address.To4() == nil {
		network, any, request, reply = "ip6:ipv6-icmp", "::", echo6, echoReply6
	}
	pc, err := rawSocket(path, network, any)
	if err != nil {
		return "", err
	}
	defer pc.Close()
	deadline, _ := ctx.Deadline()
	pc.SetReadDeadline(deadline)
	id := uint16(echoes.Add(1))
	m := []byte{request, 0, 0, 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(m[4:], id)
	if network == "ip4:icmp" { // of IPv6 the kernel does it
		sum := uint32(request)<<8 + uint32(id) + 1
		binary.BigEndian.PutUint16(m[2:], ^uint16(sum+sum>>16))
	}
	if _, err := pc.WriteTo(m, &net.IPAddr{IP: address}); err != nil {
		if c.src.eni == "" && strings.Contains(err.Error(), "network is unreachable") {
			return "", nil
		}
		return "", err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if n >= 8 && buf[0] == reply && binary.BigEndian.Uint16(buf[4:]) == id && from.(*net.IPAddr).IP.Equal(address) {
			return c.answer, nil
		}
	}
}

// rawSocket opens a socket in the namespace at path, on a thread that ends with it.
func rawSocket(path, network, address string) (net.PacketConn, error) {
	type opened struct {
		pc  net.PacketConn
		err error
	}
	done := make(chan opened, 1)
	go func() {
		runtime.LockOSThread() // for good
		done <- func() opened {
			ns, err := os.Open(path)
			if err != nil {
				return opened{err: err}
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return opened{err: err}
			}
			pc, err := new(net.ListenConfig).ListenPacket(context.Background(), network, address)
			return opened{pc, err}
		}()
	}()
	o := <-done
	return o.pc, o.err
}

// serveUDP says who it is to everybody who asks.
func (w *world) serveUDP(guest, address, name string) {
	w.Helper()
	pc := ok(w.host.ListenPacket(w.Context(), guest, "udp", address))(w)
	w.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo([]byte(name), from)
		}
	}()
}

// quiet is how long what is not to come is waited for.
const quiet = 700 * time.Millisecond
