package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	certificates "k8s.io/api/certificates/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Back-off of a watch that cannot be made.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// shortWatch is how long a watch must last at least: one that ends sooner, without an
// error, is an error.
const shortWatch = time.Second

// A cluster is one whose API server is watched.
type cluster struct {
	arn    string
	cancel context.CancelFunc

	mu       sync.Mutex
	api      *client
	errs     map[string]error  // of watches that are broken, by resource
	nodes    map[string]*seen  // by name
	requests map[string]signer // certificates that kubelets ask for, by the request's name
	awsAuth  map[string]string // data of the ConfigMap; nil: there is none
	listed   bool              // it has been looked for
}

func newCluster(arn string, cancel context.CancelFunc) *cluster {
	return &cluster{arn: arn, cancel: cancel, errs: map[string]error{}, nodes: map[string]*seen{}, requests: map[string]signer{}}
}

func (cl *cluster) connection() *client {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.api
}

func (cl *cluster) keep(api *client) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.api = api
}

// lost is why the cluster is not watched, or not all of it.
func (cl *cluster) lost() error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	var all []error
	for _, err := range cl.errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// report notes how a watch is, and says whether the cluster is seen otherwise than before:
// the first of its watches has broken, or the last is whole again.
func (cl *cluster) report(resource string, err error) (news bool) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	had := len(cl.errs) > 0
	if err == nil {
		delete(cl.errs, resource)
	} else {
		cl.errs[resource] = err
		cl.api = nil // its certificate may be over, its address another
	}
	return had != (len(cl.errs) > 0)
}

// A source is one kind of object that is watched.
type source struct {
	resource  string
	namespace string
	selector  string // of fields
	group     func(*client) *rest.RESTClient
	list      func() runtime.Object
	replace   func([]runtime.Object)                 // all that there are
	change    func(object runtime.Object, gone bool) // one of them
}

func (c *Controller) sources(cl *cluster) []source {
	coreGroup := func(api *client) *rest.RESTClient { return api.core }
	return []source{{
		resource: "nodes", group: coreGroup,
		list:    func() runtime.Object { return &core.NodeList{} },
		replace: func(all []runtime.Object) { c.replaceNodes(cl, all) },
		change:  func(o runtime.Object, gone bool) { c.nodeChanged(cl, o, gone) },
	}, {
		resource: "certificatesigningrequests", selector: "spec.signerName=" + certificates.KubeletServingSignerName,
		group:   func(api *client) *rest.RESTClient { return api.certificates },
		list:    func() runtime.Object { return &certificates.CertificateSigningRequestList{} },
		replace: func(all []runtime.Object) { c.replaceRequests(cl, all) },
		change:  func(o runtime.Object, gone bool) { c.requestChanged(cl, o, gone) },
	}, {
		resource: "configmaps", namespace: awsAuthNamespace, selector: "metadata.name=" + awsAuthName, group: coreGroup,
		list:    func() runtime.Object { return &core.ConfigMapList{} },
		replace: func(all []runtime.Object) { cl.replaceAWSAuth(all) },
		change:  func(o runtime.Object, gone bool) { cl.awsAuthChanged(o, gone) },
	}}
}

// watch follows one kind of object of a cluster until ctx ends.
func (c *Controller) watch(ctx context.Context, cl *cluster, s source) {
	backoff := firstBackoff
	for {
		err := c.session(ctx, cl, s, func() {
			backoff = firstBackoff
			if cl.report(s.resource, nil) {
				c.log.Info("the API server answers again", "cluster", cl.arn)
			}
		})
		if ctx.Err() != nil {
			return
		}
		if cl.report(s.resource, fmt.Errorf("watching %s: %w", s.resource, err)) {
			c.log.Warn("the API server does not answer", "cluster", cl.arn, "watch", s.resource, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// session lists, and then watches for as long as that goes on without a gap.
func (c *Controller) session(ctx context.Context, cl *cluster, s source, connected func()) error {
	api, err := c.connect(cl.arn)
	if err != nil {
		return err
	}
	request := func(o metav1.ListOptions) *rest.Request {
		o.FieldSelector = s.selector
		return s.group(api).Get().NamespaceIfScoped(s.namespace, s.namespace != "").Resource(s.resource).VersionedParams(&o, api.params)
	}
	list := s.list()
	if err := request(metav1.ListOptions{}).Do(ctx).Into(list); err != nil {
		return err
	}
	objects, err := meta.ExtractList(list)
	if err != nil {
		return err
	}
	at, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	version := at.GetResourceVersion()
	s.replace(objects)
	connected()
	for {
		began := time.Now()
		w, err := request(metav1.ListOptions{Watch: true, ResourceVersion: version, AllowWatchBookmarks: true}).Watch(ctx)
		if err != nil {
			return err
		}
		if version, err = s.receive(ctx, w, version); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) < shortWatch {
			return errors.New("the watch ended at once")
		}
	}
}

// receive hands on what a watch brings until it ends, and returns how far it has come.
func (s source) receive(ctx context.Context, w watch.Interface, version string) (string, error) {
	defer w.Stop()
	for {
		var e watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return version, ctx.Err()
		case e, open = <-w.ResultChan():
		}
		if !open {
			return version, nil
		}
		if e.Type == watch.Error {
			return version, apierrors.FromObject(e.Object)
		}
		object, err := meta.Accessor(e.Object)
		if err != nil {
			return version, err
		}
		version = object.GetResourceVersion()
		if e.Type != watch.Bookmark {
			s.change(e.Object, e.Type == watch.Deleted)
		}
	}
}
