package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/internal/nodeconfig"
)

// A cloudInit does with user data what cloud-init does, in its order:
//
//	early   boothooks, bootcmd     at every boot
//	        write_files            once in the life of the instance
//	        keys of ec2-user       once; with any, sshd runs
//	final   write_files, deferred  once
//	        scripts per instance   once
//	        scripts per boot       at every boot
//	        scripts, runcmd        once
//
// Between the two nodeadm configures containerd; the kubelet starts after both. What a
// script prints goes to the console and to /var/log/cloud-init-output.log. One that fails is
// said to have failed and keeps nothing from going on, as on EC2. There is no package
// manager in an instance: packages are named, and not installed.
type cloudInit struct {
	run  func(service) string
	dir  string // /var/lib/cloud/instances/<id>
	root string // "/" but in tests
	id   string
	keys []string // that the instance was launched with
	user nodeconfig.UserData
}

// lastLines is how long what a script has printed may take to the console.
const lastLines = 200 * time.Millisecond

func newCloudInit(s *supervisor, f facts, u nodeconfig.UserData) *cloudInit {
	return &cloudInit{run: s.runOnce, dir: filepath.Join("/var/lib/cloud/instances", f.InstanceID), root: "/", id: f.InstanceID, keys: f.keys, user: u}
}

func (c *cloudInit) early() {
	for n, script := range c.user.Boothooks {
		c.script("boothook", fmt.Sprintf("boothooks/part-%03d", n+1), script, true)
	}
	if cmds := c.user.Cloud.BootCommands; len(cmds) > 0 {
		c.script("bootcmd", "boothooks/bootcmd", shellScript(cmds), true)
	}
	c.files("config_write_files", false)
	if err := c.authorize(); err != nil {
		console("keys of %s: %v", userName, err)
	}
	if p := c.user.Cloud.Packages; len(p) > 0 {
		console("cloud-config: not installed, for want of a package manager: %s", strings.Join(p, ", "))
	}
	for _, m := range c.user.Cloud.Ignored {
		console("cloud-config: %s is not supported and was passed over", m)
	}
	for _, t := range c.user.Ignored {
		console("user data: a part of type %s is not supported and was passed over", t)
	}
}

func (c *cloudInit) final() {
	c.files("config_write_files_deferred", true)
	for n, script := range c.user.PerInstance {
		c.script("script per instance", fmt.Sprintf("per-instance/part-%03d", n+1), script, false)
	}
	for n, script := range c.user.PerBoot {
		c.script("script per boot", fmt.Sprintf("per-boot/part-%03d", n+1), script, true)
	}
	for n, script := range c.user.Scripts {
		c.script("user script "+strconv.Itoa(n+1), fmt.Sprintf("scripts/part-%03d", n+1), script, false)
	}
	// cloud-init leaves runcmd as a script beside the others, whose names come before it.
	if cmds := c.user.Cloud.Commands; len(cmds) > 0 {
		c.script("runcmd", "scripts/runcmd", shellScript(cmds), false)
	}
}

// script runs one script and says how it ended; unless it is for every boot, once.
func (c *cloudInit) script(what, name string, script []byte, everyBoot bool) {
	file := filepath.Join(c.dir, name)
	if _, err := os.Stat(file + ".done"); err == nil && !everyBoot {
		return
	}
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, script, 0o700)
	}
	if err != nil {
		console("%s: %v", what, err)
		return
	}
	printed := make(chan struct{})
	status := c.run(service{name: "cloud-init-output", path: file, env: []string{path, "HOME=/root", "INSTANCE_ID=" + c.id}, console: printed})
	select {
	case <-printed:
	case <-time.After(lastLines): // it has left something in the background
	}
	console("%s: %s", what, status)
	if everyBoot {
		return
	}
	if err := os.WriteFile(file+".done", nil, 0o600); err != nil {
		console("%s: %v", what, err)
	}
}

// shellScript is commands as cloud-init makes a script of them.
func shellScript(cmds []nodeconfig.Command) []byte {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for _, c := range cmds {
		if c.Args == nil {
			b.WriteString(c.Line + "\n")
			continue
		}
		for n, a := range c.Args {
			if n > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("'" + strings.ReplaceAll(a, "'", `'\''`) + "'")
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// authorize lets the keys in as ec2-user. Who takes one out of the file afterwards does not
// find it there again.
func (c *cloudInit) authorize() error {
	keys := slices.Concat(c.keys, c.user.Cloud.Keys)
	done := filepath.Join(c.dir, "sem", "config_ssh")
	if _, err := os.Stat(done); err == nil || len(keys) == 0 {
		return nil
	}
	dir := filepath.Join(c.root, userHome, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(file, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	for _, path := range []string{dir, file} {
		if err := os.Chown(path, userID, userID); err != nil {
			return err
		}
	}
	return touch(done)
}

// sshd says whether anybody may log in.
func (c *cloudInit) sshd() bool { return len(c.keys)+len(c.user.Cloud.Keys) > 0 }

func touch(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o644)
}

// files writes the files that are to be written now, once.
func (c *cloudInit) files(semaphore string, deferred bool) {
	done := filepath.Join(c.dir, "sem", semaphore)
	if _, err := os.Stat(done); err == nil || len(c.user.Cloud.Files) == 0 {
		return
	}
	for _, f := range c.user.Cloud.Files {
		if f.Defer != deferred {
			continue
		}
		if err := c.file(f); err != nil {
			console("cloud-config: write_files: %v", err)
		}
	}
	if err := touch(done); err != nil {
		console("cloud-config: write_files: %v", err)
	}
}

func (c *cloudInit) file(f nodeconfig.File) error {
	at := filepath.Join(c.root, f.Path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if f.Append {
		flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	}
	out, err := os.OpenFile(at, flags, f.Mode)
	if err != nil {
		return err
	}
	_, err = out.Write(f.Content)
	err = errors.Join(err, out.Chmod(f.Mode)) // there may be an umask, or an older file
	if f.Owner != "" && err == nil {
		var uid, gid int
		if uid, gid, err = owner(f.Owner); err == nil {
			err = out.Chown(uid, gid)
		}
	}
	return errors.Join(err, out.Close())
}

// owner reads user:group; without a group it is the user's own.
func owner(s string) (uid, gid int, err error) {
	name, group, both := strings.Cut(s, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	ids := [2]string{u.Uid, u.Gid}
	if both && group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return 0, 0, err
		}
		ids[1] = g.Gid
	}
	if uid, err = strconv.Atoi(ids[0]); err == nil {
		gid, err = strconv.Atoi(ids[1])
	}
	return uid, gid, err
}
