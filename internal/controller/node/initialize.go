package node

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// uninitializedTaint is what a kubelet with --cloud-provider=external registers itself with.
const uninitializedTaint = "node.cloudprovider.kubernetes.io/uninitialized"

// attempts bounds how often a patch is made again because the node has changed under it.
const attempts = 5

// initialize tells a new node what only the cloud knows, and takes its taint off: addresses
// first, since without the taint pods come.
func (c *Controller) initialize(ctx context.Context, cl *cluster, rec resource.Cluster, name string, s *seen, i resource.Instance) error {
	api, err := c.connect(cl.arn)
	if err != nil {
		return err
	}
	status, err := json.Marshal(map[string]any{"status": map[string]any{"addresses": c.addresses(i)}})
	if err != nil {
		return err
	}
	err = api.core.Patch(types.MergePatchType).Resource("nodes").Name(name).SubResource("status").Body(status).Do(ctx).Error()
	if err != nil {
		return ignoreGone(err)
	}
	for range attempts {
		patch, err := json.Marshal(initialPatch(rec, s, i))
		if err != nil {
			return err
		}
		err = api.core.Patch(types.JSONPatchType).Resource("nodes").Name(name).Body(patch).Do(ctx).Error()
		if err == nil {
			c.log.Info("a node has joined", "cluster", rec.Name, "node", name, "instance", i.ID)
			return nil
		}
		if !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
			return ignoreGone(err)
		}
		// Its taints are not those that the watch has shown.
		var n core.Node
		if err := api.core.Get().Resource("nodes").Name(name).Do(ctx).Into(&n); err != nil {
			return ignoreGone(err)
		}
		if s = see(cl.arn, &n); !s.uninitialized() {
			return nil
		}
	}
	return fmt.Errorf("it has changed %d times", attempts)
}

// ignoreGone drops an error that says that the object is no more.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// An operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// initialPatch is the labels, the provider id and the taint in one request, which fails if
// the taint is somewhere else by now.
func initialPatch(cl resource.Cluster, s *seen, i resource.Instance) []operation {
	var ops []operation
	if s.unlabelled {
		ops = append(ops, operation{"add", "/metadata/labels", map[string]string{}})
	}
	labels := labelsOf(cl, i)
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		ops = append(ops, operation{"add", "/metadata/labels/" + strings.ReplaceAll(k, "/", "~1"), labels[k]})
	}
	if s.providerID == "" {
		ops = append(ops, operation{"add", "/spec/providerID", "aws:///" + i.Spec.Zone + "/" + i.ID})
	}
	taint := fmt.Sprintf("/spec/taints/%d", slices.Index(s.taints, uninitializedTaint))
	return append(ops, operation{"test", taint + "/key", uninitializedTaint}, operation{Op: "remove", Path: taint})
}

func labelsOf(cl resource.Cluster, i resource.Instance) map[string]string {
	sum := md5.Sum([]byte(cl.ARN)) // EKS's label has 32 hex digits; of what, it does not say
	labels := map[string]string{
		"topology.kubernetes.io/zone":              i.Spec.Zone,
		"topology.kubernetes.io/region":            i.Region,
		"failure-domain.beta.kubernetes.io/zone":   i.Spec.Zone,
		"failure-domain.beta.kubernetes.io/region": i.Region,
		"node.kubernetes.io/instance-type":         i.Spec.Type,
		"beta.kubernetes.io/instance-type":         i.Spec.Type,
		"k8s.io/cloud-provider-aws":                hex.EncodeToString(sum[:]),
	}
	if r, ok := region.Lookup(i.Region); ok {
		if z, ok := r.Zone(i.Spec.Zone); ok {
			labels["topology.k8s.aws/zone-id"] = z.ID
		}
	}
	return labels
}

// addresses are those that a node has on EKS, in its order.
func (c *Controller) addresses(i resource.Instance) []core.NodeAddress {
	out := []core.NodeAddress{{Type: core.NodeInternalIP, Address: i.Spec.PrivateIP}}
	public := c.publicIP(i)
	if public != "" {
		out = append(out, core.NodeAddress{Type: core.NodeExternalIP, Address: public})
	}
	out = append(out,
		core.NodeAddress{Type: core.NodeInternalDNS, Address: i.Spec.PrivateDNS},
		core.NodeAddress{Type: core.NodeHostName, Address: i.Spec.PrivateDNS})
	if name := publicDNS(public, i.Region); name != "" {
		out = append(out, core.NodeAddress{Type: core.NodeExternalDNS, Address: name})
	}
	return out
}

func (c *Controller) publicIP(i resource.Instance) (ip string) {
	_ = c.store.View(func(tx *store.Tx) error {
		eni, _ := tx.Interfaces.Get(i.Spec.PrimaryInterface)
		ip = eni.PublicIP
		return nil
	})
	return ip
}

// publicDNS is the name that AWS gives to a public address.
func publicDNS(ip, region string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || !addr.Is4() {
		return ""
	}
	zone := region + ".compute"
	if region == "us-east-1" {
		zone = "compute-1"
	}
	return "ec2-" + strings.ReplaceAll(ip, ".", "-") + "." + zone + ".amazonaws.com"
}
