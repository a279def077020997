package eks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/smithy-go"

	geneks "ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/eks"
	"ekster.dev/ekster/internal/store"
)

var rewrite = flag.Bool("update", false, "write the golden files")

const (
	account      = identitytest.Account
	clusterRole  = "arn:aws:iam::" + account + ":role/eks/cluster"
	linkedRole   = "arn:aws:iam::" + account + ":role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS"
	nodeRole     = "arn:aws:iam::" + account + ":role/node"
	adminPolicy  = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	viewPolicy   = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
	nodePolicy   = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
	managed      = "arn:aws:iam::aws:policy/"
	otherAccount = "111111111111"
)

// now is when these tests are: Kubernetes versions come to the end of their support.
var now = time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC)

// A world is a front door with EKS behind it, and what clusters and node groups need.
type world struct {
	*identitytest.Door
	root    *sdk.Client
	body    *bytes.Buffer // of the last answer
	a, b, c string        // subnets of the default VPC, a zone each
	vpc     string
	other   []string // subnets of a VPC 10.0.0.0/16: zones a, b, and a full one in c
	vpc10   string
	sg      string // in the default VPC
	sg10    string // in the other one
}

func home() resource.Home {
	return resource.Home{Account: account, Region: identitytest.Region}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{body: &bytes.Buffer{}}
	w.Door = identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		payload := func(minor string) bool { return slices.Contains([]string{"1.31", "1.34", "1.35", "1.36"}, minor) }
		return []*awsapi.Service{identitytest.Clocked(geneks.Service(eks.New(eks.Config{Store: d.Store, Payload: payload})), func() time.Time { return now })}
	})
	w.root = w.client(w.AsRoot())
	w.role(t, clusterRole, "eks.amazonaws.com", managed+"AmazonEKSClusterPolicy")
	w.role(t, nodeRole, "ec2.amazonaws.com", managed+"AmazonEKSWorkerNodePolicy")
	err := w.Store.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := provision.EnsureRegion(tx, home(), now); err != nil {
			return err
		}
		vpc, _ := provision.DefaultVPC(tx, home())
		w.vpc = vpc.ID
		for _, s := range tx.Subnets.All() {
			switch s.Zone {
			case "us-west-2a":
				w.a = s.ID
			case "us-west-2b":
				w.b = s.ID
			case "us-west-2c":
				w.c = s.ID
			}
		}
		g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home(), VPC: vpc.ID, Name: "mine", Description: "mine"})
		if err != nil {
			return err
		}
		w.sg = g.ID
		return w.secondVPC(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) secondVPC(tx *store.Tx) error {
	v, err := provision.VPC(tx, provision.VPCRequest{Home: home(), CIDR: netip.MustParsePrefix("10.0.0.0/16")})
	if err != nil {
		return err
	}
	w.vpc10 = v.ID
	r, _ := region.Lookup(identitytest.Region)
	for i, cidr := range []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/28"} {
		s, err := provision.Subnet(tx, provision.SubnetRequest{Home: home(), VPC: v.ID, CIDR: netip.MustParsePrefix(cidr), Zone: r.Zones[i]})
		if err != nil {
			return err
		}
		w.other = append(w.other, s.ID)
	}
	for range 6 { // of eleven
		if _, err := provision.Interface(tx, provision.InterfaceRequest{Home: home(), Subnet: w.other[2], Now: now}); err != nil {
			return err
		}
	}
	g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home(), VPC: v.ID, Name: "mine", Description: "mine"})
	w.sg10 = g.ID
	return err
}

// client is an EKS client that leaves the last answer's body in w.body.
func (w *world) client(cfg aws.Config) *sdk.Client {
	cfg.HTTPClient = &http.Client{Transport: recorder{w.body}}
	return sdk.NewFromConfig(cfg)
}

type recorder struct{ body *bytes.Buffer }

func (r recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	rsp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer rsp.Body.Close()
	r.body.Reset()
	if _, err := r.body.ReadFrom(rsp.Body); err != nil {
		return nil, err
	}
	rsp.Body = io.NopCloser(bytes.NewReader(r.body.Bytes()))
	return rsp, nil
}

// role makes a role that a service may assume.
func (w *world) role(t *testing.T, arn, service string, attached ...string) {
	t.Helper()
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
	w.Update(t, func(tx *store.Tx) {
		tx.Roles.Put(arn, resource.Role{Account: strings.Split(arn, ":")[4], ARN: arn, Name: name, ID: "AROA" + strings.ToUpper(name), Trust: trust, Attached: attached})
	})
}

// user makes a user that may do everything with EKS, and a client of its.
func (w *world) user(t *testing.T, name string) *sdk.Client {
	t.Helper()
	arn := "arn:aws:iam::" + account + ":user/" + name
	key := "AKIA" + strings.ToUpper(name) + strings.Repeat("A", 16-len(name))
	w.Update(t, func(tx *store.Tx) {
		tx.Users.Put(arn, resource.User{Account: account, ARN: arn, Name: name, Path: "/", ID: "AIDA" + strings.ToUpper(name), Inline: map[string]string{
			"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		}})
		tx.AccessKeys.Put(key, resource.AccessKey{Account: account, ID: key, Secret: "s", Principal: arn, Active: true})
	})
	return w.client(w.As(key, "s", ""))
}

// cluster is a request for a cluster that there is nothing wrong with.
func (w *world) cluster(name string) *sdk.CreateClusterInput {
	return &sdk.CreateClusterInput{
		Name: aws.String(name), RoleArn: aws.String(clusterRole),
		ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: []string{w.a, w.b}},
	}
}

// active makes a cluster and says that it is ACTIVE, as its controller would.
func (w *world) active(t *testing.T, name string, change ...func(*sdk.CreateClusterInput)) resource.Cluster {
	t.Helper()
	in := w.cluster(name)
	for _, f := range change {
		f(in)
	}
	if _, err := w.root.CreateCluster(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	var c resource.Cluster
	w.Update(t, func(tx *store.Tx) {
		c, _ = tx.Clusters.Get("arn:aws:eks:us-west-2:" + account + ":cluster/" + name)
		c.Status = resource.ClusterStatus{
			State: resource.ClusterActive, RunningVersion: c.Spec.Version, Endpoint: "https://127.7.0.2", CA: []byte("PEM"), Issuer: "https://oidc.test/id/" + c.Spec.Hex,
		}
		tx.Clusters.Put(c.ARN, c)
	})
	return c
}

func withMode(mode types.AuthenticationMode) func(*sdk.CreateClusterInput) {
	return func(in *sdk.CreateClusterInput) {
		in.AccessConfig = &types.CreateAccessConfigRequest{AuthenticationMode: mode}
	}
}

// nodegroup is a request for a node group that there is nothing wrong with.
func (w *world) nodegroup(cluster, name string) *sdk.CreateNodegroupInput {
	return &sdk.CreateNodegroupInput{
		ClusterName: aws.String(cluster), NodegroupName: aws.String(name), NodeRole: aws.String(nodeRole), Subnets: []string{w.a, w.b},
	}
}

// activeNodegroup makes a node group and says that it is ACTIVE.
func (w *world) activeNodegroup(t *testing.T, cluster, name string, change ...func(*sdk.CreateNodegroupInput)) string {
	t.Helper()
	in := w.nodegroup(cluster, name)
	for _, f := range change {
		f(in)
	}
	out, err := w.root.CreateNodegroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	w.change(t, *out.Nodegroup.NodegroupArn, func(n *resource.Nodegroup) {
		n.Status.State, n.Status.AutoScalingGroup = resource.NodegroupActive, "eks-"+n.Name+"-"+n.ID
	})
	return *out.Nodegroup.NodegroupArn
}

func (w *world) change(t *testing.T, arn string, f func(*resource.Nodegroup)) resource.Nodegroup {
	t.Helper()
	var n resource.Nodegroup
	w.Update(t, func(tx *store.Tx) {
		n, _ = tx.Nodegroups.Get(arn)
		f(&n)
		tx.Nodegroups.Put(arn, n)
	})
	return n
}

// records counts what there is, table by table.
func (w *world) records(t *testing.T) string {
	t.Helper()
	var out []string
	err := w.Store.View(func(tx *store.Tx) error {
		v := reflect.ValueOf(tx).Elem()
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				n := 0
				for range v.Field(i).MethodByName("All").Call(nil)[0].Seq2() {
					n++
				}
				out = append(out, fmt.Sprintf("%s %d", f.Name, n))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func fails(t *testing.T, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got %v\nwant %s: %s", err, code, message)
	}
	got := regexp.MustCompile(`Request ID: [0-9a-f-]{36}`).ReplaceAllString(e.ErrorMessage(), "Request ID: ID")
	if e.ErrorCode() != code || got != message {
		t.Fatalf("got  %s: %s\nwant %s: %s", e.ErrorCode(), got, code, message)
	}
}

var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`"(subnet|vpc|sg|lt)-0[0-9a-f]{16}"`), `"$1-ID"`},
	{regexp.MustCompile(`[0-9A-F]{32}`), "HEX"},
	{regexp.MustCompile(`"(createdAt|modifiedAt)": [0-9.]+`), `"$1": TIME`},
}

// golden compares the last answer's body with a file, ids and times aside.
func (w *world) golden(t *testing.T, name string) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, w.body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := pretty.String() + "\n"
	for _, v := range volatile {
		got = v.pattern.ReplaceAllString(got, v.with)
	}
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update writes it)\ngot\n%s\nwant\n%s", file, got, want)
	}
}
