package provision

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxUserData is the size of user data before base64.
const maxUserData = 16 << 10

// An InstanceRequest says what instance to launch. What is left empty is taken from a
// launch template by MergeTemplate, and else gets EC2's default.
type InstanceRequest struct {
	Home               resource.Home
	Type               string
	Image              string
	Subnet             string // none: a default subnet
	Zone               string // of the default subnet
	SecurityGroups     []string
	SecurityGroupNames []string // in the default VPC
	PrivateIP          netip.Addr
	Six                Request6 // of the primary interface, where there are no Interfaces
	Interfaces         []InterfaceSpec
	UserData           []byte
	ProfileARN         string // of the instance profile; or
	ProfileName        string
	KeyName            string
	Disk               Disk // the root volume
	DataDisk           Disk // the data volume, which Bottlerocket images have
	HTTPTokens         string
	HTTPEndpoint       string
	HopLimit           int32
	MetadataTags       string
	MetadataIPv6       string
	NameA, NameAAAA    *bool  // see resource.ResourceNames; nil: as the subnet says
	Lifecycle          string // spot; on demand
	SpotMaxPrice       string // USD an hour
	SpotTags           resource.Tags
	PlacementGroup     string // name or id
	Monitoring         *bool
	EBSOptimized       *bool
	Protected          *bool // from termination through the API
	StopProtected      *bool // from a stop through the API
	ShutdownBehavior   string
	Tags               resource.Tags
	VolumeTags         resource.Tags
	InterfaceTags      resource.Tags

	LaunchTemplate        string // id and number, for the record
	LaunchTemplateVersion string
	AutoScalingGroup      string // ARN
	Fleet                 string // fleet-… that launches it
	SpotRequest           string // sir-… that it fulfils; none: it gets one of its own
	Reservation           string // none: one of its own
	LaunchIndex           int32
	Token                 string
	Fingerprint           string
	Now                   time.Time
}

// An InterfaceSpec is an interface to launch an instance with: a new one, or one that
// is there already.
type InterfaceSpec struct {
	ID                  string // of one that is there already
	DeviceIndex         int32
	Subnet              string
	SecurityGroups      []string
	Description         string
	Address             netip.Addr
	Secondary           []netip.Addr
	SecondaryCount      int
	Six                 Request6
	DeleteOnTermination *bool
	Public              *bool // whether the primary interface gets a public address; nil: as its subnet says
}

// Instance records an instance, pending, with its interfaces. Package
// controller/instance starts the machine.
func Instance(tx *store.Tx, r InstanceRequest) (resource.Instance, error) {
	none := resource.Instance{}
	image, ok := ami.Resolve(r.Home.Region, r.Image)
	if !ok {
		return none, fault("InvalidParameterValue", "The parameter of '%s' does not exist", r.Image)
	}
	r.Image = image
	t, disks, err := checkLaunch(tx, r)
	if err != nil {
		return none, err
	}
	for i := range disks {
		disks[i].Tags = r.VolumeTags
	}
	profile, err := instanceProfile(tx, r.Home.Account, r.ProfileARN, r.ProfileName)
	if err != nil {
		return none, err
	}
	specs, err := interfaceSpecs(tx, r, t)
	if err != nil {
		return none, err
	}
	id := awsid.New("i")
	var enis []resource.NetworkInterface
	for _, spec := range specs {
		eni, err := launchInterface(tx, r, id, spec)
		if err != nil {
			return none, err
		}
		enis = append(enis, eni)
	}
	primary := enis[0]
	for _, eni := range enis {
		if eni.Zone != primary.Zone || eni.VPC != primary.VPC {
			return none, fault("InvalidParameterCombination", "Network interfaces must be in the same availability zone and VPC")
		}
	}
	group, err := checkPlacement(tx, r, t, primary.Zone)
	if err != nil {
		return none, err
	}
	if r.Lifecycle == Spot {
		if err := checkPrice(t, primary.Zone, r.SpotMaxPrice); err != nil {
			return none, err
		}
	}
	if err := checkVCPU(tx, r.Home, t, or(r.Lifecycle, OnDemand)); err != nil {
		return none, err
	}
	if err := checkCapacity(tx, r.Home, t, primary.Zone, or(r.Lifecycle, OnDemand)); err != nil {
		return none, err
	}
	i := resource.Instance{
		Home: r.Home, ID: id, Reservation: r.Reservation, Launched: r.Now, Token: r.Token, Tags: r.Tags,
		Spec: resource.InstanceSpec{
			Type: t.Name, Image: r.Image, VPC: primary.VPC, Subnet: primary.Subnet, Zone: primary.Zone,
			PrimaryInterface: primary.ID, PrivateIP: primary.Addresses[0].String(),
			PrivateDNS:     PrivateDNS(r.Home.Region, primary.Addresses[0]),
			SecurityGroups: primary.SecurityGroups, KeyName: r.KeyName, UserData: r.UserData, InstanceProfileARN: profile,
			DiskGiB: disks[len(disks)-1].GiB, Volumes: disks, Lifecycle: r.Lifecycle,
			// EKS's AL2023 images ask for IMDSv2 and for the hop that containers need.
			HTTPTokens: or(r.HTTPTokens, "required"), HTTPEndpoint: or(r.HTTPEndpoint, "enabled"),
			HopLimit: or(r.HopLimit, 2), MetadataTags: or(r.MetadataTags, "disabled"), MetadataIPv6: or(r.MetadataIPv6, "disabled"),
			Names:          namesOf(tx, primary.Subnet, r),
			LaunchTemplate: r.LaunchTemplate, LaunchTemplateVersion: r.LaunchTemplateVersion,
			AutoScalingGroup: r.AutoScalingGroup, TerminationProtection: is(r.Protected), StopProtection: is(r.StopProtected), AMILaunchIndex: r.LaunchIndex,
			EBSOptimized: is(r.EBSOptimized), Monitoring: is(r.Monitoring), ShutdownBehavior: or(r.ShutdownBehavior, "stop"),
			Fingerprint: r.Fingerprint, PlacementGroup: group, Fleet: r.Fleet,
		},
		Status: resource.InstanceStatus{State: resource.InstancePending},
	}
	if i.Reservation == "" {
		i.Reservation = awsid.New("r")
	}
	if r.LaunchTemplate != "" {
		i.Tags = i.Tags.With(map[string]string{
			"aws:ec2launchtemplate:id": r.LaunchTemplate, "aws:ec2launchtemplate:version": r.LaunchTemplateVersion,
		})
	}
	if r.Fleet != "" {
		i.Tags = i.Tags.With(map[string]string{"aws:ec2:fleet-id": r.Fleet})
	}
	if r.Lifecycle == Spot {
		i.Spec.SpotRequest = startSpot(tx, r, i.ID)
	}
	tx.Instances.Put(i.ID, i)
	return i, nil
}

func namesOf(tx *store.Tx, subnet string, r InstanceRequest) resource.ResourceNames {
	s, _ := tx.Subnets.Get(subnet)
	return resource.ResourceNames{A: deref(or(r.NameA, &s.Names.A)), AAAA: deref(or(r.NameAAAA, &s.Names.AAAA))}
}

// checkLaunch checks what needs no subnet, and says what volumes there are.
func checkLaunch(tx *store.Tx, r InstanceRequest) (none instancetype.Type, disks []resource.Volume, err error) {
	if r.Image == "" {
		return none, nil, fault("MissingParameter", "The request must contain the parameter ImageId")
	}
	image, err := LookupImage(tx, r.Home, r.Image)
	if err != nil {
		return none, nil, err
	}
	// EC2 falls back to m1.small, on which none of these images would boot.
	if r.Type == "" {
		return none, nil, fault("MissingParameter", "The request must contain the parameter InstanceType")
	}
	t, ok := instancetype.Lookup(r.Type)
	if !ok {
		return none, nil, badType(r.Type)
	}
	if a := t.Architecture(); a != image.Arch {
		return none, nil, fault("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.", a, image.Arch)
	}
	if disks, err = volumes(r, image); err != nil {
		return none, nil, err
	}
	if len(r.UserData) > maxUserData {
		return none, nil, fault("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	if r.KeyName != "" {
		found := false
		for range tx.KeyPairs.Values(func(k resource.KeyPair) bool { return k.Home == r.Home && k.Name == r.KeyName }) {
			found = true
		}
		if !found {
			return none, nil, fault("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", r.KeyName)
		}
	}
	return t, disks, nil
}

// interfaceSpecs is what interfaces the instance gets, the primary one first.
func interfaceSpecs(tx *store.Tx, r InstanceRequest, t instancetype.Type) ([]InterfaceSpec, error) {
	specs := slices.Clone(r.Interfaces)
	slices.SortStableFunc(specs, func(a, b InterfaceSpec) int { return int(a.DeviceIndex - b.DeviceIndex) })
	if len(specs) == 0 {
		specs = []InterfaceSpec{{Address: r.PrivateIP, Six: r.Six}}
	}
	if specs[0].DeviceIndex != 0 {
		return nil, fault("InvalidParameterCombination", "A network interface with device index 0 must be specified")
	}
	if len(specs) > t.MaxENIs {
		return nil, fault("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(specs), t.Name)
	}
	for i := range specs {
		s := &specs[i]
		if is(s.Public) && (len(specs) > 1 || s.ID != "") {
			return nil, fault("InvalidParameterCombination", "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.")
		}
		if i > 0 && s.DeviceIndex == specs[i-1].DeviceIndex {
			return nil, fault("InvalidParameterCombination", "Each network interface requires a unique device index.")
		}
		if s.ID != "" {
			continue
		}
		if 1+len(s.Secondary)+s.SecondaryCount > t.IPv4PerENI {
			return nil, addressLimit()
		}
		// Auto Scaling gives the subnet, and it wins over what a template's interface says.
		if s.Subnet == "" || r.Subnet != "" {
			subnet, err := launchSubnet(tx, r)
			if err != nil {
				return nil, err
			}
			s.Subnet = subnet.ID
		}
		if len(s.SecurityGroups) == 0 {
			groups, err := launchGroups(tx, r)
			if err != nil {
				return nil, err
			}
			s.SecurityGroups = groups
		}
	}
	return specs, nil
}

// launchSubnet is the subnet asked for, or the default one with the most room.
func launchSubnet(tx *store.Tx, r InstanceRequest) (resource.Subnet, error) {
	if r.Subnet != "" {
		return LookupSubnet(tx, r.Home, r.Subnet)
	}
	v, ok := DefaultVPC(tx, r.Home)
	if !ok {
		return resource.Subnet{}, fault("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	free := FreeAddressesBySubnet(tx)
	var best resource.Subnet
	for _, s := range tx.Subnets.All() {
		if s.VPC == v.ID && s.Default && (r.Zone == "" || s.Zone == r.Zone) && (best.ID == "" || free[s.ID] > free[best.ID]) {
			best = s
		}
	}
	if best.ID == "" {
		if r.Zone != "" {
			return best, fault("InvalidParameterValue", "Invalid availability zone: [%s]", r.Zone)
		}
		return best, fault("MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", v.ID)
	}
	return best, nil
}

// launchGroups are the security groups asked for, by id and by name.
func launchGroups(tx *store.Tx, r InstanceRequest) ([]string, error) {
	out := slices.Clone(r.SecurityGroups)
	for _, name := range r.SecurityGroupNames {
		v, ok := DefaultVPC(tx, r.Home)
		if !ok {
			return nil, fault("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
		}
		id := ""
		for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.VPC == v.ID && g.Name == name }) {
			id = g.ID
		}
		if id == "" {
			return nil, fault("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", name, v.ID)
		}
		out = append(out, id)
	}
	return out, nil
}

// PrivateDNS is the name that a VPC's DNS gives an address.
func PrivateDNS(region string, a netip.Addr) string {
	return fmt.Sprintf("ip-%s.%s", strings.ReplaceAll(a.String(), ".", "-"), PrivateDomain(region))
}

// ResourceDNS is the name that a VPC's DNS gives an instance, where its options say so.
func ResourceDNS(region, instance string) string { return instance + "." + PrivateDomain(region) }

// IPNameOnly refuses names of instances' own for their hosts.
func IPNameOnly(hostnameType *string) error {
	if t := or(deref(hostnameType), ec2.HostnameTypeIpName); t != ec2.HostnameTypeIpName {
		return fault("UnsupportedOperation", "The hostname type %s is not supported.", t)
	}
	return nil
}

// PrivateDomain is the domain of private names in a region.
func PrivateDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// PublicDNS is the name of a public address. Inside of its VPC it stands for the private one.
func PublicDNS(region, address string) string {
	domain := region + ".compute.amazonaws.com"
	if region == "us-east-1" {
		domain = "compute-1.amazonaws.com"
	}
	return "ec2-" + strings.ReplaceAll(address, ".", "-") + "." + domain
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func is(b *bool) bool { return b != nil && *b }
