package eventbus

import (
	"encoding/json"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Derive returns what store.Derive takes: it publishes the events that follow from what a
// transaction has written. What does not reach its target is told to failed.
func Derive(now func() time.Time, failed func(Failure)) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		for _, e := range events(tx) {
			e.Time = now()
			_, failures, err := Publish(tx, e, e.Time)
			if err != nil {
				return err
			}
			for _, f := range failures {
				failed(f)
			}
		}
		return nil
	}
}

// events are those that follow from the records that a transaction has written.
func events(tx *store.Tx) (out []resource.Event) {
	for before, after := range tx.Instances.Written() {
		if after == nil || before != nil && before.Current() == after.Current() {
			continue
		}
		out = append(out, event(after.Home, "aws.ec2", "EC2 Instance State-change Notification",
			"arn:aws:ec2:"+after.Region+":"+after.Account+":instance/"+after.ID,
			detail{"instance-id": after.ID, "state": after.Current()}))
	}
	for before, after := range tx.SpotRequests.Written() {
		if after == nil || after.Instance == "" {
			continue
		}
		was := resource.SpotRequest{}
		if before != nil {
			was = *before
		}
		i, ok := tx.Instances.Get(after.Instance)
		if !ok {
			continue
		}
		// These name the instance otherwise than EC2's ARNs do: by its zone.
		arn := "arn:aws:ec2:" + i.Spec.Zone + ":instance/" + i.ID
		if was.Rebalance.IsZero() && !after.Rebalance.IsZero() {
			out = append(out, event(after.Home, "aws.ec2", "EC2 Instance Rebalance Recommendation", arn, detail{"instance-id": i.ID}))
		}
		if was.Interruption.IsZero() && !after.Interruption.IsZero() {
			out = append(out, event(after.Home, "aws.ec2", "EC2 Spot Instance Interruption Warning", arn,
				detail{"instance-id": i.ID, "instance-action": "terminate"}))
		}
	}
	return append(out, lifecycleActions(tx)...)
}

// lifecycleActions are the events of group members that have begun to wait for somebody's hook.
// See https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
func lifecycleActions(tx *store.Tx) (out []resource.Event) {
	for before, after := range tx.GroupInstances.Written() {
		if after == nil || before != nil && before.Lifecycle == after.Lifecycle {
			continue
		}
		var kind, transition string
		from, to := "EC2", "AutoScalingGroup"
		switch after.Lifecycle {
		case resource.MemberPendingWait:
			kind, transition = "EC2 Instance-launch Lifecycle Action", "autoscaling:EC2_INSTANCE_LAUNCHING"
		case resource.MemberTerminatingWait:
			kind, transition = "EC2 Instance-terminate Lifecycle Action", "autoscaling:EC2_INSTANCE_TERMINATING"
			from, to = to, from
		default:
			continue
		}
		g, ok := tx.AutoScalingGroups.Get(after.Group)
		if !ok {
			continue
		}
		for _, a := range after.Actions {
			d := detail{
				"LifecycleActionToken": a.Token, "AutoScalingGroupName": g.Name, "LifecycleHookName": a.Hook.Name,
				"EC2InstanceId": after.Instance, "LifecycleTransition": transition, "Origin": from, "Destination": to,
			}
			if a.Hook.Metadata != "" {
				d["NotificationMetadata"] = a.Hook.Metadata
			}
			out = append(out, event(g.Home, "aws.autoscaling", kind, g.ARN, d))
		}
	}
	return out
}

type detail map[string]string

func event(home resource.Home, source, kind, arn string, d detail) resource.Event {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return resource.Event{Home: home, Source: source, DetailType: kind, Resources: []string{arn}, Detail: string(b)}
}
