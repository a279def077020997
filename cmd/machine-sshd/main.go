// Command machine-sshd lets people into an instance that was launched with a key pair.
//
//	machine-sshd [-listen :22] [-state /etc/ssh]
//
// machine-init starts it. A client is let in as a user of /etc/passwd by a key in that
// user's ~/.ssh/authorized_keys, and by nothing else:
//
//	main.go     host key, users, connections
//	session.go  a shell, a command or the sftp subsystem, with or without a terminal
//	forward.go  what ssh -L asks for
//
// It is there because an instance has no distribution of its own whose sshd could be
// counted on; the host's sftp-server is used if there is one. It has no passwords, no
// agent or X11 forwarding, no remote forwarding (-R), and reads no sshd_config and no options
// of authorized_keys: a line that has some is passed over, lest a restriction be ignored.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	listen := flag.String("listen", ":22", "address to listen at")
	state := flag.String("state", "/etc/ssh", "directory of the host key")
	flag.Parse()
	log.Fatalf("machine-sshd: %v", serve(*listen, *state))
}

// serve lets people in until it cannot listen any more, and says why.
func serve(address, state string) error {
	key, err := hostKey(filepath.Join(state, "ssh_host_ed25519_key"))
	if err != nil {
		return fmt.Errorf("the host key: %w", err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: admit, ServerVersion: "SSH-2.0-Ekster"}
	config.AddHostKey(key)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	log.Printf("listening at %s, host key %s", l.Addr(), ssh.FingerprintSHA256(key.PublicKey()))
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go handle(conn, config)
	}
}

// hostKey reads the host key, and makes it at the first start.
func hostKey(file string) (ssh.Signer, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = newHostKey(file)
	}
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(raw)
}

func newHostKey(file string) ([]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	wire, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(wire), 0o644); err != nil {
		return nil, err
	}
	raw := pem.EncodeToMemory(block)
	if err := os.WriteFile(file+".new", raw, 0o600); err != nil {
		return nil, err
	}
	return raw, os.Rename(file+".new", file)
}

var errNotAuthorized = errors.New("the key is not authorized")

// admit says whether a key is among the user's authorized ones. It reads them each time:
// they may have changed.
func admit(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	u, err := user.Lookup(c.User())
	if err != nil {
		return nil, err
	}
	rest, err := os.ReadFile(filepath.Join(u.HomeDir, ".ssh", "authorized_keys"))
	if err != nil {
		return nil, err
	}
	for len(rest) > 0 {
		allowed, _, options, after, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			break // nothing more in it
		}
		rest = after
		if len(options) == 0 && bytes.Equal(allowed.Marshal(), key.Marshal()) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errNotAuthorized
}

// handshakeTime is how long a client may take to say who it is.
const handshakeTime = 2 * time.Minute

func handle(raw net.Conn, config *ssh.ServerConfig) {
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		log.Printf("%s: %v", raw.RemoteAddr(), err)
		return
	}
	defer conn.Close()
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return
	}
	u, err := user.Lookup(conn.User())
	if err != nil {
		log.Printf("%s: %v", raw.RemoteAddr(), err)
		return
	}
	log.Printf("%s: accepted %s", raw.RemoteAddr(), conn.User())
	go ssh.DiscardRequests(requests)
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			go session(c, conn, u)
		case "direct-tcpip":
			go forward(c)
		default:
			// An error is the connection's, and ends this loop, too.
			_ = c.Reject(ssh.UnknownChannelType, "unsupported channel type "+c.ChannelType())
		}
	}
}
