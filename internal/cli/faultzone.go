package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
)

func (a *app) faultZone() *cobra.Command {
	var heal bool
	c := &cobra.Command{
		Use:   "zone [NAME] [flags]",
		Short: "Take an Availability Zone away, or list those that are gone",
		Long: `Take an Availability Zone away: its machines end, in every account, and EC2 launches
none there until it is back. Control planes go on, as EKS runs them in several zones.
Without NAME: the zones that are gone.`,
		Example: "  ekster fault zone us-west-2b\n  ekster fault zone\n  ekster fault zone us-west-2b --heal",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			switch {
			case len(list) == 0 && heal:
				return fmt.Errorf("%w: --heal needs the zone", errUsage)
			case len(list) == 0:
				return a.listZones(c)
			}
			method := http.MethodPut
			if heal {
				method = http.MethodDelete
			}
			return a.admin(c.Context(), method, "/faults/zones/"+url.PathEscape(list[0]), nil)
		},
	}
	c.Flags().BoolVar(&heal, "heal", false, "give it back")
	return c
}

func (a *app) listZones(c *cobra.Command) error {
	var list []daemon.ZoneStatus
	if err := a.admin(c.Context(), http.MethodGet, "/faults/zones", &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ZONE\tSINCE")
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\n", f.Zone, f.Since.Format(time.RFC3339))
	}
	return w.Flush()
}
