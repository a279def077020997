package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/imds"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resolver"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// metadata is the metadata service of one VPC: who asks is told by the address that the
// request comes from.
func (d *Daemon) metadata(vpc string) *imds.Handler {
	return imds.New(imds.Config{
		Key: d.metadataKey, Log: d.log, Now: time.Now,
		Instance: func(_ context.Context, remote netip.Addr) (out imds.Instance, ok bool) {
			_ = d.store.View(func(tx *store.Tx) error {
				var in resource.Instance
				if in, ok = instanceAt(tx, vpc, remote); ok {
					out = d.describeInstance(tx, in)
				}
				return nil
			})
			return out, ok
		},
	})
}

func instanceAt(tx *store.Tx, vpc string, addr netip.Addr) (resource.Instance, bool) {
	for _, i := range tx.Interfaces.All() {
		if i.VPC != vpc || i.Attachment == nil || i.Attachment.Instance == "" {
			continue
		}
		has := func(p netip.Prefix) bool { return p.Contains(addr) } // its pods' addresses
		if slices.Contains(i.Addresses, addr) || slices.Contains(i.Addresses6, addr) || slices.ContainsFunc(i.Prefixes, has) {
			return tx.Instances.Get(i.Attachment.Instance)
		}
	}
	return resource.Instance{}, false
}

func (d *Daemon) describeInstance(tx *store.Tx, in resource.Instance) imds.Instance {
	s := in.Spec
	out := imds.Instance{
		ID: in.ID, Type: s.Type, ImageID: s.Image, Account: in.Account, Region: in.Region, Zone: s.Zone,
		Domain: "amazonaws.com", Partition: "aws", ReservationID: in.Reservation, LaunchIndex: int(s.AMILaunchIndex), LaunchTime: in.Launched,
		LifeCycle: "on-demand", KeyName: s.KeyName, Hostname: s.PrivateDNS, PrivateIP: s.PrivateIP, UserData: s.UserData,
		BlockDevices:   map[string]string{"ami": "/dev/xvda", "root": "/dev/xvda"},
		TokensRequired: s.HTTPTokens == "required", Disabled: s.HTTPEndpoint == "disabled", HopLimit: int(s.HopLimit),
		IPv6Enabled: s.MetadataIPv6 == "enabled",
	}
	for n, v := range s.Volumes[min(1, len(s.Volumes)):] { // those besides the root volume
		out.BlockDevices[fmt.Sprint("ebs", n+1)] = strings.TrimPrefix(v.Device, "/dev/")
	}
	if s.Lifecycle != "" {
		out.LifeCycle = s.Lifecycle
	}
	if r, ok := tx.SpotRequests.Get(s.SpotRequest); ok {
		out.RebalanceNotice = r.Rebalance
		if !r.Interruption.IsZero() {
			out.SpotTerminationTime = r.Interruption
			out.SpotAction = `{"action":"terminate","time":"` + r.Interruption.UTC().Format("2006-01-02T15:04:05Z") + `"}`
		}
	}
	if t, ok := instancetype.Lookup(s.Type); ok {
		out.Architecture = t.Architecture()
	}
	if sn, ok := tx.Subnets.Get(s.Subnet); ok {
		out.ZoneID = sn.ZoneID
	}
	if s.MetadataTags == "enabled" {
		out.Tags = in.Tags
	}
	for _, k := range tx.KeyPairs.All() {
		if k.Home == in.Home && k.Name == s.KeyName {
			out.PublicKey = k.PublicKey
		}
	}
	if m, ok := tx.GroupInstances.Get(in.ID); ok {
		out.LifecycleState = m.Target()
	}
	for n, eni := range provision.InterfacesOf(tx, in.ID) {
		if n == 0 {
			out.PublicIP = eni.PublicIP
		}
		out.Interfaces = append(out.Interfaces, describeInterface(tx, eni))
	}
	if len(out.Interfaces) > 0 {
		out.SecurityGroups, out.Hostname = out.Interfaces[0].SecurityGroups, out.Interfaces[0].Hostname
		out.PublicHostname = out.Interfaces[0].PublicHostname
		if six := out.Interfaces[0].IPv6s; len(six) > 0 {
			out.IPv6 = six[0]
		}
	}
	if p, ok := tx.InstanceProfiles.Get(s.InstanceProfileARN); ok {
		out.ProfileARN, out.ProfileID = p.ARN, p.ID
		if r, ok := tx.Roles.Get(p.Role); ok {
			out.Role = r.Name
			out.Credentials = func(ctx context.Context, version string) (imds.Credentials, error) {
				return d.instanceCredentials(ctx, in, version)
			}
		}
	}
	return out
}

func (d *Daemon) instanceCredentials(ctx context.Context, in resource.Instance, version string) (imds.Credentials, error) {
	s, ok, err := d.instances.Credentials(ctx, in, version, time.Now())
	if errors.Is(err, identity.ErrNotTrusted) {
		return imds.Credentials{}, fmt.Errorf("%w: %w", imds.ErrNotAssumable, err)
	}
	if err != nil {
		return imds.Credentials{}, err
	}
	if !ok {
		return imds.Credentials{}, fmt.Errorf("instance %s has no role: %w", in.ID, imds.ErrNotAssumable)
	}
	return imds.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.Secret, Token: s.Token, Updated: s.Issued, Expires: s.Expires}, nil
}

func describeInterface(tx *store.Tx, i resource.NetworkInterface) imds.Interface {
	out := imds.Interface{
		MAC: i.MAC, ID: i.ID, Owner: i.Account, SubnetID: i.Subnet, VPCID: i.VPC, SecurityGroupIDs: i.SecurityGroups,
		Hostname: provision.HostName(tx, i.VPC, i.Region, i.Addresses[0]),
	}
	if i.Attachment != nil {
		out.DeviceNumber = int(i.Attachment.DeviceIndex)
	}
	for _, a := range i.Addresses {
		out.PrivateIPs = append(out.PrivateIPs, a.String())
	}
	if i.PublicIP != "" {
		out.PublicIPs = map[string][]string{i.PublicIP: {i.Addresses[0].String()}}
	}
	for _, p := range i.SecondaryPublic {
		if out.PublicIPs == nil {
			out.PublicIPs = map[string][]string{}
		}
		out.PublicIPs[p.Public.String()] = []string{p.Private.String()}
	}
	for _, a := range i.Addresses6 {
		out.IPv6s = append(out.IPv6s, a.String())
	}
	for _, p := range i.Prefixes {
		if p.Addr().Is6() {
			out.IPv6Prefixes = append(out.IPv6Prefixes, p.String())
		} else {
			out.IPv4Prefixes = append(out.IPv4Prefixes, p.String())
		}
	}
	if s, ok := tx.Subnets.Get(i.Subnet); ok {
		out.SubnetCIDR = s.CIDR.String()
		if s.CIDR6.CIDR.IsValid() {
			out.SubnetIPv6CIDRs = []string{s.CIDR6.CIDR.String()}
		}
	}
	if v, ok := tx.VPCs.Get(i.VPC); ok {
		for _, c := range v.CIDRs {
			out.VPCCIDRs = append(out.VPCCIDRs, c.CIDR.String())
		}
		for _, c := range v.CIDRs6 {
			out.VPCIPv6CIDRs = append(out.VPCIPv6CIDRs, c.CIDR.String())
		}
		if i.PublicIP != "" && v.DNSHostnames {
			out.PublicHostname = provision.PublicDNS(i.Region, i.PublicIP)
		}
	}
	for _, id := range i.SecurityGroups {
		if g, ok := tx.SecurityGroups.Get(id); ok {
			out.SecurityGroups = append(out.SecurityGroups, g.Name)
		}
	}
	return out
}

// zone is what a VPC's DNS server knows: the names of private addresses, and AWS's own
// names, which lead to the front door.
func (d *Daemon) zone(vpc string) resolver.Config {
	return resolver.Config{
		Upstreams: resolver.FromFile("/etc/resolv.conf"), Log: d.log, Reverse: d.privateName(vpc), Off: func() bool { return !d.attributes(vpc).DNSSupport },
		Zone: func(name string) (out []netip.Addr, known bool) {
			if at := d.endpointsOf(vpc, name); at != nil {
				return at, true
			}
			if apiName(name) {
				return []netip.Addr{network.InternetAddress}, true
			}
			if a := d.addressOf(vpc, name); a.IsValid() {
				return []netip.Addr{a}, true
			}
			return d.addressesOfInstance(vpc, name)
		},
	}
}

// attributes are the VPC as it is now.
func (d *Daemon) attributes(vpc string) (v resource.VPC) {
	_ = d.store.View(func(tx *store.Tx) error { v, _ = tx.VPCs.Get(vpc); return nil })
	return v
}

// addressOf is the private address that a name of an instance's stands for: the private
// name does everywhere, the public one inside of its VPC.
func (d *Daemon) addressOf(vpc, name string) (out netip.Addr) {
	if !strings.HasPrefix(name, "ip-") && !strings.HasPrefix(name, "ec2-") {
		return out
	}
	_ = d.store.View(func(tx *store.Tx) error {
		v, _ := tx.VPCs.Get(vpc)
		for _, i := range tx.Interfaces.All() {
			if i.VPC != vpc {
				continue
			}
			if v.DNSHostnames && i.PublicIP != "" && provision.PublicDNS(i.Region, i.PublicIP) == name {
				out = i.Addresses[0]
			}
			for _, p := range i.SecondaryPublic {
				if v.DNSHostnames && provision.PublicDNS(i.Region, p.Public.String()) == name {
					out = p.Private
				}
			}
			for _, a := range i.Addresses {
				if provision.PrivateDNS(i.Region, a) == name {
					out = a
				}
			}
		}
		return nil
	})
	return out
}

// addressesOfInstance are those that an instance's own name, i-….us-west-2.compute.internal,
// stands for: of the families for which the instance's options say so.
func (d *Daemon) addressesOfInstance(vpc, name string) (out []netip.Addr, known bool) {
	id, _, _ := strings.Cut(name, ".")
	_ = d.store.View(func(tx *store.Tx) error {
		in, _ := tx.Instances.Get(id)
		n := in.Spec.Names
		known = in.Spec.VPC == vpc && (n.A || n.AAAA) && name == provision.ResourceDNS(in.Region, id)
		if eni, ok := tx.Interfaces.Get(in.Spec.PrimaryInterface); ok && known {
			if n.A {
				out = append(out, eni.Addresses[0])
			}
			if n.AAAA {
				out = append(out, eni.Addresses6...)
			}
		}
		return nil
	})
	return out, known
}

// endpointsOf are the addresses of the VPC's interface endpoint that has taken over the
// name, nil if none has.
func (d *Daemon) endpointsOf(vpc, name string) (out []netip.Addr) {
	_ = d.store.View(func(tx *store.Tx) error {
		for _, e := range tx.VPCEndpoints.All() {
			if e.VPC != vpc || !slices.Contains(provision.EndpointNames(e), name) {
				continue
			}
			for _, id := range e.Interfaces {
				if eni, ok := tx.Interfaces.Get(id); ok {
					out = append(out, eni.Addresses[0])
				}
			}
		}
		return nil
	})
	return out
}

// privateName is the name of a private address of the VPC.
func (d *Daemon) privateName(vpc string) func(netip.Addr) (string, bool) {
	return func(addr netip.Addr) (name string, known bool) {
		_ = d.store.View(func(tx *store.Tx) error {
			for _, i := range tx.Interfaces.All() {
				if i.VPC == vpc && slices.Contains(i.Addresses, addr) {
					name, known = provision.PrivateDNS(i.Region, addr), true
					return nil
				}
				if i.VPC == vpc && i.Attachment != nil && slices.Contains(i.Addresses6, addr) {
					in, _ := tx.Instances.Get(i.Attachment.Instance)
					name, known = provision.ResourceDNS(i.Region, in.ID), in.Spec.Names.AAAA && in.Spec.PrimaryInterface == i.ID
					return nil
				}
			}
			return nil
		})
		return name, known
	}
}

// apiName says whether name is an AWS API's: sts.us-west-2.amazonaws.com, iam.amazonaws.com,
// eks-auth.us-west-2.api.aws. All of them lead to the front door, which refuses by name what it
// does not serve: nothing in a VPC reaches AWS itself, so that a client of kms or sqs would else
// wait for an answer for ever. Names below an API's (a bucket's, a registry's) are not the API's.
func apiName(name string) bool {
	rest, ok := strings.CutSuffix(name, ".amazonaws.com")
	if !ok {
		rest, ok = strings.CutSuffix(name, ".api.aws")
	}
	label, place, regional := strings.Cut(rest, ".")
	if !ok || label == "" {
		return false
	}
	if !regional {
		return true
	}
	_, known := region.Lookup(strings.TrimPrefix(place, "ecr."))
	return known && (label == "api" || !strings.HasPrefix(place, "ecr.")) // api.ecr is the one with two labels
}
