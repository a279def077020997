package vpccni

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// ec2 calls the few EC2 operations that the agent needs. It speaks the query
// protocol itself: the SDK's EC2 client would be most of the agent's memory.
type ec2 struct {
	endpoint string
	region   string
	http     *http.Client
	creds    *credentials
	signer   *v4.Signer
}

// An apiError is an error that EC2 answered.
type apiError struct {
	Operation string
	Code      string
	Message   string
}

func (e *apiError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Operation, e.Code, e.Message) }

func (c *ec2) call(ctx context.Context, op string, params url.Values, out any) error {
	form := url.Values{"Action": {op}, "Version": {"2016-11-15"}}
	for k, v := range params {
		form[k] = v
	}
	body := form.Encode()
	creds, err := c.creds.get(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	if err := c.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "ec2", c.region, time.Now()); err != nil {
		return fmt.Errorf("%s: signing: %w", op, err)
	}
	answer, status, err := fetch(c.http, req)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if status != http.StatusOK {
		var e struct {
			Code    string `xml:"Errors>Error>Code"`
			Message string `xml:"Errors>Error>Message"`
		}
		if err := xml.Unmarshal(answer, &e); err != nil || e.Code == "" {
			return fmt.Errorf("%s: HTTP %d: %.200s", op, status, answer)
		}
		return &apiError{op, e.Code, e.Message}
	}
	if out == nil {
		return nil
	}
	if err := xml.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", op, err)
	}
	return nil
}

// limits is how many ENIs an instance type may have, and addresses on each
// (the primary one included).
type limits struct{ ENIs, Addresses int }

func (c *ec2) limits(ctx context.Context, instanceType string) (limits, error) {
	var out struct {
		Types []struct {
			ENIs      int `xml:"networkInfo>maximumNetworkInterfaces"`
			Addresses int `xml:"networkInfo>ipv4AddressesPerInterface"`
		} `xml:"instanceTypeSet>item"`
	}
	if err := c.call(ctx, "DescribeInstanceTypes", url.Values{"InstanceType.1": {instanceType}}, &out); err != nil {
		return limits{}, err
	}
	if len(out.Types) != 1 || out.Types[0].ENIs < 1 || out.Types[0].Addresses < 1 {
		return limits{}, fmt.Errorf("DescribeInstanceTypes: no network limits of %s", instanceType)
	}
	return limits{out.Types[0].ENIs, out.Types[0].Addresses}, nil
}

// assign adds n addresses to an ENI and gives them.
func (c *ec2) assign(ctx context.Context, eni string, n int) ([]netip.Addr, error) {
	var out struct {
		Addresses []string `xml:"assignedPrivateIpAddressesSet>item>privateIpAddress"`
	}
	err := c.call(ctx, "AssignPrivateIpAddresses", url.Values{
		"NetworkInterfaceId": {eni}, "SecondaryPrivateIpAddressCount": {strconv.Itoa(n)},
	}, &out)
	if err != nil {
		return nil, err
	}
	return parseAddrs("AssignPrivateIpAddresses", out.Addresses)
}

func (c *ec2) unassign(ctx context.Context, eni string, addrs []netip.Addr) error {
	p := url.Values{"NetworkInterfaceId": {eni}}
	for i, a := range addrs {
		p.Set("PrivateIpAddress."+strconv.Itoa(i+1), a.String())
	}
	return c.call(ctx, "UnassignPrivateIpAddresses", p, nil)
}

// create makes an ENI with n secondary addresses, tagged so that EKS's clean-up
// after a lost node finds it.
func (c *ec2) create(ctx context.Context, in Instance, cluster string, n int) (ENI, error) {
	p := url.Values{
		"SubnetId":                        {in.SubnetID},
		"Description":                     {"aws-K8S-" + in.ID},
		"SecondaryPrivateIpAddressCount":  {strconv.Itoa(n)},
		"TagSpecification.1.ResourceType": {"network-interface"},
	}
	for i, g := range in.SecurityGroups {
		p.Set("SecurityGroupId."+strconv.Itoa(i+1), g)
	}
	tags := [][2]string{
		{"node.k8s.amazonaws.com/instance_id", in.ID},
		{"node.k8s.amazonaws.com/createdAt", time.Now().UTC().Format(time.RFC3339)},
		{"eks:eni:owner", "amazon-vpc-cni"},
	}
	if cluster != "" {
		tags = append(tags, [2]string{"cluster.k8s.amazonaws.com/name", cluster})
	}
	for i, t := range tags {
		p.Set(fmt.Sprintf("TagSpecification.1.Tag.%d.Key", i+1), t[0])
		p.Set(fmt.Sprintf("TagSpecification.1.Tag.%d.Value", i+1), t[1])
	}
	var out struct {
		ID        string   `xml:"networkInterface>networkInterfaceId"`
		MAC       string   `xml:"networkInterface>macAddress"`
		Primary   string   `xml:"networkInterface>privateIpAddress"`
		Addresses []string `xml:"networkInterface>privateIpAddressesSet>item>privateIpAddress"`
	}
	if err := c.call(ctx, "CreateNetworkInterface", p, &out); err != nil {
		return ENI{}, err
	}
	e := ENI{ID: out.ID, MAC: out.MAC}
	all, err := parseAddrs("CreateNetworkInterface", append([]string{out.Primary}, out.Addresses...))
	if err != nil {
		return e, err
	}
	e.Primary = all[0]
	for _, a := range all[1:] {
		if a != e.Primary {
			e.Secondary = append(e.Secondary, a)
		}
	}
	return e, nil
}

// attach also has the ENI deleted with the instance.
func (c *ec2) attach(ctx context.Context, eni, instance string, device int) error {
	var out struct {
		ID string `xml:"attachmentId"`
	}
	err := c.call(ctx, "AttachNetworkInterface", url.Values{
		"NetworkInterfaceId": {eni}, "InstanceId": {instance}, "DeviceIndex": {strconv.Itoa(device)},
	}, &out)
	if err != nil {
		return err
	}
	return c.call(ctx, "ModifyNetworkInterfaceAttribute", url.Values{
		"NetworkInterfaceId": {eni}, "Attachment.AttachmentId": {out.ID}, "Attachment.DeleteOnTermination": {"true"},
	}, nil)
}

func (c *ec2) delete(ctx context.Context, eni string) error {
	return c.call(ctx, "DeleteNetworkInterface", url.Values{"NetworkInterfaceId": {eni}}, nil)
}

// detach begins to take an ENI off its instance; done tells that it is off.
func (c *ec2) detach(ctx context.Context, eni string) (done bool, err error) {
	var out struct {
		Status     string `xml:"networkInterfaceSet>item>status"`
		Attachment string `xml:"networkInterfaceSet>item>attachment>attachmentId"`
		State      string `xml:"networkInterfaceSet>item>attachment>status"`
	}
	if err := c.call(ctx, "DescribeNetworkInterfaces", url.Values{"NetworkInterfaceId.1": {eni}}, &out); err != nil {
		return false, err
	}
	if out.Status == "available" {
		return true, nil
	}
	if out.Attachment == "" || out.State == "detaching" {
		return false, nil
	}
	return false, c.call(ctx, "DetachNetworkInterface", url.Values{"AttachmentId": {out.Attachment}}, nil)
}

func parseAddrs(op string, list []string) ([]netip.Addr, error) {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%s: reading the answer: %w", op, err)
		}
		out = append(out, a)
	}
	return out, nil
}
