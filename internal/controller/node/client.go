package node

import (
	certificates "k8s.io/api/certificates/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// codecs are how objects go over the wire. They know the three API groups that are needed
// here: those of client-go's own clientset know all of them, and cost their memory.
type codecs struct {
	objects runtime.NegotiatedSerializer
	params  runtime.ParameterCodec
}

func newCodecs() (codecs, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, certificates.AddToScheme, policy.AddToScheme} {
		if err := add(scheme); err != nil {
			return codecs{}, err
		}
	}
	return codecs{serializer.NewCodecFactory(scheme).WithoutConversion(), runtime.NewParameterCodec(scheme)}, nil
}

// A client talks to one API server, over one connection.
type client struct {
	core         *rest.RESTClient
	certificates *rest.RESTClient
	params       runtime.ParameterCodec
}

func newClient(cfg *rest.Config, c codecs) (*client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // a node that joins must not wait for its turn
	cfg.UserAgent = "ekster/node"
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	cfg.NegotiatedSerializer = c.objects
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	group := func(path string, gv schema.GroupVersion) (*rest.RESTClient, error) {
		cfg := rest.CopyConfig(cfg)
		cfg.APIPath, cfg.GroupVersion = path, &gv
		return rest.RESTClientForConfigAndClient(cfg, transport)
	}
	out := &client{params: c.params}
	if out.core, err = group("/api", core.SchemeGroupVersion); err != nil {
		return nil, err
	}
	out.certificates, err = group("/apis", certificates.SchemeGroupVersion)
	return out, err
}
