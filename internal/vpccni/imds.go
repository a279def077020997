package vpccni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// An ENI is one network interface of the instance, as IMDS and EC2 describe it.
type ENI struct {
	ID        string
	MAC       string
	Device    int // 0 is the primary one
	Subnet    netip.Prefix
	Primary   netip.Addr
	Secondary []netip.Addr // what pods can have
}

// gateway is the subnet's router: its first address after the network's.
func (e ENI) gateway() netip.Addr { return e.Subnet.Masked().Addr().Next() }

// An Instance is what the agent must know of its machine.
type Instance struct {
	ID, Type, Region string
	MAC              string // of the primary ENI
	SubnetID         string
	SecurityGroups   []string
	VPC              []netip.Prefix
	ENIs             []ENI
}

// errAbsent: IMDS has no such key.
var errAbsent = errors.New("not in the instance metadata")

// metadata is an IMDSv2 client.
type metadata struct {
	base string // e.g. http://169.254.169.254
	http *http.Client

	mu    sync.Mutex
	token string
}

func (m *metadata) session(ctx context.Context, fresh bool) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.token != "" && !fresh {
		return m.token, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, m.base+"/latest/api/token", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
	body, status, err := fetch(m.http, req)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("instance metadata token: HTTP %d", status)
	}
	m.token = string(body)
	return m.token, nil
}

// get reads a path below /latest/.
func (m *metadata) get(ctx context.Context, path string) (string, error) {
	for fresh := false; ; fresh = true {
		token, err := m.session(ctx, fresh)
		if err != nil {
			return "", fmt.Errorf("instance metadata %s: %w", path, err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+"/latest/"+path, nil)
		if err != nil {
			return "", fmt.Errorf("instance metadata %s: %w", path, err)
		}
		req.Header.Set("X-aws-ec2-metadata-token", token)
		body, status, err := fetch(m.http, req)
		switch {
		case err != nil:
			return "", fmt.Errorf("instance metadata %s: %w", path, err)
		case status == http.StatusOK:
			return string(body), nil
		case status == http.StatusNotFound:
			return "", fmt.Errorf("instance metadata %s: %w", path, errAbsent)
		case status == http.StatusUnauthorized && !fresh: // the token's time is over
		default:
			return "", fmt.Errorf("instance metadata %s: HTTP %d", path, status)
		}
	}
}

func fetch(c *http.Client, req *http.Request) ([]byte, int, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return body, resp.StatusCode, err
}

// instance reads all that Instance holds.
func (m *metadata) instance(ctx context.Context) (Instance, error) {
	var in Instance
	var macs string
	for _, f := range []struct {
		path string
		to   *string
	}{
		{"meta-data/instance-id", &in.ID},
		{"meta-data/instance-type", &in.Type},
		{"meta-data/placement/region", &in.Region},
		{"meta-data/mac", &in.MAC},
		{"meta-data/network/interfaces/macs/", &macs},
	} {
		v, err := m.get(ctx, f.path)
		if err != nil {
			return in, err
		}
		*f.to = strings.TrimSpace(v)
	}
	for _, mac := range strings.Fields(macs) {
		e, err := m.eni(ctx, strings.TrimSuffix(mac, "/"))
		if err != nil {
			return in, err
		}
		in.ENIs = append(in.ENIs, e)
	}
	primary := "meta-data/network/interfaces/macs/" + in.MAC + "/"
	subnet, err := m.get(ctx, primary+"subnet-id")
	if err != nil {
		return in, err
	}
	in.SubnetID = subnet
	groups, err := m.get(ctx, primary+"security-group-ids")
	if err != nil {
		return in, err
	}
	in.SecurityGroups = strings.Fields(groups)
	blocks, err := m.get(ctx, primary+"vpc-ipv4-cidr-blocks")
	if err != nil {
		return in, err
	}
	if in.VPC, err = parsePrefixes(strings.Fields(blocks)); err != nil {
		return in, fmt.Errorf("instance metadata: vpc-ipv4-cidr-blocks: %w", err)
	}
	return in, nil
}

func (m *metadata) eni(ctx context.Context, mac string) (ENI, error) {
	e := ENI{MAC: mac}
	base := "meta-data/network/interfaces/macs/" + mac + "/"
	var device, addrs, subnet string
	for _, f := range []struct {
		key string
		to  *string
	}{{"interface-id", &e.ID}, {"device-number", &device}, {"local-ipv4s", &addrs}, {"subnet-ipv4-cidr-block", &subnet}} {
		v, err := m.get(ctx, base+f.key)
		if err != nil {
			return e, err
		}
		*f.to = strings.TrimSpace(v)
	}
	var err error
	if e.Device, err = strconv.Atoi(device); err != nil {
		return e, fmt.Errorf("instance metadata: device-number of %s: %w", mac, err)
	}
	if e.Subnet, err = netip.ParsePrefix(subnet); err != nil {
		return e, fmt.Errorf("instance metadata: subnet of %s: %w", mac, err)
	}
	for i, s := range strings.Fields(addrs) { // the primary address comes first
		a, err := netip.ParseAddr(s)
		if err != nil {
			return e, fmt.Errorf("instance metadata: addresses of %s: %w", mac, err)
		}
		if i == 0 {
			e.Primary = a
		} else {
			e.Secondary = append(e.Secondary, a)
		}
	}
	if !e.Primary.IsValid() {
		return e, fmt.Errorf("instance metadata: %s has no address", mac)
	}
	return e, nil
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
