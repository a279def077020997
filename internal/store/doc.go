// Package store keeps the records of package resource in etcd.
//
// One etcd key per record, its value the record as JSON:
//
//	/ekster/accounts/<id>                       resource.Account
//	/ekster/users/<arn>                         resource.User
//	/ekster/roles/<arn>                         resource.Role
//	/ekster/policies/<arn>                      resource.Policy
//	/ekster/instanceprofiles/<arn>              resource.InstanceProfile
//	/ekster/groups/<arn>                        resource.Group
//	/ekster/oidcproviders/<arn>                 resource.OIDCProvider
//	/ekster/accesskeys/<access key id>          resource.AccessKey
//	/ekster/sessions/<access key id>            resource.Session
//	/ekster/keypairs/<id>                       resource.KeyPair
//	/ekster/vpcs/<id>                           resource.VPC
//	/ekster/subnets/<id>                        resource.Subnet
//	/ekster/routetables/<id>                    resource.RouteTable
//	/ekster/internetgateways/<id>               resource.InternetGateway
//	/ekster/securitygroups/<id>                 resource.SecurityGroup
//	/ekster/interfaces/<id>                     resource.NetworkInterface
//	/ekster/addresses/<id>                      resource.Address
//	/ekster/addresspools/<id>                   resource.AddressPool
//	/ekster/natgateways/<id>                    resource.NATGateway
//	/ekster/networkacls/<id>                    resource.NetworkACL
//	/ekster/peeringconnections/<id>             resource.PeeringConnection
//	/ekster/vpcendpoints/<id>                   resource.VPCEndpoint
//	/ekster/prefixlists/<id>                    resource.PrefixList
//	/ekster/egressonlygateways/<id>             resource.EgressOnlyGateway
//	/ekster/dhcpoptions/<id>                    resource.DHCPOptions
//	/ekster/launchtemplates/<id>                resource.LaunchTemplate
//	/ekster/instances/<id>                      resource.Instance
//	/ekster/capacityfaults/<type>/<zone>/<lifecycle>  resource.CapacityFault
//	/ekster/fleets/<id>                         resource.Fleet
//	/ekster/placementgroups/<id>                resource.PlacementGroup
//	/ekster/spotrequests/<id>                   resource.SpotRequest
//	/ekster/vcpulimits/<lifecycle>              resource.VCPULimit
//	/ekster/payloads/<id>                       resource.Payload
//	/ekster/autoscalinggroups/<arn>             resource.AutoScalingGroup
//	/ekster/groupinstances/<instance id>        resource.GroupInstance
//	/ekster/scalingactivities/<id>              resource.ScalingActivity
//	/ekster/scheduledactions/<group arn>|<name> resource.ScheduledAction
//	/ekster/instancerefreshes/<id>              resource.InstanceRefresh
//	/ekster/clusters/<arn>                      resource.Cluster
//	/ekster/nodegroups/<arn>                    resource.Nodegroup
//	/ekster/updates/<id>                        resource.Update
//	/ekster/accessentries/<cluster arn>|<principal arn>  resource.AccessEntry
//	/ekster/nodes/<cluster arn>|<node name>     resource.Node
//	/ekster/podidentityassociations/<arn>       resource.PodIdentityAssociation
//	/ekster/identityproviders/<arn>             resource.IdentityProvider
//	/ekster/addons/<arn>                        resource.Addon
//	/ekster/zonefaults/<zone name>              resource.ZoneFault
//	/ekster/zonalshifts/<cluster arn>           resource.ZonalShift
//	/ekster/queues/<arn>                        resource.Queue
//	/ekster/messages/<queue arn>|<time>|<id>    resource.Message
//	/ekster/eventrules/<arn>                    resource.EventRule
//
// All records are also in memory, so a read costs a map look-up and a transaction
// reads its own writes. Update runs its function alone among writers, commits what
// it wrote as one etcd transaction, and only then shows it to readers and tells
// subscribers. An Update that has returned nil survives kill -9. One whose commit etcd
// does not answer goes on until it is known what has become of it; if it returns an error
// that says so, the next Update finds out first. What follows from other
// records' changes whoever made them, as an event does, is written by who has asked for it with
// Derive, in the same transaction.
//
// Records are shared values: what All and a View's Get hand out must not be written
// through (replace a slice or a map, do not change it in place). Get inside an Update
// returns a copy of its own.
//
// The store checks no record and knows no API. It does not share its etcd
// keyspace with a second daemon: a commit that finds a foreign revision fails.
package store
