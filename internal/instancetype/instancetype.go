// Package instancetype knows EC2's instance types: sizes, network limits, price.
//
// The table (types.csv) holds the facts of shared/data/instance-types.json, as
// published by AWS in 2026, one line a type in the order of names:
//
//	name,vCPU,memory MiB,GPUs,architecture,ENIs,IPv4 per ENI,hypervisor,metal or "",USD per hour or ""
//
// It stays text: Lookup searches the lines by halves and reads one, so the daemon
// neither parses 1,108 types to start nor keeps them in memory.
//
// Nothing here says where a type is offered (everywhere), nor how fast its disks
// and network are.
package instancetype

import (
	_ "embed"
	"iter"
	"sort"
	"strconv"
	"strings"
)

//go:embed types.csv
var table string

// Architectures, as Kubernetes spells them. EC2 says x86_64 for AMD64.
const (
	AMD64 = "amd64"
	ARM64 = "arm64"
)

// A Type is one instance type.
type Type struct {
	Name       string
	VCPU       int
	MemoryMiB  int
	GPU        int
	Arch       string // AMD64, ARM64
	MaxENIs    int
	IPv4PerENI int
	Hypervisor string // nitro, xen, unknown
	BareMetal  bool
	PriceUSD   float64 // on demand, Linux, an hour in us-east-1; 0 where there is none (mac)
}

// Lookup returns the type called name, and whether there is one.
func Lookup(name string) (Type, bool) {
	if name == "" {
		return Type{}, false
	}
	// Search over byte offsets: the line that an offset falls into.
	i := sort.Search(len(table), func(i int) bool {
		return nameOf(lineAt(i)) >= name
	})
	if i == len(table) {
		return Type{}, false
	}
	line := lineAt(i)
	if nameOf(line) != name {
		return Type{}, false
	}
	return parse(line), true
}

// All yields every type in the order of names.
func All() iter.Seq[Type] {
	return func(yield func(Type) bool) {
		for line := range strings.Lines(table) {
			if !yield(parse(strings.TrimSuffix(line, "\n"))) {
				return
			}
		}
	}
}

// MaxPods is EKS's rule for how many pods an instance of the type takes: one address
// of each interface is the node's, and two pods use the host's network.
func MaxPods(t Type) int { return t.MaxENIs*(t.IPv4PerENI-1) + 2 }

// Family is the part before the dot: m5.
func (t Type) Family() string {
	f, _, _ := strings.Cut(t.Name, ".")
	return f
}

// Architecture is the type's architecture as EC2 spells it: x86_64, arm64.
func (t Type) Architecture() string {
	if t.Arch == AMD64 {
		return "x86_64"
	}
	return t.Arch
}

// lineAt returns the line that offset i is in.
func lineAt(i int) string {
	start := strings.LastIndexByte(table[:i], '\n') + 1
	end := strings.IndexByte(table[i:], '\n')
	if end < 0 {
		return table[start:]
	}
	return table[start : i+end]
}

func nameOf(line string) string {
	name, _, _ := strings.Cut(line, ",")
	return name
}

func parse(line string) Type {
	f := strings.Split(line, ",")
	return Type{
		Name: f[0], VCPU: number(f[1]), MemoryMiB: number(f[2]), GPU: number(f[3]), Arch: f[4],
		MaxENIs: number(f[5]), IPv4PerENI: number(f[6]), Hypervisor: f[7], BareMetal: f[8] != "", PriceUSD: price(f[9]),
	}
}

// number and price read what the package's test has checked to be numbers.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func price(s string) float64 {
	p, _ := strconv.ParseFloat(s, 64)
	return p
}
