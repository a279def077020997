package identity

import (
	"cmp"
	"slices"
	"strconv"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/region"
)

// A target is a resource that an operation is checked on, with the condition keys that the
// request gives of this one: EC2 asks of each resource what its type has, and of no other.
// A condition on the instance type of a launch does not hold of its subnet.
type target struct {
	arn  string
	keys map[string][]string
}

func arns(targets []target) []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range targets {
		if !seen[t.arn] {
			out, seen[t.arn] = append(out, t.arn), true
		}
	}
	return out
}

// keySet are condition keys of what is known only.
type keySet map[string][]string

func (k keySet) text(key, value string) {
	if value != "" {
		k[key] = []string{value}
	}
}

func (k keySet) number(key string, value *int32) {
	if value != nil {
		k[key] = []string{strconv.Itoa(int(*value))}
	}
}

func (k keySet) flag(key string, value *bool) {
	if value != nil {
		k[key] = []string{strconv.FormatBool(*value)}
	}
}

// check is the launch itself.
func (l launch) check(s scope) check {
	return check{action: "ec2:RunInstances", targets: l.targets(s), keys: l.keys(s), made: l.tags}
}

// targets are what ec2:RunInstances is checked on.
func (l launch) targets(s scope) []target {
	image, ok := ami.Resolve(s.call.Region, l.image)
	if !ok {
		image = l.image
	}
	l.addImageDisks(s.call.Region, image)
	var out []target
	for _, kind := range append([]string{l.kind}, l.kinds...) {
		for _, market := range append([]string{l.market}, l.markets...) {
			one := l
			one.kind, one.market = kind, market
			out = append(out, target{s.arn("ec2", "instance/*"), one.instanceKeys(s)})
		}
	}
	for _, arn := range slices.Concat(s.ec2(&image), l.subnets(s), l.securityGroups(s)) {
		out = append(out, target{arn: arn})
	}
	out = append(out, l.interfaceTargets(s)...)
	out = append(out, l.volumeTargets(s)...)
	if l.key != "" {
		out = append(out, target{arn: s.arn("ec2", "key-pair/"+l.key)})
	}
	if l.template.ID != "" {
		out = append(out, target{arn: s.arn("ec2", "launch-template/"+l.template.ID)})
	}
	return out
}

// keys are those of all resources of a launch.
func (l launch) keys(s scope) map[string][]string {
	keys := map[string][]string{"ec2:IsLaunchTemplateResource": {strconv.FormatBool(l.template.ID != "")}}
	if l.template.ID != "" {
		keys["ec2:LaunchTemplate"] = []string{s.arn("ec2", "launch-template/"+l.template.ID)}
	}
	return keys
}

func (l launch) instanceKeys(s scope) map[string][]string {
	k := keySet{"ec2:InstanceMarketType": {"on-demand"}, "ec2:Tenancy": {"default"}, "ec2:EbsOptimized": {"false"}, "ec2:RootDeviceType": {"ebs"}}
	k.text("ec2:InstanceType", l.kind)
	k.text("ec2:InstanceMarketType", l.market)
	k.text("ec2:Tenancy", l.tenancy)
	k.flag("ec2:EbsOptimized", l.ebsOptimized)
	k.text("ec2:MetadataHttpTokens", l.tokens)
	k.text("ec2:MetadataHttpEndpoint", l.endpoint)
	k.number("ec2:MetadataHttpPutResponseHopLimit", l.hops)
	k.text("ec2:AvailabilityZone", l.zone(s))
	if l.hasProfile() {
		id := deref(l.profile.Arn)
		if id == "" {
			id = s.profile(l.profile.Name, nil)[0]
		}
		k.text("ec2:InstanceProfile", id)
	}
	return k
}

// cards are the interfaces of the launch, of which there is always one.
func (l launch) cards() []networkCard {
	if len(l.interfaces) == 0 {
		return []networkCard{{subnet: l.subnet}}
	}
	out := slices.Clone(l.interfaces)
	for i := range out {
		out[i].subnet = cmp.Or(l.subnet, out[i].subnet) // the launch's wins, as a fleet's does
	}
	return out
}

// subnets are the ARNs of those that the launch makes interfaces in.
func (l launch) subnets(s scope) (out []string) {
	for _, c := range l.cards() {
		if c.id == "" {
			out = append(out, s.ec2(&c.subnet)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// securityGroups are the ARNs of those that the interfaces are made with: the launch's own
// where an interface has none.
func (l launch) securityGroups(s scope) (out []string) {
	rest := false
	for _, c := range l.cards() {
		if c.id == "" {
			out, rest = append(out, s.ec2s(c.groups)...), rest || len(c.groups) == 0
		}
	}
	if rest {
		out = append(out, s.ec2s(l.groups)...)
		for _, name := range l.named {
			out = append(out, s.groups(nil, &name)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// zone is where the launch's interfaces are, which is one zone, or else the one that it asks for.
func (l launch) zone(s scope) string {
	for _, c := range l.cards() {
		if n, ok := s.tx.Interfaces.Get(c.id); ok && n.Account == s.call.Account {
			return n.Zone
		}
		if n, ok := s.tx.Subnets.Get(c.subnet); ok && n.Account == s.call.Account {
			return n.Zone
		}
	}
	r, _ := region.Lookup(s.call.Region)
	z, _ := r.Zone(l.place)
	return z.Name
}

func (l launch) interfaceTargets(s scope) []target {
	var out []target
	for _, c := range l.cards() {
		k := keySet{}
		k.flag("ec2:AssociatePublicIpAddress", c.public)
		if c.id != "" {
			out = append(out, target{s.ec2(&c.id)[0], k})
			continue
		}
		k.text("ec2:AvailabilityZone", l.zone(s))
		if n, ok := s.tx.Subnets.Get(c.subnet); ok && n.Account == s.call.Account {
			k.text("ec2:Subnet", s.arn("ec2", "subnet/"+n.ID))
			k.text("ec2:Vpc", s.arn("ec2", "vpc/"+n.VPC))
		}
		out = append(out, target{s.arn("ec2", "network-interface/*"), k})
	}
	return out
}

func (l launch) volumeTargets(s scope) []target {
	disks := l.disks
	if len(disks) == 0 {
		disks = []disk{{}}
	}
	var out []target
	for _, d := range disks {
		k := keySet{"ec2:Encrypted": {"false"}, "ec2:VolumeType": {"gp2"}}
		k.flag("ec2:Encrypted", d.encrypted)
		k.text("ec2:VolumeType", d.kind)
		k.number("ec2:VolumeSize", d.gib)
		k.number("ec2:VolumeIops", d.iops)
		k.number("ec2:VolumeThroughput", d.throughput)
		k.text("ec2:AvailabilityZone", l.zone(s))
		if d.snapshot != "" {
			k.text("ec2:ParentSnapshot", "arn:aws:ec2:"+s.call.Region+"::snapshot/"+d.snapshot)
		}
		out = append(out, target{s.arn("ec2", "volume/*"), k})
	}
	return out
}

// addImageDisks adds what the image leaves the launch with.
func (l *launch) addImageDisks(region, image string) {
	i, ok := ami.ByID(region, image)
	if !ok {
		return
	}
	l.disks = slices.Clone(l.disks)
	gp3 := func(device, snapshot string, gib int32) disk {
		return disk{device: device, kind: "gp3", snapshot: snapshot, gib: &gib}
	}
	if data := i.DataSnapshot(); data != "" {
		l.addDisk(gp3(ami.RootDevice, i.Snapshot, ami.SystemDiskGiB))
		l.addDisk(gp3(ami.DataDevice, data, ami.DefaultDiskGiB))
		return
	}
	l.addDisk(gp3(ami.RootDevice, i.Snapshot, ami.DefaultDiskGiB))
}

// also are a launch's dependent actions.
func (l launch) also(s scope) []check {
	return append(l.passes(s), s.tagOnCreate(l.tags)...)
}
