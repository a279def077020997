package eks

import (
	"strings"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/instancetype"
)

// The images that a node group has unless it asks for another.
const (
	amiX86 = "AL2023_x86_64_STANDARD"
	amiARM = "AL2023_ARM_64_STANDARD"
)

// An amiKind is what an amiType stands for.
type amiKind struct {
	arch    string
	variant string // of package ami; what it has no images of is only named here
}

// Variants of which there are no images.
const (
	amazonLinux2 = "amazon-linux-2"
	windows      = "windows"
	nvidia       = "nvidia"
	neuron       = "neuron"
)

// amiTypes are the model's, but for CUSTOM. A FIPS image is the same one: the programs that
// make one of it are this machine's own.
var amiTypes = map[string]amiKind{
	amiX86: {ami.X8664, ami.Standard}, amiARM: {ami.ARM64, ami.Standard},
	"AL2023_x86_64_NVIDIA": {ami.X8664, nvidia}, "AL2023_ARM_64_NVIDIA": {ami.ARM64, nvidia}, "AL2023_x86_64_NEURON": {ami.X8664, neuron},
	"AL2_x86_64": {ami.X8664, amazonLinux2}, "AL2_ARM_64": {ami.ARM64, amazonLinux2}, "AL2_x86_64_GPU": {ami.X8664, nvidia},
	"BOTTLEROCKET_x86_64": {ami.X8664, ami.Bottlerocket}, "BOTTLEROCKET_ARM_64": {ami.ARM64, ami.Bottlerocket},
	"BOTTLEROCKET_x86_64_FIPS": {ami.X8664, ami.Bottlerocket}, "BOTTLEROCKET_ARM_64_FIPS": {ami.ARM64, ami.Bottlerocket},
	"BOTTLEROCKET_x86_64_NVIDIA": {ami.X8664, nvidia}, "BOTTLEROCKET_ARM_64_NVIDIA": {ami.ARM64, nvidia},
	"BOTTLEROCKET_x86_64_NVIDIA_FIPS": {ami.X8664, nvidia}, "BOTTLEROCKET_ARM_64_NVIDIA_FIPS": {ami.ARM64, nvidia},
	"WINDOWS_CORE_2019_x86_64": {ami.X8664, windows}, "WINDOWS_FULL_2019_x86_64": {ami.X8664, windows},
	"WINDOWS_CORE_2022_x86_64": {ami.X8664, windows}, "WINDOWS_FULL_2022_x86_64": {ami.X8664, windows},
	"WINDOWS_CORE_2025_x86_64": {ami.X8664, windows}, "WINDOWS_FULL_2025_x86_64": {ami.X8664, windows},
}

// runsOn says whether instances of a type can be made from images of the kind.
func (k amiKind) runsOn(t instancetype.Type) bool {
	switch k.variant {
	case nvidia:
		if gpu, ok := t.GPUModel(); !ok || gpu.Manufacturer != "NVIDIA" {
			return false
		}
	case neuron:
		if !strings.HasPrefix(t.Name, "inf") && !strings.HasPrefix(t.Name, "trn") {
			return false
		}
	}
	return t.Architecture() == k.arch
}

// available refuses the kinds that there are no images of, whatever the version.
func (k amiKind) available(sub subject) error {
	switch k.variant {
	case windows:
		return sub.notYet("Windows nodes (an amiType WINDOWS_…) are")
	case nvidia, neuron:
		return sub.notYet("Nodes with accelerators (an amiType …_GPU, …_NVIDIA or …_NEURON) are")
	}
	return nil
}
