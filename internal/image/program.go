package image

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Program lists a program of the host and all that the dynamic loader would
// open for it: the loader itself and the shared libraries, each at the path it
// has on the host. What a program opens later by itself (dlopen, data files) is
// not found this way.
func Program(path string) ([]File, error) {
	dirs, err := libraryDirs("/etc/ld.so.conf")
	if err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", path, err)
	}
	w := elfWalk{system: dirs, seen: map[string]bool{}}
	if err := w.add(path, 0o755); err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", path, err)
	}
	return w.files, nil
}

type elfWalk struct {
	system  []string
	machine elf.Machine
	seen    map[string]bool // libraries by soname, programs by path
	files   []File
}

func (w *elfWalk) add(path string, mode os.FileMode) error {
	if w.seen[path] {
		return nil
	}
	w.seen[path] = true
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	if w.machine == elf.EM_NONE {
		w.machine = f.Machine
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	w.files = append(w.files, File{Path: path, Source: real, Mode: mode})
	if loader, err := interpreter(f); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	} else if loader != "" {
		if err := w.add(loader, 0o755); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	own, err := runPaths(f, path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for _, lib := range needed {
		if w.seen[lib] {
			continue
		}
		w.seen[lib] = true
		at, err := w.find(lib, own)
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", path, lib, err)
		}
		if err := w.add(at, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// find looks where the loader would, and passes by libraries of another machine.
func (w *elfWalk) find(lib string, own []string) (string, error) {
	for _, d := range slices.Concat(own, w.system) {
		p := filepath.Join(d, lib)
		f, err := elf.Open(p)
		if err != nil {
			continue // absent, or not a library
		}
		m := f.Machine
		_ = f.Close()
		if m == w.machine {
			return p, nil
		}
	}
	return "", fmt.Errorf("not in %s", strings.Join(slices.Concat(own, w.system), ", "))
}

func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return "", fmt.Errorf("interpreter: %w", err)
		}
		return strings.TrimRight(string(b), "\x00"), nil
	}
	return "", nil
}

func runPaths(f *elf.File, path string) ([]string, error) {
	var out []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		vals, err := f.DynString(tag)
		if err != nil {
			return nil, err
		}
		for _, v := range vals {
			for _, d := range filepath.SplitList(v) {
				d = strings.NewReplacer("$ORIGIN", filepath.Dir(path), "${ORIGIN}", filepath.Dir(path)).Replace(d)
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// libraryDirs reads ld.so.conf and its includes, then adds the loader's own
// directories. An absent ld.so.conf is normal on small systems.
func libraryDirs(conf string) ([]string, error) {
	var out []string
	f, err := os.Open(conf)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err == nil {
		defer f.Close()
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			line, _, _ := strings.Cut(sc.Text(), "#")
			line = strings.TrimSpace(line)
			if glob, ok := strings.CutPrefix(line, "include "); ok {
				files, err := filepath.Glob(strings.TrimSpace(glob))
				if err != nil {
					return nil, fmt.Errorf("%s: include %s: %w", conf, glob, err)
				}
				for _, inc := range files {
					more, err := libraryDirs(inc)
					if err != nil {
						return nil, err
					}
					out = append(out, more...)
				}
			} else if line != "" {
				out = append(out, line)
			}
		}
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", conf, err)
		}
	}
	return append(out, "/lib64", "/usr/lib64", "/lib", "/usr/lib"), nil
}
