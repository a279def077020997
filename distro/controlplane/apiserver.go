package controlplane

import (
	"context"
	"fmt"
	"net"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"
)

// runAPIServer does what the API server's own Run does, with the early hooks between its steps.
func (o *options) runAPIServer(ctx context.Context, ln net.Listener) error {
	o.apiserver.SecureServing.Listener = ln
	completed, err := o.apiserver.Complete(ctx)
	if err != nil {
		return fmt.Errorf("completing its options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("its options: %w", utilerrors.NewAggregate(errs))
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	early, err := startEarly(ctx, config.KubeAPIs.ControlPlane.Generic)
	if err != nil {
		return err
	}
	complete, err := config.Complete()
	if err != nil {
		return fmt.Errorf("completing its configuration: %w", err)
	}
	server, err := app.CreateServerChain(complete)
	if err != nil {
		return fmt.Errorf("building its servers: %w", err)
	}
	if err := early.await(server.GenericAPIServer); err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return fmt.Errorf("preparing to serve: %w", err)
	}
	return prepared.Run(ctx)
}

// earlyHooks are post-start hooks that are running before the start. The two that write the roles and the
// priority classes of a new cluster sleep a second before they do anything, and the server is not ready before
// they are done. Started while the server is still being built, they sleep meanwhile; the socket listens
// already, so what they ask before it is served waits and is answered at once.
type earlyHooks map[string]chan error

func startEarly(ctx context.Context, config *genericapiserver.Config) (earlyHooks, error) {
	hooks := earlyHooks{}
	for _, provider := range []genericapiserver.PostStartHookProvider{
		rbacrest.RESTStorageProvider{},
		schedulingrest.RESTStorageProvider{},
	} {
		name, hook, err := provider.PostStartHook()
		if err != nil {
			return nil, fmt.Errorf("its hook %s: %w", name, err)
		}
		config.DisabledPostStartHooks.Insert(name)
		done := make(chan error, 1)
		hooks[name] = done
		go func() {
			done <- hook(genericapiserver.PostStartHookContext{
				LoopbackClientConfig: config.LoopbackClientConfig, Context: ctx,
			})
		}()
	}
	return hooks, nil
}

// await makes the server not ready until the hooks are done, and end if one fails.
func (h earlyHooks) await(server *genericapiserver.GenericAPIServer) error {
	for name, done := range h {
		err := server.AddPostStartHook("early/"+name, func(genericapiserver.PostStartHookContext) error { return <-done })
		if err != nil {
			return fmt.Errorf("adding the hook %s: %w", name, err)
		}
	}
	return nil
}
