package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/region"
)

// Pages where no size is asked for, as EC2's.
const (
	typePage     = 100
	offeringPage = 1000
)

// DescribeInstanceTypes lists the instance types. Filters look at the table's facts,
// and only the types of the page are described: there are 1,108.
func (s *Service) DescribeInstanceTypes(_ context.Context, _ awsapi.Call, in *ec2.DescribeInstanceTypesInput) (*ec2.DescribeInstanceTypesOutput, error) {
	match, err := matcher(in.Filters, typeFields, nil)
	if err != nil {
		return nil, err
	}
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	var all []instancetype.Type
	if len(in.InstanceTypes) > 0 {
		if all, err = typesNamed(in.InstanceTypes, match); err != nil {
			return nil, err
		}
	} else {
		for t := range instancetype.All() {
			if match(t) {
				all = append(all, t)
			}
		}
	}
	all, next, err := page(all, func(t instancetype.Type) string { return t.Name }, in.MaxResults, in.NextToken, typePage)
	out := &ec2.DescribeInstanceTypesOutput{NextToken: next}
	for _, t := range all {
		out.InstanceTypes = append(out.InstanceTypes, describeType(t))
	}
	return out, err
}

// typesNamed are the types with the names, in order and once each.
func typesNamed(names []string, match func(instancetype.Type) bool) ([]instancetype.Type, error) {
	var out []instancetype.Type
	var gone []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		t, ok := instancetype.Lookup(name)
		switch {
		case !ok:
			gone = append(gone, name)
		case match(t):
			out = append(out, t)
		}
	}
	if len(gone) > 0 {
		return nil, fault("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(gone, ", "))
	}
	return out, nil
}

// describeType tells what the table knows of a type and what its name says. What would
// have to be made up, such as clock speeds and bandwidths, is left out.
func describeType(t instancetype.Type) ec2.InstanceTypeInfo {
	out := ec2.InstanceTypeInfo{
		InstanceType: &t.Name, CurrentGeneration: new(t.Current()), FreeTierEligible: new(t.Name == "t2.micro" || t.Name == "t3.micro"),
		SupportedUsageClasses: []string{"on-demand", "spot"}, SupportedRootDeviceTypes: []string{"ebs"}, SupportedVirtualizationTypes: []string{"hvm"},
		BareMetal: &t.BareMetal, BurstablePerformanceSupported: new(t.Burstable()), SupportedBootModes: []string{"uefi"},
		ProcessorInfo:            &ec2.ProcessorInfo{SupportedArchitectures: []string{t.Architecture()}, Manufacturer: new(t.Manufacturer())},
		VCpuInfo:                 &ec2.VCpuInfo{DefaultVCpus: new(int32(t.VCPU))},
		MemoryInfo:               &ec2.MemoryInfo{SizeInMiB: new(int64(t.MemoryMiB))},
		InstanceStorageSupported: new(t.HasDisks()), HibernationSupported: new(false), DedicatedHostsSupported: new(false), AutoRecoverySupported: new(true),
		EbsInfo: &ec2.EbsInfo{EbsOptimizedSupport: new("default"), EncryptionSupport: new("supported"), NvmeSupport: new(nvme(t)), MaximumEbsCards: new(int32(1))},
		NetworkInfo: &ec2.NetworkInfo{
			MaximumNetworkInterfaces: new(int32(t.MaxENIs)), Ipv4AddressesPerInterface: new(int32(t.IPv4PerENI)), Ipv6AddressesPerInterface: new(int32(t.IPv4PerENI)),
			Ipv6Supported: new(true), MaximumNetworkCards: new(int32(1)), DefaultNetworkCardIndex: new(int32(0)), EnaSupport: new("required"),
			NetworkCards: []ec2.NetworkCardInfo{{NetworkCardIndex: new(int32(0)), MaximumNetworkInterfaces: new(int32(t.MaxENIs))}},
			EfaSupported: new(false), EncryptionInTransitSupported: new(false), EnaSrdSupported: new(false),
		},
		NitroEnclavesSupport: new("unsupported"), NitroTpmSupport: new("unsupported"),
	}
	if t.Hypervisor != "unknown" {
		out.Hypervisor = &t.Hypervisor
	}
	if n := t.ThreadsPerCore(); n > 0 {
		out.VCpuInfo.DefaultCores, out.VCpuInfo.DefaultThreadsPerCore = new(int32(t.VCPU/n)), new(int32(n))
	}
	if g, ok := t.GPUModel(); ok {
		out.GpuInfo = &ec2.GpuInfo{
			Gpus: []ec2.GpuDeviceInfo{{
				Name: &g.Name, Manufacturer: &g.Manufacturer, Count: new(int32(t.GPU)), MemoryInfo: &ec2.GpuDeviceMemoryInfo{SizeInMiB: new(int32(g.MemoryMiB))},
			}},
			TotalGpuMemoryInMiB: new(int32(t.GPU * g.MemoryMiB)),
		}
	}
	return out
}

func nvme(t instancetype.Type) string {
	if t.Hypervisor == "xen" {
		return "unsupported"
	}
	return "required"
}

func number(f func(instancetype.Type) int) func(instancetype.Type) []string {
	return func(t instancetype.Type) []string { return []string{strconv.Itoa(f(t))} }
}

// known is number for what is known of types whose threads are.
func known(f func(instancetype.Type) int) func(instancetype.Type) []string {
	return func(t instancetype.Type) []string {
		if t.ThreadsPerCore() == 0 {
			return nil
		}
		return []string{strconv.Itoa(f(t))}
	}
}

func boolean(f func(instancetype.Type) bool) func(instancetype.Type) []string {
	return func(t instancetype.Type) []string { return []string{strconv.FormatBool(f(t))} }
}

func constant(values ...string) func(instancetype.Type) []string {
	return always[instancetype.Type](values...)
}

var typeFields = fields[instancetype.Type]{
	"auto-recovery-supported":         constant("true"),
	"bare-metal":                      boolean(func(t instancetype.Type) bool { return t.BareMetal }),
	"burstable-performance-supported": boolean(instancetype.Type.Burstable),
	"current-generation":              boolean(instancetype.Type.Current),
	"dedicated-hosts-supported":       constant("false"),
	"ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps":  constant(),
	"ebs-info.ebs-optimized-info.baseline-iops":               constant(),
	"ebs-info.ebs-optimized-info.baseline-throughput-in-mbps": constant(),
	"ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps":   constant(),
	"ebs-info.ebs-optimized-info.maximum-iops":                constant(),
	"ebs-info.ebs-optimized-info.maximum-throughput-in-mbps":  constant(),
	"ebs-info.ebs-optimized-support":                          constant("default"),
	"ebs-info.encryption-support":                             constant("supported"),
	"ebs-info.nvme-support":                                   func(t instancetype.Type) []string { return []string{nvme(t)} },
	"free-tier-eligible":                                      boolean(func(t instancetype.Type) bool { return t.Name == "t2.micro" || t.Name == "t3.micro" }),
	"hibernation-supported":                                   constant("false"),
	"hypervisor": func(t instancetype.Type) []string {
		if t.Hypervisor == "unknown" {
			return nil
		}
		return []string{t.Hypervisor}
	},
	"instance-storage-info.disk.count":             constant(),
	"instance-storage-info.disk.size-in-gb":        constant(),
	"instance-storage-info.disk.type":              constant(),
	"instance-storage-info.encryption-support":     constant(),
	"instance-storage-info.nvme-support":           constant(),
	"instance-storage-info.total-size-in-gb":       constant(),
	"instance-storage-supported":                   boolean(instancetype.Type.HasDisks),
	"instance-type":                                func(t instancetype.Type) []string { return []string{t.Name} },
	"memory-info.size-in-mib":                      number(func(t instancetype.Type) int { return t.MemoryMiB }),
	"network-info.bandwidth-weightings":            constant(),
	"network-info.efa-info.maximum-efa-interfaces": constant(),
	"network-info.efa-supported":                   constant("false"),
	"network-info.ena-support":                     constant("required"),
	"network-info.encryption-in-transit-supported": constant("false"),
	"network-info.flexible-ena-queues-support":     constant("unsupported"),
	"network-info.ipv4-addresses-per-interface":    number(func(t instancetype.Type) int { return t.IPv4PerENI }),
	"network-info.ipv6-addresses-per-interface":    number(func(t instancetype.Type) int { return t.IPv4PerENI }),
	"network-info.ipv6-supported":                  constant("true"),
	"network-info.maximum-network-cards":           constant("1"),
	"network-info.maximum-network-interfaces":      number(func(t instancetype.Type) int { return t.MaxENIs }),
	"network-info.network-performance":             constant(),
	"nitro-enclaves-support":                       constant("unsupported"),
	"nitro-tpm-info.supported-versions":            constant(),
	"nitro-tpm-support":                            constant("unsupported"),
	"phc-support":                                  constant("unsupported"),
	"processor-info.manufacturer":                  func(t instancetype.Type) []string { return []string{t.Manufacturer()} },
	"processor-info.supported-architecture":        func(t instancetype.Type) []string { return []string{t.Architecture()} },
	"processor-info.supported-features":            constant(),
	"processor-info.sustained-clock-speed-in-ghz":  constant(),
	"reboot-migration-support":                     constant("unsupported"),
	"supported-boot-mode":                          constant("uefi"),
	"supported-root-device-type":                   constant("ebs"),
	"supported-usage-class":                        constant("on-demand", "spot"),
	"supported-virtualization-type":                constant("hvm"),
	"vcpu-info.default-cores":                      known(func(t instancetype.Type) int { return t.VCPU / max(t.ThreadsPerCore(), 1) }),
	"vcpu-info.default-threads-per-core":           known(instancetype.Type.ThreadsPerCore),
	"vcpu-info.default-vcpus":                      number(func(t instancetype.Type) int { return t.VCPU }),
	"vcpu-info.valid-cores":                        constant(),
	"vcpu-info.valid-threads-per-core":             constant(),
}

// DescribeInstanceTypeOfferings tells where types are offered: everywhere.
func (s *Service) DescribeInstanceTypeOfferings(_ context.Context, call awsapi.Call, in *ec2.DescribeInstanceTypeOfferingsInput) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.InstanceTypeOffering]{
		"instance-type": func(o ec2.InstanceTypeOffering) []string { return text(o.InstanceType) },
		"location":      func(o ec2.InstanceTypeOffering) []string { return text(o.Location) },
	}, nil)
	if err != nil {
		return nil, err
	}
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	kind := or(deref(in.LocationType), "region")
	locations, err := locationsOf(call.Region, kind)
	if err != nil {
		return nil, err
	}
	var all []ec2.InstanceTypeOffering
	for t := range instancetype.All() {
		for _, l := range locations {
			if o := (ec2.InstanceTypeOffering{InstanceType: &t.Name, LocationType: &kind, Location: &l}); match(o) {
				all = append(all, o)
			}
		}
	}
	out := &ec2.DescribeInstanceTypeOfferingsOutput{}
	key := func(o ec2.InstanceTypeOffering) string { return *o.InstanceType + "\x00" + *o.Location }
	out.InstanceTypeOfferings, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, offeringPage)
	return out, err
}

func locationsOf(name, kind string) ([]string, error) {
	r, ok := region.Lookup(name)
	if !ok {
		return nil, fault("InvalidParameterValue", "The region '%s' does not exist.", name)
	}
	var out []string
	switch kind {
	case ec2.LocationTypeRegion:
		return []string{name}, nil
	case ec2.LocationTypeAvailabilityZone:
		for _, z := range r.Zones {
			out = append(out, z.Name)
		}
	case ec2.LocationTypeAvailabilityZoneId:
		for _, z := range r.Zones {
			out = append(out, z.ID)
		}
		slices.Sort(out) // pages go by it, and letters need not be in the order of ids
	case ec2.LocationTypeOutpost:
	default:
		return nil, fault("InvalidParameterValue", "Invalid value '%s' for LocationType.", kind)
	}
	return out, nil
}
