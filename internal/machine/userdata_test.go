package machine_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ekster.dev/ekster/internal/machine"
)

const userData = `MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
cat /etc/greeting
echo script >> /root/order
--//
Content-Type: text/cloud-config; charset="us-ascii"

packages: [htop]
bootcmd:
- echo boot >> /root/order
write_files:
- path: /etc/greeting
  content: SGVsbG8gZnJvbSB3cml0ZV9maWxlcwo=
  encoding: b64
- path: /home/ec2-user/mine
  content: mine
  owner: ec2-user:ec2-user
  permissions: "0640"
runcmd:
- echo run >> /root/order
- [sh, -c, "echo $0 done", all]
- exit 3
--//--
`

// A plain instance does what its user data says, prints it to its console, and lets in who
// has the key that it was launched with.
func TestUserData(t *testing.T) {
	dir := payload(t)
	w := newWorld(t)
	w.metadata(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	w.instance.KeyName, w.instance.PublicKey = "mine", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(wire)))+" mine"
	w.instance.UserData = []byte(userData)
	c := w.config(dir)
	c.Kube = ""
	st := ensure(t, c)
	var console string
	poll(t, 30*time.Second, "the end of the scripts", func() error {
		raw, at, err := machine.Console(c.Dir, 64<<10)
		if console = string(raw); err == nil && (at.IsZero() || !strings.Contains(console, "this is a plain instance")) {
			err = errors.New("not yet")
		}
		return err
	})
	for _, want := range []string{
		"cloud-init: Hello from write_files\n", "user script 1: exit status 0\n", "cloud-init: all done\n", "runcmd: exit status 3\n",
		"cloud-config: not installed, for want of a package manager: htop\n",
	} {
		if !strings.Contains(console, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
	if order, err := os.ReadFile(inside(st, "/root/order")); err != nil || string(order) != "boot\nscript\nrun\n" {
		t.Errorf("done in the order %q, %v", order, err)
	}

	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	login := func(user string, key ssh.Signer) (*ssh.Client, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, err := w.dial(ctx, "tcp", guestIP+":22")
		if err != nil {
			return nil, err
		}
		sc, channels, requests, err := ssh.NewClientConn(conn, guestIP, &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return ssh.NewClient(sc, channels, requests), nil
	}
	var client *ssh.Client
	poll(t, 10*time.Second, "sshd", func() error { client, err = login("ec2-user", signer); return err })
	defer client.Close()
	if got, status := command(t, client, "id -un; cat mine; cat >&2; exit 7", "typed"); got != "ec2-user\nminetyped" || status != 7 {
		t.Errorf("a command says %q, and ends with %d", got, status)
	}
	if got, status := command(t, client, "cat /etc/shadow > /root/x", ""); status == 0 {
		t.Errorf("the user is root: %q", got)
	}
	shell(t, client)
	through(t, client)

	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ssh.NewSignerFromKey(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := login("ec2-user", stranger); err == nil {
		t.Error("a stranger is let in")
	}
	if _, err := login("root", signer); err == nil {
		t.Error("root is let in")
	}
}

// command runs one in a session and returns what it printed and how it ended.
func command(t *testing.T, client *ssh.Client, line, input string) (string, int) {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Stdin = strings.NewReader(input)
	out, err := s.CombinedOutput(line)
	var e *ssh.ExitError
	if errors.As(err, &e) {
		return string(out), e.ExitStatus()
	}
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out), 0
}

// shell types into a login shell on a terminal.
func shell(t *testing.T, client *ssh.Client) {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.RequestPty("xterm", 30, 100, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "tty; stty size; echo $TERM $0; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	err = s.Wait()
	var e *ssh.ExitError
	if !errors.As(err, &e) || e.ExitStatus() != 5 {
		t.Errorf("the shell ended with %v", err)
	}
	for _, want := range []string{"/dev/pts/", "30 100", "xterm -bash"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the shell said %q, without %q", out.String(), want)
		}
	}
}

// through reaches a server by way of the instance, as ssh -L does.
func through(t *testing.T, client *ssh.Client) {
	t.Helper()
	conn, err := client.Dial("tcp", net.JoinHostPort("169.254.169.254", "80"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "PUT /latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(raw), "200 OK") {
		t.Errorf("by way of the instance: %q, %v", raw, err)
	}
}
