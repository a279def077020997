package store

import "ekster.dev/ekster/internal/resource"

// A Tx is one transaction: a field a table.
type Tx struct {
	Accounts                *Table[resource.Account]
	Users                   *Table[resource.User]
	Roles                   *Table[resource.Role]
	Policies                *Table[resource.Policy]
	InstanceProfiles        *Table[resource.InstanceProfile]
	Groups                  *Table[resource.Group]
	OIDCProviders           *Table[resource.OIDCProvider]
	AccessKeys              *Table[resource.AccessKey]
	Sessions                *Table[resource.Session]
	KeyPairs                *Table[resource.KeyPair]
	VPCs                    *Table[resource.VPC]
	Subnets                 *Table[resource.Subnet]
	RouteTables             *Table[resource.RouteTable]
	InternetGateways        *Table[resource.InternetGateway]
	SecurityGroups          *Table[resource.SecurityGroup]
	Interfaces              *Table[resource.NetworkInterface]
	Addresses               *Table[resource.Address]
	AddressPools            *Table[resource.AddressPool]
	NATGateways             *Table[resource.NATGateway]
	NetworkACLs             *Table[resource.NetworkACL]
	PeeringConnections      *Table[resource.PeeringConnection]
	VPCEndpoints            *Table[resource.VPCEndpoint]
	PrefixLists             *Table[resource.PrefixList]
	EgressOnlyGateways      *Table[resource.EgressOnlyGateway]
	DHCPOptions             *Table[resource.DHCPOptions]
	LaunchTemplates         *Table[resource.LaunchTemplate]
	Instances               *Table[resource.Instance]
	CapacityFaults          *Table[resource.CapacityFault]
	Fleets                  *Table[resource.Fleet]
	PlacementGroups         *Table[resource.PlacementGroup]
	SpotRequests            *Table[resource.SpotRequest]
	VCPULimits              *Table[resource.VCPULimit]
	Payloads                *Table[resource.Payload]
	AutoScalingGroups       *Table[resource.AutoScalingGroup]
	GroupInstances          *Table[resource.GroupInstance]
	ScalingActivities       *Table[resource.ScalingActivity]
	InstanceRefreshes       *Table[resource.InstanceRefresh]
	ScheduledActions        *Table[resource.ScheduledAction]
	Clusters                *Table[resource.Cluster]
	Nodegroups              *Table[resource.Nodegroup]
	Updates                 *Table[resource.Update]
	AccessEntries           *Table[resource.AccessEntry]
	Nodes                   *Table[resource.Node]
	PodIdentityAssociations *Table[resource.PodIdentityAssociation]
	IdentityProviders       *Table[resource.IdentityProvider]
	Addons                  *Table[resource.Addon]
	ZoneFaults              *Table[resource.ZoneFault]
	ZonalShifts             *Table[resource.ZonalShift]
	Queues                  *Table[resource.Queue]
	Messages                *Table[resource.Message]
	EventRules              *Table[resource.EventRule]
}

// tables are all records in memory.
type tables struct {
	accounts                *table[resource.Account]
	users                   *table[resource.User]
	roles                   *table[resource.Role]
	policies                *table[resource.Policy]
	instanceProfiles        *table[resource.InstanceProfile]
	groups                  *table[resource.Group]
	oidcProviders           *table[resource.OIDCProvider]
	accessKeys              *table[resource.AccessKey]
	sessions                *table[resource.Session]
	keyPairs                *table[resource.KeyPair]
	vpcs                    *table[resource.VPC]
	subnets                 *table[resource.Subnet]
	routeTables             *table[resource.RouteTable]
	internetGateways        *table[resource.InternetGateway]
	securityGroups          *table[resource.SecurityGroup]
	interfaces              *table[resource.NetworkInterface]
	addresses               *table[resource.Address]
	addressPools            *table[resource.AddressPool]
	natGateways             *table[resource.NATGateway]
	networkACLs             *table[resource.NetworkACL]
	peeringConnections      *table[resource.PeeringConnection]
	vpcEndpoints            *table[resource.VPCEndpoint]
	prefixLists             *table[resource.PrefixList]
	egressOnlyGateways      *table[resource.EgressOnlyGateway]
	dhcpOptions             *table[resource.DHCPOptions]
	launchTemplates         *table[resource.LaunchTemplate]
	instances               *table[resource.Instance]
	capacityFaults          *table[resource.CapacityFault]
	fleets                  *table[resource.Fleet]
	placementGroups         *table[resource.PlacementGroup]
	spotRequests            *table[resource.SpotRequest]
	vcpuLimits              *table[resource.VCPULimit]
	payloads                *table[resource.Payload]
	autoScalingGroups       *table[resource.AutoScalingGroup]
	groupInstances          *table[resource.GroupInstance]
	scalingActivities       *table[resource.ScalingActivity]
	instanceRefreshes       *table[resource.InstanceRefresh]
	scheduledActions        *table[resource.ScheduledAction]
	clusters                *table[resource.Cluster]
	nodegroups              *table[resource.Nodegroup]
	updates                 *table[resource.Update]
	accessEntries           *table[resource.AccessEntry]
	nodes                   *table[resource.Node]
	podIdentityAssociations *table[resource.PodIdentityAssociation]
	identityProviders       *table[resource.IdentityProvider]
	addons                  *table[resource.Addon]
	zoneFaults              *table[resource.ZoneFault]
	zonalShifts             *table[resource.ZonalShift]
	queues                  *table[resource.Queue]
	messages                *table[resource.Message]
	eventRules              *table[resource.EventRule]
}

func newTables() tables {
	return tables{
		accounts:                newTable[resource.Account](Accounts),
		users:                   newTable[resource.User](Users),
		roles:                   newTable[resource.Role](Roles),
		policies:                newTable[resource.Policy](Policies),
		instanceProfiles:        newTable[resource.InstanceProfile](InstanceProfiles),
		groups:                  newTable[resource.Group](Groups),
		oidcProviders:           newTable[resource.OIDCProvider](OIDCProviders),
		accessKeys:              newTable[resource.AccessKey](AccessKeys),
		sessions:                newTable[resource.Session](Sessions),
		keyPairs:                newTable[resource.KeyPair](KeyPairs),
		vpcs:                    newTable[resource.VPC](VPCs),
		subnets:                 newTable[resource.Subnet](Subnets),
		routeTables:             newTable[resource.RouteTable](RouteTables),
		internetGateways:        newTable[resource.InternetGateway](InternetGateways),
		securityGroups:          newTable[resource.SecurityGroup](SecurityGroups),
		interfaces:              newTable[resource.NetworkInterface](Interfaces),
		addresses:               newTable[resource.Address](Addresses),
		addressPools:            newTable[resource.AddressPool](AddressPools),
		natGateways:             newTable[resource.NATGateway](NATGateways),
		networkACLs:             newTable[resource.NetworkACL](NetworkACLs),
		peeringConnections:      newTable[resource.PeeringConnection](PeeringConnections),
		vpcEndpoints:            newTable[resource.VPCEndpoint](VPCEndpoints),
		prefixLists:             newTable[resource.PrefixList](PrefixLists),
		egressOnlyGateways:      newTable[resource.EgressOnlyGateway](EgressOnlyGateways),
		dhcpOptions:             newTable[resource.DHCPOptions](DHCPOptions),
		launchTemplates:         newTable[resource.LaunchTemplate](LaunchTemplates),
		instances:               newTable[resource.Instance](Instances),
		capacityFaults:          newTable[resource.CapacityFault](CapacityFaults),
		fleets:                  newTable[resource.Fleet](Fleets),
		placementGroups:         newTable[resource.PlacementGroup](PlacementGroups),
		spotRequests:            newTable[resource.SpotRequest](SpotRequests),
		vcpuLimits:              newTable[resource.VCPULimit](VCPULimits),
		payloads:                newTable[resource.Payload](Payloads),
		autoScalingGroups:       newTable[resource.AutoScalingGroup](AutoScalingGroups),
		groupInstances:          newTable[resource.GroupInstance](GroupInstances),
		scalingActivities:       newTable[resource.ScalingActivity](ScalingActivities),
		instanceRefreshes:       newTable[resource.InstanceRefresh](InstanceRefreshes),
		scheduledActions:        newTable[resource.ScheduledAction](ScheduledActions),
		clusters:                newTable[resource.Cluster](Clusters),
		nodegroups:              newTable[resource.Nodegroup](Nodegroups),
		updates:                 newTable[resource.Update](Updates),
		accessEntries:           newTable[resource.AccessEntry](AccessEntries),
		nodes:                   newTable[resource.Node](Nodes),
		podIdentityAssociations: newTable[resource.PodIdentityAssociation](PodIdentityAssociations),
		identityProviders:       newTable[resource.IdentityProvider](IdentityProviders),
		addons:                  newTable[resource.Addon](Addons),
		zoneFaults:              newTable[resource.ZoneFault](ZoneFaults),
		zonalShifts:             newTable[resource.ZonalShift](ZonalShifts),
		queues:                  newTable[resource.Queue](Queues),
		messages:                newTable[resource.Message](Messages),
		eventRules:              newTable[resource.EventRule](EventRules),
	}
}

func (t tables) list() []anyTable {
	return []anyTable{
		t.accounts,
		t.users,
		t.roles,
		t.policies,
		t.instanceProfiles,
		t.groups,
		t.oidcProviders,
		t.accessKeys,
		t.sessions,
		t.keyPairs,
		t.vpcs,
		t.subnets,
		t.routeTables,
		t.internetGateways,
		t.securityGroups,
		t.interfaces,
		t.addresses,
		t.addressPools,
		t.natGateways,
		t.networkACLs,
		t.peeringConnections,
		t.vpcEndpoints,
		t.prefixLists,
		t.egressOnlyGateways,
		t.dhcpOptions,
		t.launchTemplates,
		t.instances,
		t.capacityFaults,
		t.fleets,
		t.placementGroups,
		t.spotRequests,
		t.vcpuLimits,
		t.payloads,
		t.autoScalingGroups,
		t.groupInstances,
		t.scalingActivities,
		t.instanceRefreshes,
		t.scheduledActions,
		t.clusters,
		t.nodegroups,
		t.updates,
		t.accessEntries,
		t.nodes,
		t.podIdentityAssociations,
		t.identityProviders,
		t.addons,
		t.zoneFaults,
		t.zonalShifts,
		t.queues,
		t.messages,
		t.eventRules,
	}
}

func (t tables) begin(write bool) *Tx {
	return &Tx{
		Accounts:                begin(t.accounts, write),
		Users:                   begin(t.users, write),
		Roles:                   begin(t.roles, write),
		Policies:                begin(t.policies, write),
		InstanceProfiles:        begin(t.instanceProfiles, write),
		Groups:                  begin(t.groups, write),
		OIDCProviders:           begin(t.oidcProviders, write),
		AccessKeys:              begin(t.accessKeys, write),
		Sessions:                begin(t.sessions, write),
		KeyPairs:                begin(t.keyPairs, write),
		VPCs:                    begin(t.vpcs, write),
		Subnets:                 begin(t.subnets, write),
		RouteTables:             begin(t.routeTables, write),
		InternetGateways:        begin(t.internetGateways, write),
		SecurityGroups:          begin(t.securityGroups, write),
		Interfaces:              begin(t.interfaces, write),
		Addresses:               begin(t.addresses, write),
		AddressPools:            begin(t.addressPools, write),
		NATGateways:             begin(t.natGateways, write),
		NetworkACLs:             begin(t.networkACLs, write),
		PeeringConnections:      begin(t.peeringConnections, write),
		VPCEndpoints:            begin(t.vpcEndpoints, write),
		PrefixLists:             begin(t.prefixLists, write),
		EgressOnlyGateways:      begin(t.egressOnlyGateways, write),
		DHCPOptions:             begin(t.dhcpOptions, write),
		LaunchTemplates:         begin(t.launchTemplates, write),
		Instances:               begin(t.instances, write),
		CapacityFaults:          begin(t.capacityFaults, write),
		Fleets:                  begin(t.fleets, write),
		PlacementGroups:         begin(t.placementGroups, write),
		SpotRequests:            begin(t.spotRequests, write),
		VCPULimits:              begin(t.vcpuLimits, write),
		Payloads:                begin(t.payloads, write),
		AutoScalingGroups:       begin(t.autoScalingGroups, write),
		GroupInstances:          begin(t.groupInstances, write),
		ScalingActivities:       begin(t.scalingActivities, write),
		InstanceRefreshes:       begin(t.instanceRefreshes, write),
		ScheduledActions:        begin(t.scheduledActions, write),
		Clusters:                begin(t.clusters, write),
		Nodegroups:              begin(t.nodegroups, write),
		Updates:                 begin(t.updates, write),
		AccessEntries:           begin(t.accessEntries, write),
		Nodes:                   begin(t.nodes, write),
		PodIdentityAssociations: begin(t.podIdentityAssociations, write),
		IdentityProviders:       begin(t.identityProviders, write),
		Addons:                  begin(t.addons, write),
		ZoneFaults:              begin(t.zoneFaults, write),
		ZonalShifts:             begin(t.zonalShifts, write),
		Queues:                  begin(t.queues, write),
		Messages:                begin(t.messages, write),
		EventRules:              begin(t.eventRules, write),
	}
}

func begin[T any](base *table[T], write bool) *Table[T] {
	t := &Table[T]{base: base, write: write}
	if write {
		t.over = map[string]*T{}
	}
	return t
}

// ops are the writes of tx, table by table.
func (tx *Tx) ops() ([]op, error) {
	var out []op
	for _, f := range []func() ([]op, error){
		tx.Accounts.ops,
		tx.Users.ops,
		tx.Roles.ops,
		tx.Policies.ops,
		tx.InstanceProfiles.ops,
		tx.Groups.ops,
		tx.OIDCProviders.ops,
		tx.AccessKeys.ops,
		tx.Sessions.ops,
		tx.KeyPairs.ops,
		tx.VPCs.ops,
		tx.Subnets.ops,
		tx.RouteTables.ops,
		tx.InternetGateways.ops,
		tx.SecurityGroups.ops,
		tx.Interfaces.ops,
		tx.Addresses.ops,
		tx.AddressPools.ops,
		tx.NATGateways.ops,
		tx.NetworkACLs.ops,
		tx.PeeringConnections.ops,
		tx.VPCEndpoints.ops,
		tx.PrefixLists.ops,
		tx.EgressOnlyGateways.ops,
		tx.DHCPOptions.ops,
		tx.LaunchTemplates.ops,
		tx.Instances.ops,
		tx.CapacityFaults.ops,
		tx.Fleets.ops,
		tx.PlacementGroups.ops,
		tx.SpotRequests.ops,
		tx.VCPULimits.ops,
		tx.Payloads.ops,
		tx.AutoScalingGroups.ops,
		tx.GroupInstances.ops,
		tx.ScalingActivities.ops,
		tx.InstanceRefreshes.ops,
		tx.ScheduledActions.ops,
		tx.Clusters.ops,
		tx.Nodegroups.ops,
		tx.Updates.ops,
		tx.AccessEntries.ops,
		tx.Nodes.ops,
		tx.PodIdentityAssociations.ops,
		tx.IdentityProviders.ops,
		tx.Addons.ops,
		tx.ZoneFaults.ops,
		tx.ZonalShifts.ops,
		tx.Queues.ops,
		tx.Messages.ops,
		tx.EventRules.ops,
	} {
		ops, err := f()
		if err != nil {
			return nil, err
		}
		out = append(out, ops...)
	}
	return out, nil
}
