package instancetype

import "strings"

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
