package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// sftpServers are where distributions have the program of the sftp subsystem.
var sftpServers = []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"}

// A terminal is what a client has asked to have its program on.
type terminal struct {
	name           string
	columns, lines uint32
	master         *os.File
}

func (t *terminal) resize() {
	if t.master == nil {
		return
	}
	size := &unix.Winsize{Col: uint16(t.columns), Row: uint16(t.lines)}
	if err := unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, size); err != nil {
		log.Printf("resizing a terminal: %v", err)
	}
}

// session runs one program for a client: what the first shell, exec or subsystem request
// asks for.
func session(c ssh.NewChannel, conn *ssh.ServerConn, u *user.User) {
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	var term *terminal
	var cmd *exec.Cmd
	ended := make(chan struct{})
	env := []string{}
	for r := range requests {
		ok := false
		switch r.Type {
		case "env":
			var v struct{ Name, Value string }
			if ok = ssh.Unmarshal(r.Payload, &v) == nil && (v.Name == "LANG" || strings.HasPrefix(v.Name, "LC_")); ok {
				env = append(env, v.Name+"="+v.Value)
			}
		case "pty-req":
			var v struct {
				Term                         string
				Columns, Lines, Width, Depth uint32
				Modes                        string
			}
			if ok = ssh.Unmarshal(r.Payload, &v) == nil; ok {
				term = &terminal{name: v.Term, columns: v.Columns, lines: v.Lines}
			}
		case "window-change":
			var v struct{ Columns, Lines, Width, Depth uint32 }
			if ok = ssh.Unmarshal(r.Payload, &v) == nil && term != nil; ok {
				term.columns, term.lines = v.Columns, v.Lines
				term.resize()
			}
		case "signal":
			var v struct{ Name string }
			if ok = ssh.Unmarshal(r.Payload, &v) == nil && cmd != nil; ok {
				if n := unix.SignalNum("SIG" + v.Name); n != 0 {
					_ = cmd.Process.Signal(n) // it may have ended
				}
			}
		case "shell", "exec", "subsystem":
			if cmd != nil {
				break
			}
			if cmd, err = command(r, u, conn, term, env); err == nil {
				err = start(cmd, ch, term, ended)
			}
			if ok = err == nil; !ok {
				log.Printf("%s: %v", conn.RemoteAddr(), err)
				cmd = nil
			}
		}
		if r.WantReply {
			if err := r.Reply(ok, nil); err != nil {
				break
			}
		}
	}
	if cmd != nil { // the client is gone: so is the terminal, and what runs on it
		select {
		case <-ended:
		default:
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGHUP) // it may just have ended
		}
	}
	_ = ch.Close() // it may be closed already
}

// command is the program that a request asks for, as the user.
func command(r *ssh.Request, u *user.User, conn *ssh.ServerConn, term *terminal, env []string) (*exec.Cmd, error) {
	shell := shellOf(u.Username)
	var v struct{ Text string }
	if r.Type != "shell" {
		if err := ssh.Unmarshal(r.Payload, &v); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(context.Background(), shell, "-c", v.Text)
	switch {
	case r.Type == "shell":
		cmd = exec.CommandContext(context.Background(), shell)
		cmd.Args[0] = "-" + shell[strings.LastIndexByte(shell, '/')+1:] // a login shell
	case r.Type == "subsystem":
		if cmd = sftp(v.Text); cmd == nil {
			return nil, fmt.Errorf("there is no subsystem %q", v.Text)
		}
	}
	credential, err := credentialOf(u)
	if err != nil {
		return nil, err
	}
	cmd.Dir = u.HomeDir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	cmd.Env = append(env, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username, "SHELL="+shell,
		"PATH=/opt/ekster/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
		"SSH_CONNECTION="+strings.NewReplacer(":", " ", "[", "", "]", "").Replace(conn.RemoteAddr().String()+" "+conn.LocalAddr().String()))
	if term != nil {
		cmd.Env = append(cmd.Env, "TERM="+term.name)
	}
	return cmd, nil
}

func sftp(subsystem string) *exec.Cmd {
	for _, path := range sftpServers {
		if _, err := os.Stat(path); err == nil && subsystem == "sftp" {
			return exec.CommandContext(context.Background(), path)
		}
	}
	return nil
}

// shellOf is the shell that /etc/passwd gives a user.
func shellOf(name string) string {
	raw, err := os.ReadFile("/etc/passwd")
	if err == nil {
		for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
			if f := strings.Split(s.Text(), ":"); len(f) == 7 && f[0] == name && f[6] != "" {
				return f[6]
			}
		}
	}
	return "/bin/sh"
}

func credentialOf(u *user.User) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	ids := make([]uint32, 0, 2+len(groups))
	for _, s := range append([]string{u.Uid, u.Gid}, groups...) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, uint32(n))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}

// start starts the program, has its end told to the client, and closes ended then.
func start(cmd *exec.Cmd, ch ssh.Channel, term *terminal, ended chan struct{}) error {
	if term != nil {
		return startOnTerminal(cmd, ch, term, ended)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(stdin, ch) // ends with the client's, or with the program
		_ = stdin.Close()
	}()
	go func() {
		err := cmd.Wait()
		close(ended)
		finish(ch, err)
	}()
	return nil
}

func startOnTerminal(cmd *exec.Cmd, ch ssh.Channel, term *terminal, ended chan struct{}) error {
	master, slave, err := openTerminal(cmd.SysProcAttr.Credential)
	if err != nil {
		return err
	}
	defer slave.Close()
	term.master = master
	term.resize()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 0
	if err := cmd.Start(); err != nil {
		return errors.Join(err, master.Close())
	}
	go func() { _, _ = io.Copy(master, ch) }() // ends with the terminal
	go func() {
		_, _ = io.Copy(ch, master) // EIO: the last program has let go of the terminal
		err := cmd.Wait()
		close(ended)
		finish(ch, err)
		_ = master.Close()
	}()
	return nil
}

func openTerminal(owner *syscall.Credential) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	name := "/dev/pts/" + strconv.Itoa(n)
	if err == nil {
		err = os.Chown(name, int(owner.Uid), -1)
	}
	if err == nil {
		slave, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

// finish tells the client how its program has ended, and ends the session.
func finish(ch ssh.Channel, ended error) {
	status := struct{ Status uint32 }{}
	var e *exec.ExitError
	switch {
	case errors.As(ended, &e):
		if w, ok := e.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			signal := struct {
				Name    string
				Core    bool
				Message string
				Lang    string
			}{Name: strings.TrimPrefix(unix.SignalName(w.Signal()), "SIG"), Core: w.CoreDump()}
			_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(&signal)) // the client may be gone
			_ = ch.Close()
			return
		}
		status.Status = uint32(e.ExitCode())
	case ended != nil:
		log.Printf("a session: %v", ended)
		status.Status = 255
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(&status)) // as above
	_ = ch.Close()
}
