package nodegroup

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/nodeconfig"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// templateFor is the launch template that EKS makes for a node group: the caller's, if
// any, with what makes its instances nodes of the cluster.
func templateFor(tx *store.Tx, ng resource.Nodegroup, cl resource.Cluster, now time.Time) (resource.LaunchTemplate, error) {
	ng.Spec = ng.Target()
	var d ec2.RequestLaunchTemplateData
	if id := ng.Spec.LaunchTemplateID; id != "" {
		own, err := provision.LookupLaunchTemplate(tx, ng.Home, id, "")
		if err != nil {
			return resource.LaunchTemplate{}, err
		}
		v, err := provision.TemplateVersion(own, ng.Spec.LaunchTemplateVersion)
		if err != nil {
			return resource.LaunchTemplate{}, err
		}
		if d, err = provision.TemplateData(v); err != nil {
			return resource.LaunchTemplate{}, err
		}
	}
	if d.ImageId == nil { // else it is a CUSTOM image, and boots by its own user data
		image, ok := ami.Recommended(ng.Region, ng.Spec.Version, architecture(ng), variant(ng))
		if !ok {
			return resource.LaunchTemplate{}, fmt.Errorf("no image for Kubernetes %s of type %s", ng.Spec.Version, ng.Spec.AMIType)
		}
		write := userData
		if image.Variant == ami.Bottlerocket {
			write = settings
		}
		data, err := write(ng, cl, image, advertised(tx, cl), d.UserData)
		if err != nil {
			return resource.LaunchTemplate{}, err
		}
		d.ImageId, d.UserData = new(image.ID), new(base64.StdEncoding.EncodeToString(data))
	}
	d.IamInstanceProfile = &ec2.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new(profileName(ng))}
	if len(d.SecurityGroupIds) == 0 && len(d.NetworkInterfaces) == 0 {
		d.SecurityGroupIds = []string{cl.Spec.ClusterSecurityGroup}
		if g := ng.Status.RemoteAccess; g != "" {
			d.SecurityGroupIds = append(d.SecurityGroupIds, g)
		}
	}
	if ng.Spec.SSHKey != "" {
		d.KeyName = new(ng.Spec.SSHKey)
	}
	if ng.Spec.DiskGiB > 0 {
		device := ami.RootDevice
		if variant(ng) == ami.Bottlerocket {
			device = ami.DataDevice
		}
		d.BlockDeviceMappings = []ec2.LaunchTemplateBlockDeviceMappingRequest{{
			DeviceName: &device,
			Ebs:        &ec2.LaunchTemplateEbsBlockDeviceRequest{DeleteOnTermination: new(true), VolumeSize: new(ng.Spec.DiskGiB), VolumeType: new("gp3")},
		}}
	}
	if d.MetadataOptions == nil {
		d.MetadataOptions = &ec2.LaunchTemplateInstanceMetadataOptionsRequest{HttpPutResponseHopLimit: new(int32(2)), HttpTokens: new("required")}
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return resource.LaunchTemplate{}, err
	}
	lt := resource.LaunchTemplate{
		Home: ng.Home, ID: awsid.New("lt"), Name: templateName(ng), Created: now, Default: 1, Latest: 1,
		Creator:  creator(ng.Account),
		Tags:     resource.Tags{"eks:cluster-name": cl.Name, "eks:nodegroup-name": ng.Name},
		Versions: []resource.LaunchTemplateVersion{{Number: 1, Created: now, Data: raw}},
	}
	lt.Versions[0].Creator = lt.Creator
	return lt, nil
}

func architecture(ng resource.Nodegroup) string {
	if strings.Contains(ng.Spec.AMIType, "ARM_64") {
		return ami.ARM64
	}
	return ami.X8664
}

func variant(ng resource.Nodegroup) string {
	if strings.HasPrefix(ng.Spec.AMIType, "BOTTLEROCKET_") {
		return ami.Bottlerocket
	}
	return ami.Standard
}

// advertised is the address at which nodes find the API server: the first of the
// cluster's own interfaces.
func advertised(tx *store.Tx, cl resource.Cluster) string {
	for _, id := range cl.Spec.Interfaces {
		if e, ok := tx.Interfaces.Get(id); ok && len(e.Addresses) > 0 {
			return e.Addresses[0].String()
		}
	}
	return ""
}

// userData is what makes an AL2023 instance a node: the caller's MIME parts, if any,
// and then EKS's NodeConfig.
func userData(ng resource.Nodegroup, cl resource.Cluster, image ami.Image, server string, own *string) ([]byte, error) {
	part, err := yaml.Marshal(nodeConfig(ng, cl, image, server))
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary("//"); err != nil {
		return nil, err
	}
	if own != nil {
		if err := copyParts(w, *own); err != nil {
			return nil, err
		}
	}
	p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {nodeconfig.ContentType}})
	if err != nil {
		return nil, err
	}
	if _, err := p.Write(part); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append([]byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n"), body.Bytes()...), nil
}

// nodeConfig is EKS's own part of the user data. It is pure.
func nodeConfig(ng resource.Nodegroup, cl resource.Cluster, image ami.Image, server string) nodeconfig.NodeConfig {
	flags := []string{"--node-labels=" + join(labelsOf(ng, image))}
	if len(ng.Spec.Taints) > 0 {
		var taints []string
		for _, t := range ng.Spec.Taints {
			taints = append(taints, t.Key+"="+t.Value+":"+Effect(t.Effect))
		}
		flags = append(flags, "--register-with-taints="+strings.Join(taints, ","))
	}
	return nodeconfig.NodeConfig{
		APIVersion: nodeconfig.APIVersion, Kind: nodeconfig.Kind,
		Spec: nodeconfig.Spec{
			Cluster: nodeconfig.Cluster{
				Name: cl.Name, APIServerEndpoint: "https://" + server, CertificateAuthority: cl.Status.CA, CIDR: cl.Spec.ServiceCIDR.String(),
			},
			Kubelet: nodeconfig.Kubelet{Config: map[string]any{"maxPods": maxPods(ng.Spec.InstanceTypes)}, Flags: flags},
		},
	}
}

// labelsOf are the labels that the group's nodes begin with.
func labelsOf(ng resource.Nodegroup, image ami.Image) map[string]string {
	labels := map[string]string{
		"eks.amazonaws.com/nodegroup":       ng.Name,
		"eks.amazonaws.com/nodegroup-image": image.ID,
		"eks.amazonaws.com/capacityType":    ng.Spec.CapacityType,
	}
	if ng.Spec.LaunchTemplateID != "" {
		labels["eks.amazonaws.com/sourceLaunchTemplateId"] = ng.Spec.LaunchTemplateID
		labels["eks.amazonaws.com/sourceLaunchTemplateVersion"] = ng.Spec.LaunchTemplateVersion
	}
	maps.Copy(labels, ng.Spec.Labels)
	return labels
}

// settings is userData for a Bottlerocket instance: EKS's settings, and the caller's own over them.
func settings(ng resource.Nodegroup, cl resource.Cluster, image ami.Image, server string, own *string) ([]byte, error) {
	var users []byte
	if own != nil {
		var err error
		if users, err = base64.StdEncoding.DecodeString(*own); err != nil {
			return nil, errNotTOML
		}
	}
	labels, taints := map[string]any{}, map[string]any{}
	for k, v := range labelsOf(ng, image) {
		labels[k] = v
	}
	for _, t := range ng.Spec.Taints {
		list, _ := taints[t.Key].([]any)
		taints[t.Key] = append(list, t.Value+":"+Effect(t.Effect))
	}
	config := nodeConfig(ng, cl, image, server)
	dns, err := config.ClusterDNS()
	if err != nil {
		return nil, err
	}
	kubernetes := map[string]any{
		"api-server": config.Spec.Cluster.APIServerEndpoint, "cluster-name": cl.Name, "cluster-dns-ip": dns.String(),
		"cluster-certificate": base64.StdEncoding.EncodeToString(cl.Status.CA), "max-pods": maxPods(ng.Spec.InstanceTypes), "node-labels": labels,
	}
	if len(taints) > 0 {
		kubernetes["node-taints"] = taints
	}
	data, err := nodeconfig.MergeSettings(map[string]any{"kubernetes": kubernetes}, users)
	if err != nil {
		return nil, errNotTOML
	}
	return data, nil
}

func join(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

// Effect is a taint's effect in Kubernetes' spelling, from EKS's.
func Effect(e string) string {
	switch e {
	case "NO_SCHEDULE":
		return "NoSchedule"
	case "NO_EXECUTE":
		return "NoExecute"
	case "PREFER_NO_SCHEDULE":
		return "PreferNoSchedule"
	}
	return e
}

// maxPods is EKS's figure for a managed group: the least of its types', and no more
// than 110 on small types or 250 on those with 30 vCPUs and more.
func maxPods(types []string) int {
	least := 250
	for _, name := range types {
		t, ok := instancetype.Lookup(name)
		if !ok {
			continue
		}
		n := min(instancetype.MaxPods(t), 250)
		if t.VCPU < 30 {
			n = min(n, 110)
		}
		least = min(least, n)
	}
	return least
}
