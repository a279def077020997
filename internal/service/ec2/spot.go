package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// linux is the product that all instances are.
const linux = "Linux/UNIX"

// RequestSpotInstances records a request for each instance; package
// controller/spotrequest fulfils them, when there is capacity.
func (s *Service) RequestSpotInstances(ctx context.Context, call awsapi.Call, in *ec2.RequestSpotInstancesInput) (*ec2.RequestSpotInstancesOutput, error) {
	launch, err := spotLaunch(call, in)
	if err != nil {
		return nil, err
	}
	tags, err := specTags(in.TagSpecifications, "spot-instances-request")
	if err != nil {
		return nil, err
	}
	r := resource.SpotRequest{
		Home: homeOf(call), Created: call.Time, Token: deref(in.ClientToken), MaxPrice: deref(in.SpotPrice), ValidUntil: deref(in.ValidUntil), Tags: tags["spot-instances-request"],
	}
	out := &ec2.RequestSpotInstancesOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		view := newInstanceView(tx)
		if r.Token != "" {
			for prior := range tx.SpotRequests.Values(func(o resource.SpotRequest) bool { return o.Home == r.Home && o.Token == r.Token }) {
				d, err := view.describeSpot(prior)
				if err != nil {
					return err
				}
				out.SpotInstanceRequests = append(out.SpotInstanceRequests, d)
			}
			if len(out.SpotInstanceRequests) > 0 {
				return nil
			}
		}
		for range or(deref(in.InstanceCount), 1) {
			made, err := provision.SpotRequest(tx, r, launch)
			if err != nil {
				return err
			}
			d, err := view.describeSpot(made)
			if err != nil {
				return err
			}
			out.SpotInstanceRequests = append(out.SpotInstanceRequests, d)
		}
		return nil
	})
}

// spotLaunch reads what a request for Spot instances wants launched, as RunInstances reads
// its own.
func spotLaunch(call awsapi.Call, in *ec2.RequestSpotInstancesInput) (provision.InstanceRequest, error) {
	none := provision.InstanceRequest{}
	l := in.LaunchSpecification
	switch {
	case l == nil:
		return none, missing("launchSpecification")
	case deref(in.InstanceCount) < 0 || deref(in.InstanceCount) > maxLaunch:
		return none, fault("InvalidParameterValue", "Value (%d) for parameter instanceCount is invalid.", *in.InstanceCount)
	case in.BlockDurationMinutes != nil:
		return none, fault("InvalidParameterCombination", "BlockDurationMinutes is not supported for new Spot Instance requests.")
	case in.ValidUntil != nil && in.ValidUntil.Before(call.Time):
		return none, fault("InvalidTime", "The value for validUntil is in the past.")
	}
	if err := reject(
		ask{"A launch group", in.LaunchGroup != nil || in.AvailabilityZoneGroup != nil},
		ask{"A request that is not valid at once", in.ValidFrom != nil && in.ValidFrom.After(call.Time)},
	); err != nil {
		return none, err
	}
	if err := provision.OneTimeSpot(deref(in.Type), deref(in.InstanceInterruptionBehavior)); err != nil {
		return none, err
	}
	if in.SpotPrice != nil {
		if p, err := strconv.ParseFloat(*in.SpotPrice, 64); err != nil || p <= 0 {
			return none, fault("InvalidParameterValue", "Invalid value '%s' for Spot price.", *in.SpotPrice)
		}
	}
	run := &ec2.RunInstancesInput{
		MinCount: new(int32(1)), MaxCount: new(int32(1)), SecurityGroupIds: l.SecurityGroupIds, SecurityGroups: l.SecurityGroups,
		BlockDeviceMappings: l.BlockDeviceMappings, EbsOptimized: l.EbsOptimized, IamInstanceProfile: l.IamInstanceProfile, ImageId: l.ImageId,
		InstanceType: l.InstanceType, KernelId: l.KernelId, KeyName: l.KeyName, Monitoring: l.Monitoring, NetworkInterfaces: l.NetworkInterfaces,
		RamdiskId: l.RamdiskId, SubnetId: l.SubnetId, UserData: l.UserData,
	}
	if p := l.Placement; p != nil {
		run.Placement = &ec2.Placement{AvailabilityZone: p.AvailabilityZone, GroupName: p.GroupName, Tenancy: p.Tenancy}
	}
	launch, err := launchRequest(call, run)
	launch.Fingerprint = "" // its instances are no RunInstances'
	return launch, err
}

// CancelSpotInstanceRequests cancels requests, all or none. Instances stay.
func (s *Service) CancelSpotInstanceRequests(ctx context.Context, call awsapi.Call, in *ec2.CancelSpotInstanceRequestsInput) (*ec2.CancelSpotInstanceRequestsOutput, error) {
	out := &ec2.CancelSpotInstanceRequestsOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		requests, err := spotKind(tx).byID(homeOf(call), in.SpotInstanceRequestIds)
		if err != nil {
			return err
		}
		for _, r := range requests {
			provision.CancelSpot(tx, r, call.Time)
			r, _ = tx.SpotRequests.Get(r.ID)
			out.CancelledSpotInstanceRequests = append(out.CancelledSpotInstanceRequests, ec2.CancelledSpotInstanceRequest{SpotInstanceRequestId: &r.ID, State: &r.State})
		}
		return nil
	})
}

func spotKind(tx *store.Tx) kind[resource.SpotRequest, ec2.SpotInstanceRequest] {
	return kind[resource.SpotRequest, ec2.SpotInstanceRequest]{
		noun: provision.SpotRequests, table: tx.SpotRequests, home: func(r resource.SpotRequest) resource.Home { return r.Home },
	}
}

var spotFields = fields[ec2.SpotInstanceRequest]{
	"create-time":                 func(r ec2.SpotInstanceRequest) []string { return []string{r.CreateTime.UTC().Format(filterTime)} },
	"instance-id":                 func(r ec2.SpotInstanceRequest) []string { return text(r.InstanceId) },
	"launch.image-id":             func(r ec2.SpotInstanceRequest) []string { return text(r.LaunchSpecification.ImageId) },
	"launch.instance-type":        func(r ec2.SpotInstanceRequest) []string { return text(r.LaunchSpecification.InstanceType) },
	"launch.key-name":             func(r ec2.SpotInstanceRequest) []string { return text(r.LaunchSpecification.KeyName) },
	"launched-availability-zone":  func(r ec2.SpotInstanceRequest) []string { return text(r.LaunchedAvailabilityZone) },
	"network-interface.subnet-id": func(r ec2.SpotInstanceRequest) []string { return text(r.LaunchSpecification.SubnetId) },
	"product-description":         func(r ec2.SpotInstanceRequest) []string { return text(r.ProductDescription) },
	"spot-instance-request-id":    func(r ec2.SpotInstanceRequest) []string { return text(r.SpotInstanceRequestId) },
	"spot-price":                  func(r ec2.SpotInstanceRequest) []string { return text(r.SpotPrice) },
	"state":                       func(r ec2.SpotInstanceRequest) []string { return text(r.State) },
	"status-code":                 func(r ec2.SpotInstanceRequest) []string { return text(r.Status.Code) },
	"status-message":              func(r ec2.SpotInstanceRequest) []string { return text(r.Status.Message) },
	"type":                        func(r ec2.SpotInstanceRequest) []string { return text(r.Type) },
}

// DescribeSpotInstanceRequests lists requests, those of RunInstances, fleets and scaling
// groups among them. Ended ones are shown for two days.
func (s *Service) DescribeSpotInstanceRequests(ctx context.Context, call awsapi.Call, in *ec2.DescribeSpotInstanceRequestsInput) (*ec2.DescribeSpotInstanceRequestsOutput, error) {
	match, err := matcher(in.Filters, spotFields, func(r ec2.SpotInstanceRequest) []ec2.Tag { return r.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSpotInstanceRequestsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		requests, err := spotKind(tx).byID(homeOf(call), in.SpotInstanceRequestIds)
		if err != nil {
			return err
		}
		if len(in.SpotInstanceRequestIds) == 0 {
			requests = slices.Collect(tx.SpotRequests.Values(func(r resource.SpotRequest) bool { return r.Home == homeOf(call) }))
		}
		view := newInstanceView(tx)
		var all []ec2.SpotInstanceRequest
		for _, r := range requests {
			d, err := view.describeSpot(r)
			if err != nil {
				return err
			}
			if match(d) {
				all = append(all, d)
			}
		}
		key := func(r ec2.SpotInstanceRequest) string { return *r.SpotInstanceRequestId }
		slices.SortFunc(all, func(a, b ec2.SpotInstanceRequest) int { return cmp.Compare(key(a), key(b)) })
		out.SpotInstanceRequests, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 0)
		return err
	})
}

func (v instanceView) describeSpot(r resource.SpotRequest) (ec2.SpotInstanceRequest, error) {
	out := ec2.SpotInstanceRequest{
		SpotInstanceRequestId: &r.ID, CreateTime: &r.Created, State: &r.State, Type: new(ec2.SpotInstanceTypeOneTime), ProductDescription: new(linux),
		Status:                       &ec2.SpotInstanceStatus{Code: &r.StatusCode, Message: new(provision.SpotMessage(r)), UpdateTime: &r.Updated},
		InstanceInterruptionBehavior: new(ec2.SpotInstanceInterruptionBehaviorTerminate), InstanceId: some(r.Instance), Tags: tagSet(r.Tags),
	}
	if !r.ValidUntil.IsZero() {
		out.ValidUntil = &r.ValidUntil
	}
	launch, err := provision.SpotLaunch(r)
	if err != nil {
		return out, err
	}
	l := &ec2.LaunchSpecification{
		ImageId: some(launch.Image), InstanceType: some(launch.Type), KeyName: some(launch.KeyName), SubnetId: some(launch.Subnet),
		EbsOptimized: new(is(launch.EBSOptimized)), Monitoring: &ec2.RunInstancesMonitoringEnabled{Enabled: new(is(launch.Monitoring))},
		SecurityGroups: groupIdentifiers(v.tx, launch.SecurityGroups),
	}
	if len(launch.UserData) > 0 {
		l.UserData = new(base64.StdEncoding.EncodeToString(launch.UserData))
	}
	out.LaunchSpecification = l
	kind := launch.Type
	if i, ok := v.tx.Instances.Get(r.Instance); ok {
		kind = i.Spec.Type
		l.ImageId, l.InstanceType, l.KeyName, l.SubnetId = &i.Spec.Image, &i.Spec.Type, some(i.Spec.KeyName), &i.Spec.Subnet
		l.EbsOptimized, l.Monitoring.Enabled = &i.Spec.EBSOptimized, &i.Spec.Monitoring
		l.Placement = &ec2.SpotPlacement{AvailabilityZone: &i.Spec.Zone}
		l.SecurityGroups = groupIdentifiers(v.tx, i.Spec.SecurityGroups)
		out.LaunchedAvailabilityZone, out.LaunchedAvailabilityZoneId = &i.Spec.Zone, v.zoneID(i)
	}
	if out.SpotPrice = some(r.MaxPrice); r.MaxPrice == "" {
		if t, ok := instancetype.Lookup(kind); ok && t.PriceUSD > 0 {
			out.SpotPrice = new(provision.PriceText(t.PriceUSD))
		}
	}
	return out, nil
}

// DescribeSpotPriceHistory lists one price of each type in each zone, which has held since
// before anybody asked: see provision.SpotPrice.
func (s *Service) DescribeSpotPriceHistory(_ context.Context, call awsapi.Call, in *ec2.DescribeSpotPriceHistoryInput) (*ec2.DescribeSpotPriceHistoryOutput, error) {
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	match, err := matcher(in.Filters, fields[ec2.SpotPrice]{
		"availability-zone":    func(p ec2.SpotPrice) []string { return text(p.AvailabilityZone) },
		"availability-zone-id": func(p ec2.SpotPrice) []string { return text(p.AvailabilityZoneId) },
		"instance-type":        func(p ec2.SpotPrice) []string { return text(p.InstanceType) },
		"product-description":  func(p ec2.SpotPrice) []string { return text(p.ProductDescription) },
		"spot-price":           func(p ec2.SpotPrice) []string { return text(p.SpotPrice) },
	}, nil)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSpotPriceHistoryOutput{}
	r, _ := region.Lookup(call.Region)
	product := len(in.ProductDescriptions) == 0 || slices.Contains(in.ProductDescriptions, linux) || slices.Contains(in.ProductDescriptions, linux+" (Amazon VPC)")
	at := call.Time.Truncate(time.Hour)
	if in.EndTime != nil && in.EndTime.Before(at) {
		at = *in.EndTime
	}
	var all []ec2.SpotPrice
	for t := range instancetype.All() {
		if !product || len(in.InstanceTypes) > 0 && !slices.Contains(in.InstanceTypes, t.Name) {
			continue
		}
		for _, z := range r.Zones {
			price, ok := provision.SpotPrice(t, z.Name)
			if !ok || in.AvailabilityZone != nil && *in.AvailabilityZone != z.Name || in.AvailabilityZoneId != nil && *in.AvailabilityZoneId != z.ID {
				continue
			}
			p := ec2.SpotPrice{
				AvailabilityZone: &z.Name, AvailabilityZoneId: &z.ID, InstanceType: &t.Name, ProductDescription: new(linux),
				SpotPrice: new(provision.PriceText(price)), Timestamp: &at,
			}
			if match(p) {
				all = append(all, p)
			}
		}
	}
	key := func(p ec2.SpotPrice) string { return *p.InstanceType + "/" + *p.AvailabilityZone }
	slices.SortFunc(all, func(a, b ec2.SpotPrice) int { return cmp.Compare(key(a), key(b)) })
	out.SpotPriceHistory, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 1000)
	return out, err
}
