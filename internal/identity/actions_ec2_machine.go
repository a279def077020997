package identity

import "ekster.dev/ekster/gen/ec2"

// ec2MachineRules are about instances, their keys, volumes and fleets.
var ec2MachineRules = rules{
	"AttachVolume":                ids("VolumeId", "InstanceId"),
	"AssociateIamInstanceProfile": ids("InstanceId"),
	"CancelSpotInstanceRequests":  ids("SpotInstanceRequestIds"),
	"CreateFleet":                 createFleet,
	"CreateKeyPair":               newKey,
	"CreatePlacementGroup":        makes("placement-group"),
	"CreateSnapshot":              makes("snapshot", "VolumeId"),
	"CreateVolume":                makes("volume", "SnapshotId"),
	"DeleteFleets":                ids("FleetIds"),
	"DeleteKeyPair":               {resources: namedKey, fields: []string{"KeyName", "KeyPairId"}},
	"DeletePlacementGroup": {fields: []string{"GroupName"}, resources: func(s scope, in any) []string {
		return []string{s.arn("ec2", "placement-group/"+deref(one(in, "GroupName")))}
	}},
	"DeleteSnapshot":                           ids("SnapshotId"),
	"DeleteVolume":                             ids("VolumeId"),
	"DescribeCapacityReservations":             anything,
	"DescribeFleets":                           anything,
	"DescribeInstanceAttribute":                ids("InstanceId"),
	"DescribeInstanceCreditSpecifications":     anything,
	"DescribeInstanceTopology":                 anything,
	"DescribePlacementGroups":                  anything,
	"DescribeSnapshots":                        anything,
	"DescribeSpotInstanceRequests":             anything,
	"DescribeSpotPriceHistory":                 anything,
	"DescribeVolumeStatus":                     anything,
	"DescribeVolumes":                          anything,
	"DescribeVolumesModifications":             anything,
	"DescribeVolumeAttribute":                  ids("VolumeId"),
	"DetachVolume":                             ids("VolumeId", "InstanceId"),
	"EnableFastSnapshotRestores":               ids("SourceSnapshotIds"),
	"GetConsoleOutput":                         ids("InstanceId"),
	"GetInstanceTypesFromInstanceRequirements": anything,
	"ImportKeyPair":                            newKey,
	"ModifyInstanceAttribute":                  ids("InstanceId", "Groups"),
	"ModifyInstanceMetadataOptions":            metadataOptions,
	"ModifyPrivateDnsNameOptions":              ids("InstanceId"),
	"ModifyVolume":                             ids("VolumeId"),
	"RebootInstances":                          ids("InstanceIds"),
	"RequestSpotInstances":                     requestSpot,
	"StartInstances":                           ids("InstanceIds"),
	"StopInstances":                            ids("InstanceIds"),
}

// metadataOptions has for keys what the instance has, and as attributes what it is to have.
var metadataOptions = with(ids("InstanceId"), func(in *ec2.ModifyInstanceMetadataOptionsInput) map[string][]string {
	k := keySet{}
	for name, v := range map[string]*string{"HttpTokens": in.HttpTokens, "HttpEndpoint": in.HttpEndpoint} {
		k.text("ec2:Attribute/"+name, deref(v))
		if v != nil {
			k["ec2:Attribute"] = append(k["ec2:Attribute"], name)
		}
	}
	k.number("ec2:Attribute/HttpPutResponseHopLimit", in.HttpPutResponseHopLimit)
	if in.HttpPutResponseHopLimit != nil {
		k["ec2:Attribute"] = append(k["ec2:Attribute"], "HttpPutResponseHopLimit")
	}
	return k
})

// newKey makes a key pair, which has its name in its ARN before there is one: its tags are the
// request's own keys.
var newKey = rule{
	resources: namedKey, fields: []string{"KeyName"}, also: makes("").also,
	keys: func(s scope, in any) map[string][]string { return requestTags(makes("").made(s, in)["key-pair"]) },
}

// namedKey is a key pair by its name or id.
func namedKey(s scope, in any) []string {
	if id := one(in, "KeyPairId"); id != nil {
		return s.ec2(id)
	}
	return []string{s.arn("ec2", "key-pair/"+deref(one(in, "KeyName")))}
}
