package imds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

// connKey finds a request's connection in its context.
type connKey struct{}

// Server is an HTTP server with the handler, which needs to know its connections.
func (h *Handler) Server() *http.Server {
	return &http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}}
}

// limitHops has everything that is sent on the request's connection from now on go no further
// than n hops; 0 is no limit. It stays so for good: whoever is further away got no answer,
// and must not get one as a retransmission once a later request has lifted the limit.
func limitHops(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	c, ok := ctx.Value(connKey{}).(net.Conn)
	if !ok {
		return errors.New("the connection is not known")
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T has no socket", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	level, option := syscall.IPPROTO_IP, syscall.IP_TTL
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok && a.IP.To4() == nil {
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), level, option, n) })
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("setting the TTL: %w", err)
	}
	return nil
}
