package instancetype

import (
	"slices"
	"strconv"
	"strings"
)

// A GPU is the accelerator that a family has.
type GPU struct {
	Name         string
	Manufacturer string
	MemoryMiB    int // of one
}

// gpus are the families with GPUs, as AWS publishes them. Families with a part of one
// (g6f) are not among them.
var gpus = map[string]GPU{
	"p2": {"K80", "NVIDIA", 12288}, "p3": {"V100", "NVIDIA", 16384}, "p3dn": {"V100", "NVIDIA", 32768},
	"p4d": {"A100", "NVIDIA", 40960}, "p4de": {"A100", "NVIDIA", 81920}, "p5": {"H100", "NVIDIA", 81920},
	"p5e": {"H200", "NVIDIA", 144384}, "p5en": {"H200", "NVIDIA", 144384}, "p6-b200": {"B200", "NVIDIA", 183359},
	"g3": {"M60", "NVIDIA", 8192}, "g3s": {"M60", "NVIDIA", 8192}, "g4dn": {"T4", "NVIDIA", 16384},
	"g4ad": {"Radeon Pro V520", "AMD", 8192}, "g5": {"A10G", "NVIDIA", 24576}, "g5g": {"T4g", "NVIDIA", 16384},
	"dl1": {"Gaudi HL-205", "Habana", 32768}, "g7e": {"RTX PRO Server 6000", "NVIDIA", 98304},
	"g6": {"L4", "NVIDIA", 22888}, "gr6": {"L4", "NVIDIA", 22888}, "g6e": {"L40S", "NVIDIA", 45776},
}

// GPUModel returns what GPUs the type has, if it has any that are known.
func (t Type) GPUModel() (GPU, bool) {
	g, ok := gpus[t.Family()]
	return g, ok && t.GPU > 0
}

// generation is the first number in the family's name and what letters follow it: 6 and gd of c6gd.
func (t Type) generation() (number int, letters string) {
	family, _, _ := strings.Cut(t.Family(), "-")
	at := strings.IndexAny(family, "0123456789")
	if at < 0 {
		return 0, ""
	}
	end := at
	for end < len(family) && family[end] >= '0' && family[end] <= '9' {
		end++
	}
	number, _ = strconv.Atoi(family[at:end])
	return number, family[end:]
}

// ThreadsPerCore is how many threads a core has unless somebody asks for fewer; 0 where that is
// not known, of the previous generation. ARM has one, and so has AMD since its seventh
// generation, what is made for computing, and the T2; a type with one vCPU cannot have two.
func (t Type) ThreadsPerCore() int {
	number, _ := t.generation()
	switch {
	case !t.Current():
		return 0
	case t.Arch == ARM64, t.VCPU == 1, t.Family() == "t2", strings.HasPrefix(t.Name, "hpc"), t.Manufacturer() == "AMD" && number >= 7:
		return 1
	}
	return 2
}

// stored are the families with disks of their own besides those whose name says so.
var stored = []string{"d2.", "d3.", "d3en.", "dl", "f1.", "f2.", "g5.", "g6.", "g6e.", "g7e.", "gr6.", "h1.", "i", "p5", "p6", "trn", "x1.", "x1e."}

// HasDisks says whether the type comes with disks of its own, an instance store: most with a d
// among the letters behind the generation, and the families that are made for storage. How
// big they are the table does not say, and machines here have none.
func (t Type) HasDisks() bool {
	if _, letters := t.generation(); strings.Contains(letters, "d") {
		return true
	}
	starts := func(prefix string) bool { return strings.HasPrefix(t.Name, prefix) }
	return slices.ContainsFunc(stored, starts) && !starts("inf")
}

// Burstable says whether the type's CPU runs on credits.
func (t Type) Burstable() bool {
	return strings.HasPrefix(t.Name, "t") && !strings.HasPrefix(t.Name, "trn")
}

// previous are the families that AWS calls the previous generation.
var previous = map[string]bool{
	"a1": true, "c1": true, "c3": true, "cc2": true, "cr1": true, "g2": true, "hs1": true, "i2": true,
	"m1": true, "m2": true, "m3": true, "r3": true, "t1": true,
}

// Current says whether the type is of a current generation.
func (t Type) Current() bool { return !previous[t.Family()] }

// processors are the families whose name does not say who made the processor.
var processors = map[string]string{"g5": "AMD", "g6": "AMD", "gr6": "AMD", "g6e": "AMD", "g6f": "AMD", "gr6f": "AMD", "p5": "AMD", "p5e": "AMD"}

// Manufacturer is who made the processor. Most families' names tell: an a among the
// letters behind the generation is AMD, and what runs on ARM is AWS's own.
func (t Type) Manufacturer() string {
	family := t.Family()
	switch {
	case strings.HasPrefix(family, "mac2"), strings.HasPrefix(family, "mac-"):
		return "Apple"
	case t.Arch == ARM64:
		return "AWS"
	case processors[family] != "":
		return processors[family]
	}
	if at := strings.IndexAny(family, "0123456789"); at >= 0 {
		if letters, _, _ := strings.Cut(family[at:], "-"); strings.Contains(letters, "a") {
			return "AMD"
		}
	}
	return "Intel"
}
