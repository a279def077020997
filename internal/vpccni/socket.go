package vpccni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// A request is what the plugin asks the agent: one JSON value a connection.
type request struct {
	Op   string `json:"op"` // add, get, del, status
	Veth string `json:"veth,omitempty"`
	Pod  string `json:"pod,omitempty"`
}

// A reply answers a request. Error is empty on success; a get or del of an
// unknown veth succeeds without an address.
type reply struct {
	Error   string     `json:"error,omitempty"`
	Address netip.Addr `json:"address,omitzero"`
	Device  int        `json:"device,omitempty"`
	MTU     int        `json:"mtu,omitempty"`
}

// addWithin bounds how long a pod may wait for an address. The runtime gives the
// plugin longer.
const addWithin = 15 * time.Second

// listen opens the socket in place of one that an earlier agent left.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the next agent may hold the name already
	return l, os.Chmod(path, 0o600)
}

func (a *Agent) serve(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer c.Close()
			if err := a.converse(ctx, c); err != nil {
				a.cfg.Log.Warn("answering the plugin", "err", err)
			}
		}()
	}
}

func (a *Agent) converse(ctx context.Context, c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(addWithin + 5*time.Second)); err != nil {
		return err
	}
	var q request
	if err := json.NewDecoder(c).Decode(&q); err != nil {
		return err
	}
	return json.NewEncoder(c).Encode(a.answer(ctx, q))
}

func (a *Agent) answer(ctx context.Context, q request) reply {
	switch q.Op {
	case "add":
		al, err := a.add(ctx, q)
		if err != nil {
			a.cfg.Log.Warn("no address for a pod", "pod", q.Pod, "err", err)
			return reply{Error: err.Error()}
		}
		return reply{Address: al.Address, Device: al.Device, MTU: a.mtu}
	case "get":
		al, _ := a.pool.find(q.Veth)
		return reply{Address: al.Address, Device: al.Device, MTU: a.mtu}
	case "del":
		al, ok := a.pool.release(q.Veth)
		if ok {
			if err := a.save(); err != nil {
				return reply{Error: err.Error()}
			}
			a.cfg.Log.Info("address returned", "pod", al.Pod, "address", al.Address)
		}
		return reply{Address: al.Address, Device: al.Device}
	case "status":
		if !a.ready.Load() {
			return reply{Error: "the agent has no address to give yet"}
		}
		return reply{}
	}
	return reply{Error: fmt.Sprintf("unknown request %q", q.Op)}
}

// ask is the plugin's side.
func ask(path string, q request) (reply, error) {
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		return reply{}, fmt.Errorf("asking the aws-node agent: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(addWithin + 5*time.Second)); err != nil {
		return reply{}, fmt.Errorf("asking the aws-node agent: %w", err)
	}
	if err := json.NewEncoder(c).Encode(q); err != nil {
		return reply{}, fmt.Errorf("asking the aws-node agent: %w", err)
	}
	var r reply
	if err := json.NewDecoder(c).Decode(&r); err != nil {
		return reply{}, fmt.Errorf("asking the aws-node agent: %w", err)
	}
	if r.Error != "" {
		return reply{}, errors.New(r.Error)
	}
	return r, nil
}
