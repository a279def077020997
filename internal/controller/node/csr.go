package node

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificates "k8s.io/api/certificates/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const nodeUser = "system:node:"

// A signer is a request for a kubelet's serving certificate that nobody has decided on.
type signer = *certificates.CertificateSigningRequest

func (c *Controller) requestChanged(cl *cluster, o runtime.Object, gone bool) {
	r, ok := o.(*certificates.CertificateSigningRequest)
	if !ok {
		return
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if gone || len(r.Status.Conditions) > 0 || len(r.Status.Certificate) > 0 {
		delete(cl.requests, r.Name)
		return
	}
	if cl.requests[r.Name] == nil {
		cl.requests[r.Name] = r
		c.queue.Wake(key(cl.arn, kindCSR, r.Name))
	}
}

func (c *Controller) replaceRequests(cl *cluster, all []runtime.Object) {
	cl.mu.Lock()
	clear(cl.requests)
	cl.mu.Unlock()
	for _, o := range all {
		c.requestChanged(cl, o, false)
	}
}

// reconcileCSR approves a request that is for a node's own names and addresses. Any other
// one is left to people.
func (c *Controller) reconcileCSR(ctx context.Context, cl *cluster, name string) error {
	cl.mu.Lock()
	r := cl.requests[name]
	cl.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := c.check(cl.arn, r); err != nil {
		c.log.Warn("a kubelet's certificate is not approved", "cluster", cl.arn, "request", name, "user", r.Spec.Username, "reason", err)
		return nil
	}
	api, err := c.connect(cl.arn)
	if err != nil {
		return err
	}
	r = r.DeepCopy()
	r.Status.Conditions = append(r.Status.Conditions, certificates.CertificateSigningRequestCondition{
		Type: certificates.CertificateApproved, Status: core.ConditionTrue, Reason: "AutoApproved",
		Message: "Auto approving kubelet server certificate after verifying it against the EC2 instance", LastUpdateTime: metav1.Now(),
	})
	err = api.certificates.Put().Resource("certificatesigningrequests").Name(name).SubResource("approval").Body(r).Do(ctx).Error()
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("approving certificate request %s of %s: %w", name, r.Spec.Username, err)
	}
	return nil
}

// check says why a request is not one that its node may make.
func (c *Controller) check(cluster string, r signer) error {
	node, ok := strings.CutPrefix(r.Spec.Username, nodeUser)
	if !ok || !slices.Contains(r.Spec.Groups, "system:nodes") {
		return errors.New("it is not a node's")
	}
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil {
		return errors.New("it is not PEM")
	}
	x, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if x.Subject.CommonName != r.Spec.Username || !slices.Equal(x.Subject.Organization, []string{"system:nodes"}) {
		return fmt.Errorf("its subject is %s", x.Subject)
	}
	if !slices.Contains(r.Spec.Usages, certificates.UsageServerAuth) || slices.Contains(r.Spec.Usages, certificates.UsageClientAuth) {
		return fmt.Errorf("its usages are %v", r.Spec.Usages)
	}
	return c.checkNames(cluster, node, x)
}

// checkNames compares the names in a request with those of the node's instance.
func (c *Controller) checkNames(cluster, node string, x *x509.CertificateRequest) error {
	if len(x.EmailAddresses)+len(x.URIs) > 0 || len(x.DNSNames)+len(x.IPAddresses) == 0 {
		return errors.New("it has names of other kinds, or none")
	}
	return c.store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(cluster)
		if !ok {
			return errors.New("the cluster is no more")
		}
		i, ok := byName(tx, cl, node)
		if !ok {
			return fmt.Errorf("there is no instance %s", node)
		}
		names := []string{i.Spec.PrivateDNS}
		addresses := []string{i.Spec.PrivateIP}
		for _, eni := range tx.Interfaces.All() {
			if eni.Owner != i.ID {
				continue
			}
			for _, a := range eni.Addresses {
				addresses = append(addresses, a.String())
			}
			if eni.PublicIP != "" {
				addresses, names = append(addresses, eni.PublicIP), append(names, publicDNS(eni.PublicIP, i.Region))
			}
		}
		return allOf(i, x, names, addresses)
	})
}

func allOf(i resource.Instance, x *x509.CertificateRequest, names, addresses []string) error {
	for _, n := range x.DNSNames {
		if !slices.Contains(names, n) {
			return fmt.Errorf("%s is not a name of instance %s", n, i.ID)
		}
	}
	for _, a := range x.IPAddresses {
		if !slices.Contains(addresses, a.String()) {
			return fmt.Errorf("%s is not an address of instance %s", a, i.ID)
		}
	}
	return nil
}
