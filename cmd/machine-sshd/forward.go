package main

import (
	"io"
	"log"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// forward connects a channel with what the client names, as seen from the instance.
func forward(c ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), 30*time.Second)
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.Copy(conn, ch); err != nil {
			log.Printf("forwarding to %s: %v", conn.RemoteAddr(), err)
		}
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite() // it may be closed already
		}
	}()
	if _, err := io.Copy(ch, conn); err != nil {
		log.Printf("forwarding from %s: %v", conn.RemoteAddr(), err)
	}
	_ = ch.CloseWrite() // as above
	<-done
}
