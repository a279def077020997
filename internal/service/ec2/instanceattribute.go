package ec2

import (
	"context"
	"encoding/base64"
	"strconv"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// ModifyInstanceAttribute changes one attribute of an instance. Type and user data are
// those of the next start, so the instance has to be stopped.
func (s *Service) ModifyInstanceAttribute(ctx context.Context, call awsapi.Call, in *ec2.ModifyInstanceAttributeInput) (*ec2.ModifyInstanceAttributeOutput, error) {
	if err := reject(
		ask{"Changing block devices", len(in.BlockDeviceMappings) > 0},
		ask{"Changing the kernel", in.Kernel != nil || in.Ramdisk != nil || in.SriovNetSupport != nil || in.EnaSupport != nil},
		ask{"An enclave", in.EnclaveOptions != nil && is(in.EnclaveOptions.Enabled)},
	); err != nil {
		return nil, err
	}
	if err := named(in); err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
		if err != nil {
			return err
		}
		if in.Groups != nil {
			if err := provision.SetGroups(tx, homeOf(call), i.Spec.PrimaryInterface, in.Groups); err != nil {
				return err
			}
			i, _ = tx.Instances.Get(i.ID)
		}
		if v := in.SourceDestCheck; v != nil {
			if eni, ok := tx.Interfaces.Get(i.Spec.PrimaryInterface); ok {
				eni.SourceDestCheck = is(v.Value)
				tx.Interfaces.Put(eni.ID, eni)
			}
		}
		if err := modifySpec(&i, in); err != nil {
			return err
		}
		tx.Instances.Put(i.ID, i)
		return nil
	})
}

// named turns the older form of a request, the name of an attribute and its value, into
// the newer one.
func named(in *ec2.ModifyInstanceAttributeInput) error {
	if in.Attribute == nil {
		return nil
	}
	if in.Value == nil {
		return missing("value")
	}
	flag, _ := strconv.ParseBool(*in.Value)
	switch *in.Attribute {
	case ec2.InstanceAttributeNameInstanceType:
		in.InstanceType = &ec2.AttributeValue{Value: in.Value}
	case ec2.InstanceAttributeNameDisableApiTermination:
		in.DisableApiTermination = &ec2.AttributeBooleanValue{Value: &flag}
	case ec2.InstanceAttributeNameDisableApiStop:
		in.DisableApiStop = &ec2.AttributeBooleanValue{Value: &flag}
	case ec2.InstanceAttributeNameSourceDestCheck:
		in.SourceDestCheck = &ec2.AttributeBooleanValue{Value: &flag}
	case ec2.InstanceAttributeNameEbsOptimized:
		in.EbsOptimized = &ec2.AttributeBooleanValue{Value: &flag}
	case ec2.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
		in.InstanceInitiatedShutdownBehavior = &ec2.AttributeValue{Value: in.Value}
	case ec2.InstanceAttributeNameUserData:
		raw, err := provision.UserData(*in.Value)
		if err != nil {
			return err
		}
		in.UserData = &ec2.SecureBlobAttributeValue{Value: raw}
	default:
		return unsupported("Changing the attribute " + *in.Attribute)
	}
	return nil
}

func modifySpec(i *resource.Instance, in *ec2.ModifyInstanceAttributeInput) error {
	if v := in.DisableApiTermination; v != nil {
		i.Spec.TerminationProtection = is(v.Value)
	}
	if v := in.DisableApiStop; v != nil {
		i.Spec.StopProtection = is(v.Value)
	}
	if v := in.EbsOptimized; v != nil {
		i.Spec.EBSOptimized = is(v.Value)
	}
	if v := in.InstanceInitiatedShutdownBehavior; v != nil {
		b := deref(v.Value)
		if b != "stop" && b != "terminate" {
			return fault("InvalidParameterValue", "Invalid value '%s' for InstanceInitiatedShutdownBehavior.", b)
		}
		i.Spec.ShutdownBehavior = b
	}
	if (in.InstanceType != nil || in.UserData != nil) && i.Current() != resource.InstanceStopped {
		return fault("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	if v := in.InstanceType; v != nil {
		t, ok := instancetype.Lookup(deref(v.Value))
		if !ok {
			return fault("InvalidParameterValue", "Invalid value '%s' for InstanceType.", deref(v.Value))
		}
		if old, _ := instancetype.Lookup(i.Spec.Type); old.Architecture() != t.Architecture() {
			return fault("InvalidParameterValue", "The architecture of the instance type '%s' is not that of the instance's AMI", t.Name)
		}
		i.Spec.Type = t.Name
	}
	if v := in.UserData; v != nil {
		i.Spec.UserData = v.Value
	}
	return nil
}

// DescribeInstanceAttribute tells one attribute of an instance.
func (s *Service) DescribeInstanceAttribute(ctx context.Context, call awsapi.Call, in *ec2.DescribeInstanceAttributeInput) (*ec2.DescribeInstanceAttributeOutput, error) {
	out := &ec2.DescribeInstanceAttributeOutput{InstanceId: in.InstanceId}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
		if err != nil {
			return err
		}
		flag := func(b bool) *ec2.AttributeBooleanValue { return &ec2.AttributeBooleanValue{Value: &b} }
		switch *in.Attribute {
		case ec2.InstanceAttributeNameInstanceType:
			out.InstanceType = &ec2.AttributeValue{Value: &i.Spec.Type}
		case ec2.InstanceAttributeNameUserData:
			out.UserData = &ec2.AttributeValue{}
			if len(i.Spec.UserData) > 0 {
				out.UserData.Value = new(base64.StdEncoding.EncodeToString(i.Spec.UserData))
			}
		case ec2.InstanceAttributeNameDisableApiTermination:
			out.DisableApiTermination = flag(i.Spec.TerminationProtection)
		case ec2.InstanceAttributeNameDisableApiStop:
			out.DisableApiStop = flag(i.Spec.StopProtection)
		case ec2.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
			out.InstanceInitiatedShutdownBehavior = &ec2.AttributeValue{Value: &i.Spec.ShutdownBehavior}
		case ec2.InstanceAttributeNameEbsOptimized:
			out.EbsOptimized = flag(i.Spec.EBSOptimized)
		case ec2.InstanceAttributeNameEnaSupport:
			out.EnaSupport = flag(true)
		case ec2.InstanceAttributeNameEnclaveOptions:
			out.EnclaveOptions = &ec2.EnclaveOptions{Enabled: new(false)}
		case ec2.InstanceAttributeNameRootDeviceName:
			out.RootDeviceName = &ec2.AttributeValue{Value: new(ami.RootDevice)}
		case ec2.InstanceAttributeNameSourceDestCheck:
			eni, _ := tx.Interfaces.Get(i.Spec.PrimaryInterface)
			out.SourceDestCheck = flag(eni.SourceDestCheck)
		case ec2.InstanceAttributeNameGroupSet:
			out.Groups = groupIdentifiers(tx, i.Spec.SecurityGroups)
		case ec2.InstanceAttributeNameBlockDeviceMapping:
			out.BlockDeviceMappings = newInstanceView(tx).describe(i).BlockDeviceMappings
		case ec2.InstanceAttributeNameKernel, ec2.InstanceAttributeNameRamdisk, ec2.InstanceAttributeNameSriovNetSupport, ec2.InstanceAttributeNameProductCodes:
		default:
			return fault("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", *in.Attribute)
		}
		return nil
	})
}
