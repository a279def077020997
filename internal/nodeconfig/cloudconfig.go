package nodeconfig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// A CloudConfig is what the cloud-config parts of user data ask for, merged as cloud-init
// merges them: a member of a later part replaces an earlier one's, unless the later part
// asks for its lists to be appended (merge_how or merge_type).
type CloudConfig struct {
	BootCommands []Command // bootcmd: at every boot
	Files        []File    // write_files
	Commands     []Command // runcmd: at the first boot
	Keys         []string  // ssh_authorized_keys, of the user that the image has
	Packages     []string
	Ignored      []string // members that are not understood
}

// A Command is one of runcmd or bootcmd: a line for the shell, or a program with its arguments.
type Command struct {
	Line string
	Args []string
}

// A File is one that write_files asks for.
type File struct {
	Path    string
	Content []byte
	Owner   string // user:group; "": root:root
	Mode    fs.FileMode
	Append  bool
	Defer   bool // write it after the commands and packages, before the user's scripts
}

// parseCloudConfig merges the parts, in their order.
func parseCloudConfig(parts [][]byte) (CloudConfig, error) {
	whole := map[string]any{}
	for _, part := range parts {
		var next map[string]any
		if err := yaml.Unmarshal(part, &next); err != nil {
			return CloudConfig{}, fmt.Errorf("reading a cloud-config: %w", err)
		}
		appends := strings.Contains(fmt.Sprint(next["merge_how"], next["merge_type"]), "append")
		delete(next, "merge_how")
		delete(next, "merge_type")
		for k, v := range next {
			before, both := whole[k].([]any)
			if list, ok := v.([]any); ok && both && appends {
				v = slices.Concat(before, list)
			}
			whole[k] = v
		}
	}
	return readCloudConfig(whole)
}

func readCloudConfig(whole map[string]any) (c CloudConfig, err error) {
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		v := whole[name]
		switch name {
		case "bootcmd":
			c.BootCommands, err = commands(name, v)
		case "runcmd":
			c.Commands, err = commands(name, v)
		case "write_files":
			c.Files, err = files(v)
		case "ssh_authorized_keys":
			c.Keys, err = texts(name, v)
		case "packages":
			list, _ := v.([]any)
			for _, p := range list {
				c.Packages = append(c.Packages, fmt.Sprint(p))
			}
		default:
			c.Ignored = append(c.Ignored, name)
		}
		if err != nil {
			return CloudConfig{}, err
		}
	}
	return c, nil
}

func commands(name string, v any) (out []Command, err error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("cloud-config: %s is no list", name)
	}
	for n, one := range list {
		switch one := one.(type) {
		case nil: // cloud-init passes over an empty item
		case string:
			out = append(out, Command{Line: one})
		case []any:
			var args []string
			for _, a := range one {
				args = append(args, fmt.Sprint(a))
			}
			if len(args) > 0 {
				out = append(out, Command{Args: args})
			}
		default:
			return nil, fmt.Errorf("cloud-config: item %d of %s is neither a string nor a list", n+1, name)
		}
	}
	return out, nil
}

func texts(name string, v any) (out []string, err error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("cloud-config: %s is no list", name)
	}
	for _, one := range list {
		s, ok := one.(string)
		if !ok {
			return nil, fmt.Errorf("cloud-config: %s is no list of strings", name)
		}
		out = append(out, s)
	}
	return out, nil
}

func files(v any) (out []File, err error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("cloud-config: write_files is no list")
	}
	for n, one := range list {
		m, _ := one.(map[string]any)
		path, _ := m["path"].(string)
		if path == "" {
			return nil, fmt.Errorf("cloud-config: item %d of write_files has no path", n+1)
		}
		f := File{Path: path, Mode: 0o644}
		f.Owner, _ = m["owner"].(string)
		f.Append, _ = m["append"].(bool)
		f.Defer, _ = m["defer"].(bool)
		if f.Mode, err = mode(m["permissions"]); err != nil {
			return nil, fmt.Errorf("cloud-config: permissions of %s: %w", path, err)
		}
		content, _ := m["content"].(string)
		encoding, _ := m["encoding"].(string)
		if f.Content, err = decodeContent(content, encoding); err != nil {
			return nil, fmt.Errorf("cloud-config: content of %s: %w", path, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// mode reads permissions: a string of octal digits, or a number that YAML has read.
func mode(v any) (fs.FileMode, error) {
	switch v := v.(type) {
	case nil:
		return 0o644, nil
	case float64:
		return fs.FileMode(uint32(v)), nil
	case string:
		n, err := strconv.ParseUint(strings.TrimPrefix(v, "0o"), 8, 12)
		return fs.FileMode(n), err
	}
	return 0, fmt.Errorf("%v is no mode", v)
}

func decodeContent(content, encoding string) ([]byte, error) {
	raw := []byte(content)
	for part := range strings.SplitSeq(strings.ToLower(encoding), "+") {
		switch strings.TrimSpace(part) {
		case "", "text/plain", "gz", "gzip":
		case "b64", "base64":
			// YAML's block scalars leave line breaks in it, which the decoder passes over.
			var err error
			if raw, err = base64.StdEncoding.DecodeString(strings.TrimSpace(content)); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("the encoding %q is not known", encoding)
		}
	}
	if strings.Contains(encoding, "gz") {
		if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
			return nil, errors.New("it is not gzipped")
		}
		return unpack(raw)
	}
	return raw, nil
}
