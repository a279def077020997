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

func (a *app) faultShift() *cobra.Command {
	var heal bool
	var length time.Duration
	c := &cobra.Command{
		Use:   "shift [CLUSTER [ZONE]] [flags]",
		Short: "Shift a cluster's traffic away from a zone for a time, or list such shifts",
		Long: `Shift a cluster's traffic away from an Availability Zone for a time, as ARC does on AWS:
Services lead to no pod there, its nodes are cordoned, and node groups launch new ones
elsewhere. Nothing there is ended, and all of it serves again afterwards. The cluster's
zonalShiftConfig must be enabled. The same again moves the end. Without CLUSTER: the
shifts that there are.`,
		Example: "  ekster fault shift demo us-west-2b --for 30m\n  ekster fault shift\n  ekster fault shift demo --heal",
		Args:    args(cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, list []string) error {
			switch {
			case len(list) == 0 && !heal:
				return a.listShifts(c)
			case heal && len(list) != 1:
				return fmt.Errorf("%w: --heal needs the cluster, and nothing else", errUsage)
			case heal:
				return a.admin(c.Context(), http.MethodDelete, "/faults/shifts?"+url.Values{"cluster": {list[0]}}.Encode(), nil)
			case len(list) != 2:
				return fmt.Errorf("%w: a shift needs the zone that it leads away from", errUsage)
			}
			q := url.Values{"cluster": {list[0]}, "zone": {list[1]}, "for": {length.String()}}
			return a.admin(c.Context(), http.MethodPut, "/faults/shifts?"+q.Encode(), nil)
		},
	}
	c.Flags().BoolVar(&heal, "heal", false, "end it")
	c.Flags().DurationVar(&length, "for", time.Hour, "how long it lasts, from a minute to three days")
	return c
}

func (a *app) listShifts(c *cobra.Command) error {
	var list []daemon.ShiftStatus
	if err := a.admin(c.Context(), http.MethodGet, "/faults/shifts", &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tAWAY FROM\tSTATE\tEXPIRES")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Cluster, s.Zone, s.State, s.Expires.Format(time.RFC3339))
	}
	return w.Flush()
}
