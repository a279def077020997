package awsapi

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// Listen makes one port speak HTTP and HTTPS: it wraps a listener so that
// Accept gives a *tls.Conn where the client's first byte begins a TLS
// handshake, and the plain connection otherwise. That byte is awaited for each
// connection on its own, so a silent client holds up nobody. For HTTP/2 have
// "h2" in the configuration's NextProtos.
func Listen(l net.Listener, config *tls.Config) net.Listener {
	s := &sniffer{Listener: l, config: config, accepted: make(chan accepted), done: make(chan struct{}), waiting: map[net.Conn]bool{}}
	go s.run()
	return s
}

const (
	firstByteWait = 30 * time.Second // how long a client may be silent
	tlsHandshake  = 0x16             // the type of the first record of a TLS connection
)

type accepted struct {
	conn net.Conn
	err  error
}

type sniffer struct {
	net.Listener
	config   *tls.Config
	accepted chan accepted
	done     chan struct{}

	mu      sync.Mutex
	closed  bool
	waiting map[net.Conn]bool // silent so far
}

func (s *sniffer) Accept() (net.Conn, error) {
	select {
	case a := <-s.accepted:
		return a.conn, a.err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting, and closes connections that nobody was given.
func (s *sniffer) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	for c := range s.waiting {
		_ = c.Close() // its goroutine sees that and ends
	}
	s.mu.Unlock()
	return s.Listener.Close()
}

func (s *sniffer) run() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			if !s.give(accepted{nil, err}) {
				return
			}
			continue // http.Server backs off, or closes us
		}
		if !s.track(c) {
			_ = c.Close()
			return
		}
		go s.sniff(c)
	}
}

// give hands something to Accept; false once the listener is closed.
func (s *sniffer) give(a accepted) bool {
	select {
	case s.accepted <- a:
		return true
	case <-s.done:
		return false
	}
}

func (s *sniffer) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.waiting[c] = true
	}
	return !s.closed
}

func (s *sniffer) sniff(c net.Conn) {
	p := &peeked{Conn: c, have: true}
	err := c.SetReadDeadline(time.Now().Add(firstByteWait))
	if err == nil {
		_, err = c.Read(p.first[:])
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	s.mu.Lock()
	delete(s.waiting, c)
	s.mu.Unlock()
	if err != nil {
		_ = c.Close() // gone before it said anything
		return
	}
	var conn net.Conn = p
	if s.config != nil && p.first[0] == tlsHandshake {
		conn = tls.Server(p, s.config)
	}
	if !s.give(accepted{conn, nil}) {
		_ = c.Close()
	}
}

// peeked is a connection whose first byte has been read already.
type peeked struct {
	net.Conn
	first [1]byte
	have  bool
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.have && len(b) > 0 {
		p.have = false
		b[0] = p.first[0]
		return 1, nil
	}
	return p.Conn.Read(b)
}
