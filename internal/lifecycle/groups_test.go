package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// scale is what an autoscaler does. One that scales down during a roll takes the new nodes
// away that it waits for, and the update fails: that is something going wrong.
func (l *life) scale() {
	l.t.Helper()
	cluster, name := l.part("nodegroup", false)
	if _, n, _ := l.now().of("nodegroup", cluster, name); l.calm && n.status != "ACTIVE" {
		return
	}
	group := l.groupOf(cluster, name)
	if group == "" {
		return
	}
	n := int32(l.rnd.IntN(4))
	l.call(fmt.Sprintf("SetDesiredCapacity %s/%s %d", cluster, name, n), func(ctx context.Context) error {
		_, err := l.daemon.asg.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &group, DesiredCapacity: &n})
		return err
	}, func(view) []string { return []string{accepted, "ValidationError", "ScalingActivityInProgress"} })
}

// groupOf is the Auto Scaling group of a node group, "" if there is none.
func (l *life) groupOf(cluster, name string) (group string) {
	if err := l.view(func(ctx context.Context) error {
		out, err := l.daemon.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
		if err == nil && out.Nodegroup.Resources != nil {
			group = *out.Nodegroup.Resources.AutoScalingGroups[0].Name
		}
		return err
	}); err != nil {
		return ""
	}
	return group
}

// suspend takes processes away from a node group's Auto Scaling group, or gives all back.
func (l *life) suspend() {
	l.t.Helper()
	cluster, name := l.part("nodegroup", false)
	if group := l.groupOf(cluster, name); group != "" && !l.calm {
		l.process(group, pick(l, [][]string{{"Terminate"}, {"Launch"}, {"Terminate", "Launch"}, nil}))
	}
}

// process suspends processes of a group; nil resumes all.
func (l *life) process(group string, names []string) bool {
	l.t.Helper()
	what, send := "SuspendProcesses ", func(ctx context.Context) error {
		_, err := l.daemon.asg.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &group, ScalingProcesses: names})
		return err
	}
	if names == nil {
		what, send = "ResumeProcesses ", func(ctx context.Context) error {
			_, err := l.daemon.asg.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &group})
			return err
		}
	}
	return l.call(what+group+" "+strings.Join(names, " "), send, func(view) []string { return []string{accepted, "ValidationError", "ResourceInUse"} })
}

// resume gives every node group the processes of its Auto Scaling group back, also if the
// daemon dies meanwhile.
func (l *life) resume() {
	l.t.Helper()
	if l.calm {
		return
	}
	v := l.now()
	for _, c := range v.all("cluster", "") {
		for _, n := range v.all("nodegroup", c.name) {
			for range 3 {
				if group := l.groupOf(c.name, n.name); group == "" || l.process(group, nil) {
					break
				}
			}
		}
	}
}

// wantBack has EC2 want a Spot instance back: soon, or at once.
func (l *life) wantBack() {
	l.t.Helper()
	if l.calm || l.revive() {
		return
	}
	now := l.chance(2)
	err := l.daemon.store.Update(context.Background(), func(tx *store.Tx) error {
		for i := range tx.Instances.Values(func(i resource.Instance) bool {
			return i.Spec.SpotRequest != "" && i.Current() == resource.InstanceRunning
		}) {
			if now {
				return provision.InterruptSpot(tx, i.ID, 50*time.Millisecond, clock())
			}
			return provision.RecommendRebalance(tx, i.ID, clock())
		}
		return nil
	})
	if err != nil && !l.daemon.dead.Load() {
		l.t.Fatal(err)
	}
	l.note("EC2 wants a Spot instance back: %v", now)
}
