package test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"ekster.dev/ekster/test/lab"
)

// TestMachines launches instances as Karpenter does, over types and zones of which one has no
// capacity, logs in to a Spot instance, and has it taken back.
func TestMachines(t *testing.T) {
	d, cloud := newDaemon(t, func(d *lab.Daemon) { d.Flags = []string{"--spot-notice", "5s"} })
	ctx := t.Context()
	key, err := cloud.EC2.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String("mine"), KeyType: types.KeyTypeEd25519})
	no(t, err)
	subnets, err := cloud.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{{Name: aws.String("availability-zone"), Values: []string{"us-west-2a", "us-west-2b"}}}})
	no(t, err)
	group := openSSH(t, cloud, *subnets.Subnets[0].VpcId)
	_, err = cloud.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("node"), LaunchTemplateData: &types.RequestLaunchTemplateData{
		ImageId: aws.String("resolve:ssm:/aws/service/eks/optimized-ami/" + version + "/amazon-linux-2023/x86_64/standard/recommended/image_id"),
		KeyName: key.KeyName, SecurityGroupIds: []string{group},
		UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\nruncmd: [echo I am $(hostname)]\n"))),
	}})
	no(t, err)
	_, err = d.Run(ctx, "fault", "capacity", "t3.*", "us-west-2a", "--spot")
	no(t, err)

	var overrides []types.FleetLaunchTemplateOverridesRequest
	for _, s := range subnets.Subnets {
		overrides = append(overrides, types.FleetLaunchTemplateOverridesRequest{InstanceType: types.InstanceTypeT3Small, SubnetId: s.SubnetId})
	}
	fleet, err := cloud.EC2.CreateFleet(ctx, &ec2.CreateFleetInput{
		Type: types.FleetTypeInstant, SpotOptions: &types.SpotOptionsRequest{AllocationStrategy: types.SpotAllocationStrategyDiversified},
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: types.DefaultTargetCapacityTypeSpot},
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: aws.String("node"), Version: aws.String("$Latest")}, Overrides: overrides,
		}},
	})
	no(t, err)
	if len(fleet.Instances) != 1 || aws.ToString(fleet.Instances[0].AvailabilityZone) != "us-west-2b" {
		t.Fatalf("the fleet has %+v, errors %+v", fleet.Instances, fleet.Errors)
	}
	if len(fleet.Errors) > 1 || len(fleet.Errors) == 1 && aws.ToString(fleet.Errors[0].ErrorCode) != "InsufficientInstanceCapacity" {
		t.Errorf("errors %+v", fleet.Errors)
	}

	id := fleet.Instances[0].InstanceIds[0]
	i := awaitState(t, cloud, id, types.InstanceStateNameRunning)
	client := logIn(t, aws.ToString(i.PublicIpAddress), aws.ToString(key.KeyMaterial))
	s, err := client.NewSession()
	no(t, err)
	name, err := s.Output("hostname; id -un")
	no(t, err)
	if want := *i.PrivateDnsName + "\nec2-user\n"; string(name) != want {
		t.Errorf("logged in to %q, want %q", name, want)
	}
	no(t, lab.Until(ctx, 20*time.Second, "the console to show what user data does", func(ctx context.Context) (bool, string, error) {
		out, err := cloud.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id, Latest: aws.Bool(true)})
		if err != nil {
			return false, "", err
		}
		raw, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
		return strings.Contains(string(raw), "I am "+*i.PrivateDnsName), string(raw), err
	}))

	if code, body := metadata(t, client, "spot/instance-action"); code != http.StatusNotFound {
		t.Errorf("it is warned before it is taken back: %d %s", code, body)
	}
	_, err = d.Run(ctx, "fault", "spot", id)
	no(t, err)
	for path, want := range map[string]string{
		"spot/instance-action": `{"action":"terminate","time":"20`, "spot/termination-time": "20", "events/recommendations/rebalance": `{"noticeTime":"20`,
	} {
		if code, body := metadata(t, client, path); code != http.StatusOK || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	i = awaitState(t, cloud, id, types.InstanceStateNameTerminated)
	if r := i.StateReason; r == nil || aws.ToString(r.Code) != "Server.SpotInstanceTermination" {
		t.Errorf("it ended for %+v", r)
	}
	request, err := cloud.EC2.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*i.SpotInstanceRequestId}})
	no(t, err)
	if r := request.SpotInstanceRequests[0]; r.State != types.SpotInstanceStateClosed || *r.Status.Code != "instance-terminated-no-capacity" {
		t.Errorf("its request is %s, %s", r.State, *r.Status.Code)
	}
	if _, err := d.Run(ctx, "fault", "spot", id); err == nil {
		t.Error("an instance that is no more is taken back")
	}
}

// openSSH makes a security group that lets everybody reach port 22.
func openSSH(t *testing.T, cloud *lab.Cloud, vpc string) string {
	t.Helper()
	g, err := cloud.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("ssh"), Description: aws.String("ssh"), VpcId: &vpc})
	no(t, err)
	_, err = cloud.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: g.GroupId, IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), CidrIp: aws.String("0.0.0.0/0"),
	})
	no(t, err)
	return *g.GroupId
}

func awaitState(t *testing.T, cloud *lab.Cloud, id string, state types.InstanceStateName) (i types.Instance) {
	t.Helper()
	no(t, lab.Until(t.Context(), 60*time.Second, id+" to be "+string(state), func(ctx context.Context) (bool, string, error) {
		out, err := cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			return false, "", err
		}
		i = out.Reservations[0].Instances[0]
		return i.State.Name == state, string(i.State.Name), nil
	}))
	return i
}

// logIn connects to an instance's public address as ec2-user.
func logIn(t *testing.T, address, key string) (client *ssh.Client) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(key))
	no(t, err)
	config := &ssh.ClientConfig{User: "ec2-user", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 2 * time.Second}
	no(t, lab.Until(t.Context(), 30*time.Second, "sshd at "+address, func(context.Context) (bool, string, error) {
		c, err := ssh.Dial("tcp", net.JoinHostPort(address, "22"), config)
		if client = c; err != nil {
			return false, err.Error(), nil
		}
		return true, "", nil
	}))
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Log(err) // the instance is gone, and its connections with it
		}
	})
	return client
}

// metadata asks the metadata service of the instance at the other end, as it would itself.
func metadata(t *testing.T, client *ssh.Client, path string) (int, string) {
	t.Helper()
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return client.Dial(network, address)
	}}}
	ask := func(method, path, header, value string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://169.254.169.254/latest/"+path, nil)
		no(t, err)
		req.Header.Set(header, value)
		res, err := web.Do(req)
		no(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		no(t, err)
		return res.StatusCode, string(body)
	}
	code, token := ask(http.MethodPut, "api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if code != http.StatusOK {
		t.Fatal(fmt.Errorf("a token: %d %s", code, token))
	}
	return ask(http.MethodGet, "meta-data/"+path, "X-aws-ec2-metadata-token", token)
}
