package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/image"
)

func (a *app) image() *cobra.Command {
	c := &cobra.Command{
		Use:     "image",
		Short:   "Work with the registry that nodes pull from",
		Example: "  sudo ekster image load app.tar",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "load FILE|DIR",
		Short: "Put an OCI layout or a docker archive into the registry",
		Long: `Put the images of an OCI layout (a directory, or a tar of one) or of a docker
archive (docker save) into the registry, so that nodes pull them by their own names.`,
		Example: "  docker save my.registry/app:v1 -o app.tar && sudo ekster image load app.tar\n  sudo ekster image load ./layout",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			r, err := a.openRegistry()
			if err != nil {
				return err
			}
			names, err := r.Load(c.Context(), list[0])
			if err != nil {
				return err
			}
			for _, n := range names {
				fmt.Fprintln(a.out, n)
			}
			return nil
		},
	}, &cobra.Command{
		Use:     "list",
		Short:   "List the images that nodes can pull",
		Example: "  sudo ekster image list",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := a.openRegistry()
			if err != nil {
				return err
			}
			images, err := r.List(c.Context())
			if err != nil {
				return err
			}
			for _, i := range images {
				fmt.Fprintf(a.out, "%s\t%s\t%d\n", i.Name, i.Digest, i.Size)
			}
			return nil
		},
	})
	return c
}

// openRegistry opens the registry's directory: it may be used beside the daemon.
func (a *app) openRegistry() (*image.Registry, error) {
	abs, err := filepath.Abs(a.stateDir)
	if err != nil {
		return nil, err
	}
	payload, err := daemon.FindPayload(a.payload)
	if err != nil {
		return nil, err
	}
	if err := daemon.Dir(abs).Claim(); err != nil {
		return nil, err
	}
	r, err := image.Open(image.Config{Dir: daemon.Dir(abs).Registry()})
	if err != nil {
		return nil, err
	}
	return r, r.Seed(payload.Images())
}
