package imds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A node is a directory or, if its children are nil, a value.
type node struct {
	children map[string]node
	value    func(context.Context, time.Time) (string, error)
	listed   string // how its directory lists it, if not by its name
}

func dir(children map[string]node) node { return node{children: children} }

func value(s string) node {
	return node{value: func(context.Context, time.Time) (string, error) { return s, nil }}
}

// find walks down the tree.
func (n node) find(parts []string) (node, bool) {
	for len(parts) > 0 {
		next, ok := n.children[parts[0]]
		if !ok {
			return node{}, false
		}
		n, parts = next, parts[1:]
	}
	return n, true
}

// read is a value's text or a directory's listing, where directories have a
// slash at their end.
func (n node) read(ctx context.Context, now time.Time) (string, error) {
	if n.children == nil {
		return n.value(ctx, now)
	}
	var names []string
	for name, child := range n.children {
		switch {
		case child.listed != "":
			name = child.listed
		case child.children != nil:
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, "\n"), nil
}

// entries collects a directory's children and leaves out what is not set.
type entries map[string]node

func (e entries) text(name, s string) {
	if s != "" {
		e[name] = value(s)
	}
}

func (e entries) list(name string, ss []string) { e.text(name, strings.Join(ss, "\n")) }

func (e entries) dir(name string, children entries) {
	if len(children) > 0 {
		e[name] = dir(children)
	}
}

func (in Instance) tree() node {
	latest := entries{
		// Here, unlike below, directories are listed without a slash.
		"meta-data": {children: in.metaData(), listed: "meta-data"},
		"dynamic": {children: entries{"instance-identity": dir(entries{"document": value(in.identity())})},
			listed: "dynamic"},
	}
	if in.UserData != nil {
		latest["user-data"] = value(string(in.UserData))
	}
	return dir(latest)
}

func (in Instance) metaData() entries {
	e := entries{
		"ami-launch-index":  value(strconv.Itoa(in.LaunchIndex)),
		"ami-manifest-path": value("(unknown)"),
		"instance-action":   value("none"),
		"profile":           value("default-hvm"),
		"system":            value("nitro"),
		"events":            dir(in.events()),
		"metrics":           dir(entries{"vhostmd": value(`<?xml version="1.0" encoding="UTF-8"?>`)}),
	}
	e.text("ami-id", in.ImageID)
	e.text("hostname", in.Hostname)
	e.text("instance-id", in.ID)
	e.text("instance-life-cycle", in.LifeCycle)
	e.text("instance-type", in.Type)
	e.text("ipv6", in.IPv6)
	e.text("local-hostname", in.Hostname)
	e.text("local-ipv4", in.PrivateIP)
	e.text("public-hostname", in.PublicHostname)
	e.text("public-ipv4", in.PublicIP)
	e.text("reservation-id", in.ReservationID)
	e.list("security-groups", in.SecurityGroups)
	e.dir("placement", in.placement())
	e.dir("services", in.services())
	e.dir("iam", in.iam())
	e.dir("spot", in.spot())
	if len(in.Interfaces) > 0 {
		e.text("mac", in.Interfaces[0].MAC)
		macs := entries{}
		for _, i := range in.Interfaces {
			macs.dir(i.MAC, i.entries())
		}
		e["network"] = dir(entries{"interfaces": dir(entries{"macs": dir(macs)})})
	}
	devices := entries{}
	for name, device := range in.BlockDevices {
		devices.text(name, device)
	}
	e.dir("block-device-mapping", devices)
	if in.KeyName != "" {
		key := dir(entries{"openssh-key": value(in.PublicKey)})
		key.listed = "0=" + in.KeyName
		e["public-keys"] = dir(entries{"0": key})
	}
	if in.Tags != nil {
		tags := entries{}
		for k, v := range in.Tags {
			tags[k] = value(v) // an empty one is a tag, too
		}
		e["tags"] = dir(entries{"instance": dir(tags)})
	}
	if in.LifecycleState != "" {
		e["autoscaling"] = dir(entries{"target-lifecycle-state": value(in.LifecycleState)})
	}
	return e
}

func (in Instance) placement() entries {
	e := entries{}
	e.text("availability-zone", in.Zone)
	e.text("availability-zone-id", in.ZoneID)
	e.text("region", in.Region)
	return e
}

func (in Instance) services() entries {
	e := entries{}
	e.text("domain", in.Domain)
	e.text("partition", in.Partition)
	return e
}

func (in Instance) events() entries {
	e := entries{"maintenance": dir(entries{"history": value("[]"), "scheduled": value("[]")})}
	if !in.RebalanceNotice.IsZero() {
		e["recommendations"] = dir(entries{"rebalance": value(`{"noticeTime":"` + stamp(in.RebalanceNotice) + `"}`)})
	}
	return e
}

func (in Instance) spot() entries {
	e := entries{}
	e.text("instance-action", in.SpotAction)
	if !in.SpotTerminationTime.IsZero() {
		e.text("termination-time", stamp(in.SpotTerminationTime))
	}
	return e
}

func (in Instance) iam() entries {
	e := entries{}
	if in.ProfileARN == "" {
		return e
	}
	e["info"] = node{value: func(_ context.Context, now time.Time) (string, error) {
		return document(struct {
			Code, LastUpdated, InstanceProfileArn, InstanceProfileId string
		}{"Success", stamp(now), in.ProfileARN, in.ProfileID})
	}}
	if in.Role != "" && in.Credentials != nil {
		e["security-credentials"] = dir(entries{in.Role: {value: in.readCredentials}})
	}
	return e
}

func (in Instance) readCredentials(ctx context.Context, now time.Time) (string, error) {
	c, err := in.Credentials(ctx, in.version)
	if errors.Is(err, ErrNotAssumable) {
		return document(struct{ Code, Message, LastUpdated string }{"AssumeRoleUnauthorizedAccess",
			"EC2 cannot assume the role " + in.Role + ".  Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.",
			stamp(now)})
	}
	if err != nil {
		return "", fmt.Errorf("credentials of role %s: %w", in.Role, err)
	}
	return document(struct {
		Code, LastUpdated, Type, AccessKeyId, SecretAccessKey, Token, Expiration string
	}{"Success", stamp(c.Updated), "AWS-HMAC", c.AccessKeyID, c.SecretAccessKey, c.Token, stamp(c.Expires)})
}

func (i Interface) entries() entries {
	e := entries{
		"device-number": value(strconv.Itoa(i.DeviceNumber)),
		"network-card":  value(strconv.Itoa(i.NetworkCard)),
	}
	e.text("interface-id", i.ID)
	e.list("ipv4-prefix", i.IPv4Prefixes)
	e.list("ipv6-prefix", i.IPv6Prefixes)
	e.list("ipv6s", i.IPv6s)
	e.text("local-hostname", i.Hostname)
	e.list("local-ipv4s", i.PrivateIPs)
	e.text("mac", i.MAC)
	e.text("owner-id", i.Owner)
	e.text("public-hostname", i.PublicHostname)
	e.list("public-ipv4s", slices.Sorted(maps.Keys(i.PublicIPs)))
	e.list("security-group-ids", i.SecurityGroupIDs)
	e.list("security-groups", i.SecurityGroups)
	e.text("subnet-id", i.SubnetID)
	e.text("subnet-ipv4-cidr-block", i.SubnetCIDR)
	e.list("subnet-ipv6-cidr-blocks", i.SubnetIPv6CIDRs)
	e.text("vpc-id", i.VPCID)
	if len(i.VPCCIDRs) > 0 {
		e.text("vpc-ipv4-cidr-block", i.VPCCIDRs[0])
	}
	e.list("vpc-ipv4-cidr-blocks", i.VPCCIDRs)
	e.list("vpc-ipv6-cidr-blocks", i.VPCIPv6CIDRs)
	associations := entries{}
	for public, private := range i.PublicIPs {
		associations.list(public, private)
	}
	e.dir("ipv4-associations", associations)
	return e
}

// identity is the instance identity document, in the layout EC2 gives it.
func (in Instance) identity() string {
	quote := func(s string) string {
		if s == "" {
			return "null"
		}
		return strconv.Quote(s)
	}
	var b strings.Builder
	b.WriteString("{\n")
	fields := [][2]string{
		{"accountId", quote(in.Account)}, {"architecture", quote(in.Architecture)}, {"availabilityZone", quote(in.Zone)},
		{"billingProducts", "null"}, {"devpayProductCodes", "null"}, {"marketplaceProductCodes", "null"},
		{"imageId", quote(in.ImageID)}, {"instanceId", quote(in.ID)}, {"instanceType", quote(in.Type)},
		{"kernelId", "null"}, {"pendingTime", quote(stamp(in.LaunchTime))}, {"privateIp", quote(in.PrivateIP)},
		{"ramdiskId", "null"}, {"region", quote(in.Region)}, {"version", `"2017-09-30"`},
	}
	for n, f := range fields {
		comma := ","
		if n == len(fields)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "  %q : %s%s\n", f[0], f[1], comma)
	}
	b.WriteString("}")
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func document(v any) (string, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return string(raw), err
}
