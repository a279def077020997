package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// hardwareDir holds the files that are shown in place of the host's.
const hardwareDir = "/run/ekster/hardware"

// dressUp shows the instance type's processors and memory where the kubelet
// (cadvisor) and most other programs look for them, and fixed values where the
// kubelet would change a setting of the whole host.
func dressUp(i spec.Instance) error {
	if err := os.MkdirAll(hardwareDir, 0o755); err != nil {
		return err
	}
	hostCPU, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	hostMem, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	files := map[string]string{
		"/proc/cpuinfo": cpuinfo(string(hostCPU), i.VCPU),
		"/proc/meminfo": meminfo(string(hostMem), i.MemoryMiB),
		// A new boot of this instance is one, though the host has not rebooted.
		"/proc/sys/kernel/random/boot_id": bootID() + "\n",
		// What the kubelet wants is there already, so it leaves the host's alone.
		"/proc/sys/vm/overcommit_memory":      "1\n",
		"/proc/sys/vm/panic_on_oom":           "0\n",
		"/proc/sys/kernel/panic":              "10\n",
		"/proc/sys/kernel/panic_on_oops":      "1\n",
		"/proc/sys/kernel/keys/root_maxkeys":  "1000000\n",
		"/proc/sys/kernel/keys/root_maxbytes": "25000000\n",
		"/sys/class/dmi/id/product_uuid":      productUUID(i.ID) + "\n",
		"/sys/class/dmi/id/board_asset_tag":   i.ID + "\n",
		"/sys/class/dmi/id/sys_vendor":        "Amazon EC2\n",
	}
	for path, content := range files {
		if err := show(path, content); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	cpus, err := processors(i.ID, i.VCPU)
	if err != nil {
		return err
	}
	if err := writeTree(hardwareDir+"/cpu", cpuTree(cpus)); err != nil {
		return err
	}
	if err := bindReadOnly(hardwareDir+"/cpu", "/sys/devices/system/cpu"); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/devices/system/node"); errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without NUMA: the list of processors is enough
	}
	if err := writeTree(hardwareDir+"/node", nodeTree(cpus, i.MemoryMiB)); err != nil {
		return err
	}
	return bindReadOnly(hardwareDir+"/node", "/sys/devices/system/node")
}

// show puts content in the place of the file at path, if the host has it.
func show(path, content string) error {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	file := filepath.Join(hardwareDir, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-"))
	if err := os.WriteFile(file, []byte(content), 0o444); err != nil {
		return err
	}
	return bindReadOnly(file, real)
}

// cpuinfo is the host's first processor n times, two threads to a core.
func cpuinfo(host string, n int) string {
	first, _, _ := strings.Cut(host, "\n\n")
	var b strings.Builder
	for cpu := range n {
		for line := range strings.SplitSeq(first, "\n") {
			key := strings.TrimSpace(line)
			if k, _, ok := strings.Cut(line, ":"); ok {
				key = strings.TrimSpace(k)
			}
			value := -1
			switch key {
			case "processor", "apicid", "initial apicid":
				value = cpu
			case "physical id":
				value = 0
			case "siblings":
				value = n
			case "core id":
				value = cpu / 2
			case "cpu cores":
				value = (n + 1) / 2
			}
			if value < 0 {
				b.WriteString(line + "\n")
				continue
			}
			before, _, _ := strings.Cut(line, ":")
			fmt.Fprintf(&b, "%s: %d\n", before, value)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// meminfo is the host's with the total of the instance, no swap, and nothing
// larger than the total.
func meminfo(host string, mib int) string {
	total := uint64(mib) * 1024
	var b strings.Builder
	for line := range strings.Lines(host) {
		key, rest, ok := strings.Cut(line, ":")
		var kib uint64
		if _, err := fmt.Sscanf(rest, "%d kB", &kib); !ok || err != nil {
			b.WriteString(line)
			continue
		}
		switch {
		case key == "MemTotal":
			kib = total
		case strings.HasPrefix(key, "Swap"):
			kib = 0
		case strings.HasPrefix(key, "Mem") || strings.HasPrefix(key, "Active") || key == "Cached" || strings.HasPrefix(key, "Inactive"):
			kib = min(kib, total)
		}
		fmt.Fprintf(&b, "%-16s%8d kB\n", key+":", kib)
	}
	return b.String()
}

// processors names the instance's n processors, "cpu0" and so on, in terms of
// the host's.
//
// The kubelet confines its pods to the processors it sees, so these have to be
// ones that the host has. An instance with fewer than the host gets its own
// choice of them, since otherwise all small instances would share the first
// ones. For an instance with more, names repeat with leading zeros: "cpu00" is
// counted as one more processor, and is number 0.
func processors(id string, n int) ([]string, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("asking for the host's processors: %w", err)
	}
	var host []int
	for cpu := 0; len(host) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			host = append(host, cpu)
		}
	}
	return processorNames(host, id, n), nil
}

func processorNames(host []int, id string, n int) []string {
	h := fnv.New32a()
	h.Write([]byte(id))
	first := 0
	if n < len(host) {
		first = int(h.Sum32() % uint32(len(host)))
	}
	var names []string
	for k := range n {
		names = append(names, fmt.Sprintf("cpu%s%d", strings.Repeat("0", k/len(host)), host[(first+k)%len(host)]))
	}
	return names
}

// online is the list of the processors' numbers, each once.
func online(cpus []string) string {
	seen := map[int]bool{}
	for _, name := range cpus {
		number, err := strconv.Atoi(strings.TrimPrefix(name, "cpu"))
		if err != nil {
			continue // not one of ours
		}
		seen[number] = true
	}
	var list []string
	for _, number := range slices.Sorted(maps.Keys(seen)) {
		list = append(list, strconv.Itoa(number))
	}
	return strings.Join(list, ",") + "\n"
}

// cpuTree is what /sys/devices/system/cpu holds, as far as anyone asks.
func cpuTree(cpus []string) map[string]string {
	all := online(cpus)
	t := map[string]string{"online": all, "possible": all, "present": all, "offline": "\n", "isolated": "\n"}
	for k, name := range cpus {
		t[name+"/topology/core_id"] = fmt.Sprintf("%d\n", k/2)
		t[name+"/topology/physical_package_id"] = "0\n"
	}
	return t
}

// nodeTree is one NUMA node with all processors; "->" makes a link.
func nodeTree(cpus []string, mib int) map[string]string {
	t := map[string]string{
		"online": "0\n", "possible": "0\n", "has_cpu": "0\n", "has_memory": "0\n", "has_normal_memory": "0\n",
		"node0/cpulist":  online(cpus),
		"node0/distance": "10\n",
		"node0/meminfo":  fmt.Sprintf("Node 0 MemTotal:       %d kB\nNode 0 MemFree:        %d kB\n", mib*1024, mib*1024),
	}
	for _, size := range []int{2048, 1048576} {
		t[fmt.Sprintf("node0/hugepages/hugepages-%dkB/nr_hugepages", size)] = "0\n"
	}
	for _, name := range cpus {
		t["node0/"+name] = "->../../cpu/" + name
	}
	return t
}

func writeTree(dir string, tree map[string]string) error {
	for path, content := range tree {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if to, ok := strings.CutPrefix(content, "->"); ok {
			if err := os.Symlink(to, path); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o444); err != nil {
			return err
		}
	}
	return nil
}

// bootID is random; EC2's product UUIDs begin with ec2.
func bootID() string {
	var r [16]byte
	rand.Read(r[:]) // never fails
	r[6], r[8] = r[6]&0x0f|0x40, r[8]&0x3f|0x80
	return formatUUID(r[:])
}

func formatUUID(r []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", r[0:4], r[4:6], r[6:8], r[8:10], r[10:16])
}
