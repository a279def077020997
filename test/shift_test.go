package test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// shift is a cluster with a node and web pods in each of two zones, and a client in the first.
type shift struct {
	daemon *lab.Daemon
	cloud  *lab.Cloud
	kube   *lab.Kube
	url    string // of the Service web
	away   string // the zone that traffic is shifted from
	group  string // the Auto Scaling group
}

// TestZonalShift shifts a cluster's traffic away from a zone and back: meanwhile no request is
// answered from it and none fails, and afterwards both zones serve.
func TestZonalShift(t *testing.T) {
	watch := newStopwatch(t)
	d, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	_, err = cloud.EKS.CreateCluster(ctx, land.ClusterInput(clusterName, ""))
	no(t, err)
	cluster, err := cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	kube, err := cloud.Kube(cluster)
	no(t, err)
	s := &shift{daemon: d, cloud: cloud, kube: kube, away: land.Zones[1]}
	in := land.NodegroupInput(clusterName, "ng", 2)
	in.Subnets = land.Subnets[:2]
	_, err = cloud.EKS.CreateNodegroup(ctx, in)
	no(t, err)
	ng, err := cloud.AwaitNodegroup(ctx, clusterName, "ng")
	no(t, err)
	s.group = *ng.Resources.AutoScalingGroups[0].Name
	s.web(t, land.Zones[0])
	watch.done("a served cluster")

	s.wantBoth(t, "before")
	if _, err := d.Run(ctx, "fault", "shift", clusterName, s.away); err == nil || !strings.Contains(err.Error(), "zonal-shift-config enabled=true") {
		t.Errorf("a cluster that is not registered: %v", err)
	}
	_, err = cloud.EKS.UpdateClusterConfig(ctx, &eks.UpdateClusterConfigInput{Name: aws.String(clusterName), ZonalShiftConfig: &types.ZonalShiftConfigRequest{Enabled: aws.Bool(true)}})
	no(t, err)
	_, err = cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	s.run(t, "fault", "shift", clusterName, s.away, "--for", "30m")
	s.awaitState(t, "ACTIVE")
	watch.done("shifted")

	s.elsewhere(t)
	s.atRest(t)
	s.wantCordoned(t, true)
	watch.done("held")

	s.run(t, "fault", "shift", clusterName, "--heal")
	s.awaitState(t, "")
	s.wantBoth(t, "afterwards")
	s.wantCordoned(t, false)
	watch.done("back")
}

// web runs pods in both zones, and a client in the zone that stays.
func (s *shift) web(t *testing.T, stays string) {
	t.Helper()
	ctx := t.Context()
	no(t, createWeb(ctx, s.kube, 4, func(p *corev1.PodSpec) {
		p.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		}}
	}))
	_, err := s.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "client", Labels: map[string]string{"app": "client"}},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelTopologyZone: stays},
			Containers:   []corev1.Container{{Name: "client", Image: helloImage, Args: []string{"sleep"}}},
		},
	}, metav1.CreateOptions{})
	no(t, err)
	_, err = s.kube.AwaitPods(ctx, "default", "app=web", 4)
	no(t, err)
	_, err = s.kube.AwaitPods(ctx, "default", "app=client", 1)
	no(t, err)
	svc, err := s.kube.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	no(t, err)
	s.url = "http://" + svc.Spec.ClusterIP
}

var zoneLine = regexp.MustCompile(`(?m)^zone: +(\S+)`)

// ask is the zone that one request is answered from.
func (s *shift) ask(ctx context.Context) (string, error) {
	page, err := s.kube.Exec(ctx, "default", "client", "/hello", "get", s.url)
	if err != nil {
		return "", err
	}
	m := zoneLine.FindStringSubmatch(page)
	if m == nil {
		return "", fmt.Errorf("no zone on the page:\n%s", page)
	}
	return m[1], nil
}

// wantBoth waits until both zones answer. No request may fail.
func (s *shift) wantBoth(t *testing.T, when string) {
	t.Helper()
	zones := map[string]int{}
	no(t, lab.Promptly(t.Context(), time.Minute, "answers from two zones "+when, func(ctx context.Context) (bool, string, error) {
		zone, err := s.ask(ctx)
		zones[zone]++
		return len(zones) == 2, fmt.Sprint(zones), err
	}))
}

// elsewhere asks until the nodes know, and then for long enough that the zone would have
// answered. No request may fail.
func (s *shift) elsewhere(t *testing.T) {
	t.Helper()
	const sure = 40 // by chance all of them are elsewhere once in a million millions
	row := 0
	no(t, lab.Promptly(t.Context(), time.Minute, "no answer from "+s.away, func(ctx context.Context) (bool, string, error) {
		zone, err := s.ask(ctx)
		if row++; zone == s.away {
			row = 0
		}
		return row == sure, fmt.Sprint(row, " answers in a row from elsewhere"), err
	}))
	for range sure {
		zone, err := s.ask(t.Context())
		no(t, err)
		if zone == s.away {
			t.Errorf("an answer from %s", zone)
		}
	}
}

var slicePuts = regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="endpointslices".*verb="PUT".*\} (\S+)$`)

// atRest checks that the EndpointSlice controller does not write again and again what is taken
// out again and again.
func (s *shift) atRest(t *testing.T) {
	t.Helper()
	writes := func() (n float64) {
		raw, err := s.kube.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
		no(t, err)
		for _, m := range slicePuts.FindAllStringSubmatch(string(raw), -1) {
			f, err := strconv.ParseFloat(m[1], 64)
			no(t, err)
			n += f
		}
		return n
	}
	before, began := writes(), time.Now()
	for range 40 {
		_, err := s.ask(t.Context())
		no(t, err)
	}
	after := writes()
	t.Logf("%v EndpointSlices written before, %v more within %s", before, after-before, time.Since(began).Round(time.Millisecond))
	if before == 0 || after-before > 5 {
		t.Errorf("%v EndpointSlices were written, and then %v more while nothing changed", before, after-before)
	}
}

// wantCordoned checks what is so of the zone's nodes and of the node group.
func (s *shift) wantCordoned(t *testing.T, want bool) {
	t.Helper()
	nodes, err := s.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	no(t, err)
	for _, n := range nodes.Items {
		if in := n.Labels[corev1.LabelTopologyZone] == s.away; n.Spec.Unschedulable != (want && in) {
			t.Errorf("node %s, in the zone: %t, is cordoned: %t", n.Name, in, n.Spec.Unschedulable)
		}
	}
	no(t, lab.Until(t.Context(), time.Minute, "the node group's balancing", func(ctx context.Context) (bool, string, error) {
		out, err := s.cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{s.group}})
		if err != nil {
			return false, "", err
		}
		suspended := len(out.AutoScalingGroups[0].SuspendedProcesses)
		return (suspended == 1) == want, fmt.Sprint(suspended, " processes are suspended"), nil
	}))
}

func (s *shift) run(t *testing.T, args ...string) {
	t.Helper()
	_, err := s.daemon.Run(t.Context(), args...)
	no(t, err)
}

// awaitState waits until the cluster's shift is in a state; "": until there is none.
func (s *shift) awaitState(t *testing.T, state string) {
	t.Helper()
	no(t, lab.Until(t.Context(), time.Minute, "the shift to be "+state, func(ctx context.Context) (bool, string, error) {
		out, err := s.daemon.Run(ctx, "fault", "shift")
		if state == "" {
			return !strings.Contains(out, clusterName), out, err
		}
		return strings.Contains(out, state), out, err
	}))
}
