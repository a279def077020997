package controlplane

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// merge returns one listener that accepts the connections of all. Its address is the first one's: the API server
// calls itself there, and publishes that port.
func merge(all ...net.Listener) *merged {
	m := &merged{all: all, conns: make(chan accepted), closed: make(chan struct{})}
	for _, ln := range all {
		go m.accept(ln)
	}
	return m
}

type merged struct {
	all    []net.Listener
	conns  chan accepted
	closed chan struct{}
	once   sync.Once
	paused atomic.Bool
}

type accepted struct {
	conn net.Conn
	err  error
}

func (m *merged) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil && m.paused.Load() {
			return
		}
		select {
		case m.conns <- accepted{conn, err}:
		case <-m.closed:
			if conn != nil {
				conn.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (m *merged) Accept() (net.Conn, error) {
	select {
	case a := <-m.conns:
		return a.conn, a.err
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *merged) Addr() net.Addr { return m.all[0].Addr() }

func (m *merged) Close() error {
	var errs []error
	m.once.Do(func() {
		close(m.closed)
		for _, ln := range m.all {
			errs = append(errs, ln.Close())
		}
	})
	return errors.Join(errs...)
}

// pause takes no more connections, and says nothing of it to who waits in Accept: the API server panics when its
// listener fails. Where the daemon holds the sockets too, those who connect wait for the next process.
func (m *merged) pause() {
	m.paused.Store(true)
	for _, ln := range m.all {
		_ = ln.Close() // closed already: as good
	}
}
