package ec2

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateVpcEndpoint makes an interface or gateway endpoint of a service that is here.
func (s *Service) CreateVpcEndpoint(ctx context.Context, call awsapi.Call, in *ec2.CreateVpcEndpointInput) (*ec2.CreateVpcEndpointOutput, error) {
	tags, err := specTags(in.TagSpecifications, "vpc-endpoint")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"A policy of a VPC endpoint that does not allow everything", !allowsAll(in.PolicyDocument)},
		ask{"An IPv6 endpoint", or(deref(in.IpAddressType), ec2.IpAddressTypeIpv4) != ec2.IpAddressTypeIpv4},
		ask{"Choosing an endpoint's addresses", len(in.SubnetConfigurations) > 0},
		ask{"A service network", in.ServiceNetworkArn != nil || in.ResourceConfigurationArn != nil},
		ask{"A service of another region", or(deref(in.ServiceRegion), call.Region) != call.Region},
	); err != nil {
		return nil, err
	}
	if in.ServiceName == nil {
		return nil, missing("ServiceName")
	}
	out := &ec2.CreateVpcEndpointOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		if token := deref(in.ClientToken); token != "" {
			for prior := range tx.VPCEndpoints.Values(func(e resource.VPCEndpoint) bool { return e.Home == homeOf(call) && e.Token == token }) {
				if prior.VPC != *in.VpcId || prior.Service != *in.ServiceName {
					return idempotentMismatch()
				}
				out.VpcEndpoint = new(describeEndpoint(tx, prior))
				return nil
			}
		}
		e, err := provision.Endpoint(tx, provision.EndpointRequest{
			Home: homeOf(call), VPC: *in.VpcId, Service: *in.ServiceName, Type: deref(in.VpcEndpointType), RouteTables: in.RouteTableIds,
			Subnets: in.SubnetIds, SecurityGroups: in.SecurityGroupIds, NoPrivateDNS: in.PrivateDnsEnabled != nil && !*in.PrivateDnsEnabled,
			Token: deref(in.ClientToken), Tags: tags["vpc-endpoint"], Now: call.Time,
		})
		if err != nil {
			return err
		}
		out.VpcEndpoint = new(describeEndpoint(tx, e))
		return nil
	})
}

// ModifyVpcEndpoint changes where an endpoint is reached from, and by which names.
func (s *Service) ModifyVpcEndpoint(ctx context.Context, call awsapi.Call, in *ec2.ModifyVpcEndpointInput) (*ec2.ModifyVpcEndpointOutput, error) {
	if err := reject(
		ask{"A policy of a VPC endpoint that does not allow everything", !allowsAll(in.PolicyDocument)},
		ask{"An IPv6 endpoint", or(deref(in.IpAddressType), ec2.IpAddressTypeIpv4) != ec2.IpAddressTypeIpv4},
		ask{"Choosing an endpoint's addresses", len(in.SubnetConfigurations) > 0},
	); err != nil {
		return nil, err
	}
	return &ec2.ModifyVpcEndpointOutput{Return: new(true)}, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.ModifyEndpoint(tx, homeOf(call), *in.VpcEndpointId, provision.EndpointChange{
			AddTables: in.AddRouteTableIds, RemoveTables: in.RemoveRouteTableIds, AddSubnets: in.AddSubnetIds, RemoveSubnets: in.RemoveSubnetIds,
			AddGroups: in.AddSecurityGroupIds, RemoveGroups: in.RemoveSecurityGroupIds, PrivateDNS: in.PrivateDnsEnabled, Now: call.Time,
		})
	})
}

// everything is the policy of every endpoint: nothing here is decided by others.
const everything = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`

// allowsAll says whether a policy is the one that endpoints have anyway.
func allowsAll(policy *string) bool {
	if policy == nil {
		return true
	}
	var p struct{ Statement []map[string]any }
	if json.Unmarshal([]byte(*policy), &p) != nil {
		return false
	}
	canonical, err := json.Marshal(p) // with sorted keys
	return err == nil && string(canonical) == everything
}

// DeleteVpcEndpoints takes endpoints away, those that are there.
func (s *Service) DeleteVpcEndpoints(ctx context.Context, call awsapi.Call, in *ec2.DeleteVpcEndpointsInput) (*ec2.DeleteVpcEndpointsOutput, error) {
	out := &ec2.DeleteVpcEndpointsOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, id := range in.VpcEndpointIds {
			err := provision.DeleteEndpoint(tx, homeOf(call), id)
			var e *awsapi.Error
			if errors.As(err, &e) {
				out.Unsuccessful = append(out.Unsuccessful, ec2.UnsuccessfulItem{ResourceId: &id, Error: &ec2.UnsuccessfulItemError{Code: &e.Code, Message: &e.Message}})
			} else if err != nil {
				return err
			}
		}
		return nil
	})
}

// DescribeVpcEndpoints lists endpoints.
func (s *Service) DescribeVpcEndpoints(ctx context.Context, call awsapi.Call, in *ec2.DescribeVpcEndpointsInput) (*ec2.DescribeVpcEndpointsOutput, error) {
	out := &ec2.DescribeVpcEndpointsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.VpcEndpoints, out.NextToken, err = kind[resource.VPCEndpoint, ec2.VpcEndpoint]{
			noun: provision.Endpoints, table: tx.VPCEndpoints,
			home:     func(e resource.VPCEndpoint) resource.Home { return e.Home },
			describe: func(e resource.VPCEndpoint) ec2.VpcEndpoint { return describeEndpoint(tx, e) },
			id:       func(e ec2.VpcEndpoint) string { return *e.VpcEndpointId },
			tags:     func(e ec2.VpcEndpoint) []ec2.Tag { return e.Tags },
			fields: fields[ec2.VpcEndpoint]{
				"ip-address-type":    func(e ec2.VpcEndpoint) []string { return text(e.IpAddressType) },
				"service-name":       func(e ec2.VpcEndpoint) []string { return text(e.ServiceName) },
				"service-region":     func(e ec2.VpcEndpoint) []string { return text(e.ServiceRegion) },
				"vpc-endpoint-id":    func(e ec2.VpcEndpoint) []string { return text(e.VpcEndpointId) },
				"vpc-endpoint-state": func(e ec2.VpcEndpoint) []string { return text(e.State) },
				"vpc-endpoint-type":  func(e ec2.VpcEndpoint) []string { return text(e.VpcEndpointType) },
				"vpc-id":             func(e ec2.VpcEndpoint) []string { return text(e.VpcId) },
			},
		}.list(homeOf(call), query{in.VpcEndpointIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func describeEndpoint(tx *store.Tx, e resource.VPCEndpoint) ec2.VpcEndpoint {
	out := ec2.VpcEndpoint{
		VpcEndpointId: &e.ID, VpcEndpointType: &e.Type, VpcId: &e.VPC, ServiceName: &e.Service, ServiceRegion: &e.Region, State: new("available"), // in lower case, other than in its model
		RouteTableIds: e.RouteTables, SubnetIds: e.Subnets, NetworkInterfaceIds: e.Interfaces, PrivateDnsEnabled: &e.PrivateDNS,
		RequesterManaged: new(false), CreationTimestamp: &e.Created, OwnerId: &e.Account, IpAddressType: new(ec2.IpAddressTypeIpv4), Tags: tagSet(e.Tags),
		PolicyDocument: new(everything),
	}
	for _, g := range groupIdentifiers(tx, e.SecurityGroups) {
		out.Groups = append(out.Groups, ec2.SecurityGroupIdentifier(g))
	}
	for _, name := range provision.EndpointNames(e) {
		out.DnsEntries = append(out.DnsEntries, ec2.DnsEntry{DnsName: &name})
	}
	return out
}

// DescribeVpcEndpointServices lists the services that have endpoints here.
func (s *Service) DescribeVpcEndpointServices(ctx context.Context, call awsapi.Call, in *ec2.DescribeVpcEndpointServicesInput) (*ec2.DescribeVpcEndpointServicesOutput, error) {
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	r, _ := region.Lookup(call.Region)
	var zones []string
	for _, z := range r.Zones {
		zones = append(zones, z.Name)
	}
	var all []ec2.ServiceDetail
	prefix := "com.amazonaws." + call.Region + "."
	for _, name := range slices.Sorted(maps.Keys(provision.EndpointServices)) {
		kind := provision.EndpointServices[name]
		d := ec2.ServiceDetail{
			ServiceName: new(prefix + name), ServiceType: []ec2.ServiceTypeDetail{{ServiceType: &kind}}, ServiceRegion: &call.Region, AvailabilityZones: zones,
			Owner: new("amazon"), AcceptanceRequired: new(false), VpcEndpointPolicySupported: new(false), SupportedIpAddressTypes: []string{ec2.IpAddressTypeIpv4},
		}
		names := provision.EndpointNames(resource.VPCEndpoint{Home: homeOf(call), Service: prefix + name, PrivateDNS: kind == provision.EndpointInterface})
		for _, n := range names {
			d.PrivateDnsName = &n
			d.PrivateDnsNames = append(d.PrivateDnsNames, ec2.PrivateDnsDetails{PrivateDnsName: &n})
		}
		all = append(all, d)
	}
	for _, name := range in.ServiceNames {
		if short, ok := strings.CutPrefix(name, prefix); !ok || provision.EndpointServices[short] == "" {
			return nil, fault("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", name)
		}
	}
	match, err := matcher(in.Filters, fields[ec2.ServiceDetail]{
		"service-name":   func(d ec2.ServiceDetail) []string { return text(d.ServiceName) },
		"service-region": func(d ec2.ServiceDetail) []string { return text(d.ServiceRegion) },
		"service-type": func(d ec2.ServiceDetail) []string {
			return each(d.ServiceType, func(t ec2.ServiceTypeDetail) []string { return text(t.ServiceType) })
		},
		"supported-ip-address-types": func(d ec2.ServiceDetail) []string { return d.SupportedIpAddressTypes },
		"owner":                      func(d ec2.ServiceDetail) []string { return text(d.Owner) },
	}, nil)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d ec2.ServiceDetail) bool {
		return !match(d) || len(in.ServiceNames) > 0 && !slices.Contains(in.ServiceNames, *d.ServiceName)
	})
	out := &ec2.DescribeVpcEndpointServicesOutput{}
	if out.ServiceDetails, out.NextToken, err = page(all, func(d ec2.ServiceDetail) string { return *d.ServiceName }, in.MaxResults, in.NextToken, 0); err != nil {
		return nil, err
	}
	for _, d := range out.ServiceDetails {
		out.ServiceNames = append(out.ServiceNames, *d.ServiceName)
	}
	return out, nil
}
