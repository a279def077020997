package ec2

import (
	"context"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// StopInstances asks instances to stop, all or none of them. Their disks stay.
func (s *Service) StopInstances(ctx context.Context, call awsapi.Call, in *ec2.StopInstancesInput) (*ec2.StopInstancesOutput, error) {
	if err := reject(ask{"Hibernation", is(in.Hibernate)}); err != nil {
		return nil, err
	}
	out := &ec2.StopInstancesOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.StoppingInstances, err = changeState(tx, call, in.InstanceIds, func(id string) (string, error) {
			return provision.Stop(tx, homeOf(call), id, call.Time)
		})
		return err
	})
}

// StartInstances asks stopped instances to start, all or none of them.
func (s *Service) StartInstances(ctx context.Context, call awsapi.Call, in *ec2.StartInstancesInput) (*ec2.StartInstancesOutput, error) {
	out := &ec2.StartInstancesOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.StartingInstances, err = changeState(tx, call, in.InstanceIds, func(id string) (string, error) {
			return provision.Start(tx, homeOf(call), id, call.Time)
		})
		return err
	})
}

// changeState runs change for each of ids, and says what that made of their states.
func changeState(tx *store.Tx, call awsapi.Call, ids []string, change func(id string) (string, error)) ([]ec2.InstanceStateChange, error) {
	records, err := instanceRecords(tx, call, ids)
	if err != nil {
		return nil, err
	}
	var out []ec2.InstanceStateChange
	for _, i := range records {
		previous, err := change(i.ID)
		if err != nil {
			return nil, err
		}
		now, _ := tx.Instances.Get(i.ID)
		out = append(out, ec2.InstanceStateChange{InstanceId: &i.ID, PreviousState: instanceState(previous), CurrentState: instanceState(now.Current())})
	}
	return out, nil
}

// RebootInstances asks for one more boot of running instances.
func (s *Service) RebootInstances(ctx context.Context, call awsapi.Call, in *ec2.RebootInstancesInput) (*ec2.RebootInstancesOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		records, err := instanceRecords(tx, call, in.InstanceIds)
		if err != nil {
			return err
		}
		for _, i := range records {
			if err := provision.Reboot(tx, homeOf(call), i.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// ModifyPrivateDnsNameOptions changes by which names DNS knows an instance.
func (s *Service) ModifyPrivateDnsNameOptions(ctx context.Context, call awsapi.Call, in *ec2.ModifyPrivateDnsNameOptionsInput) (*ec2.ModifyPrivateDnsNameOptionsOutput, error) {
	if err := provision.IPNameOnly(in.PrivateDnsHostnameType); err != nil {
		return nil, err
	}
	return &ec2.ModifyPrivateDnsNameOptionsOutput{Return: new(true)}, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
		if err != nil {
			return err
		}
		n := &i.Spec.Names
		n.A, n.AAAA = deref(or(in.EnableResourceNameDnsARecord, &n.A)), deref(or(in.EnableResourceNameDnsAAAARecord, &n.AAAA))
		tx.Instances.Put(i.ID, i)
		return nil
	})
}

// ModifyInstanceMetadataOptions changes how an instance's metadata service answers, from
// the next request on.
func (s *Service) ModifyInstanceMetadataOptions(ctx context.Context, call awsapi.Call, in *ec2.ModifyInstanceMetadataOptionsInput) (*ec2.ModifyInstanceMetadataOptionsOutput, error) {
	if h := in.HttpPutResponseHopLimit; h != nil && (*h < 1 || *h > 64) {
		return nil, fault("InvalidParameterValue", "Value (%d) for parameter httpPutResponseHopLimit is invalid. Must be between 1 and 64.", *h)
	}
	out := &ec2.ModifyInstanceMetadataOptionsOutput{InstanceId: in.InstanceId}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
		if err != nil {
			return err
		}
		if st := i.Current(); st == resource.InstanceTerminated || st == resource.InstanceShuttingDown {
			return fault("IncorrectInstanceState", "The instance '%s' is not in a valid state for this operation.", i.ID)
		}
		i.Spec.HTTPTokens, i.Spec.HTTPEndpoint = or(deref(in.HttpTokens), i.Spec.HTTPTokens), or(deref(in.HttpEndpoint), i.Spec.HTTPEndpoint)
		i.Spec.HopLimit, i.Spec.MetadataTags = or(deref(in.HttpPutResponseHopLimit), i.Spec.HopLimit), or(deref(in.InstanceMetadataTags), i.Spec.MetadataTags)
		i.Spec.MetadataIPv6 = or(deref(in.HttpProtocolIpv6), i.Spec.MetadataIPv6)
		tx.Instances.Put(i.ID, i)
		out.InstanceMetadataOptions = newInstanceView(tx).describe(i).MetadataOptions
		return nil
	})
}
