package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
)

func (a *app) faultCapacity() *cobra.Command {
	var heal, spot, onDemand bool
	c := &cobra.Command{
		Use:   "capacity [TYPE ZONE] [flags]",
		Short: "Have EC2 run out of an instance type in a zone, or list what it has run out of",
		Long: `Have EC2 run out of an instance type in a zone: launches there end with
InsufficientInstanceCapacity, and fleets and scaling groups go elsewhere. What runs goes
on. * in TYPE or ZONE stands for any text. Without TYPE and ZONE: what has run out.`,
		Example: "  ekster fault capacity m5.large us-west-2a\n  ekster fault capacity 'm5.*' '*' --spot\n  ekster fault capacity\n  ekster fault capacity m5.large us-west-2a --heal",
		Args: args(func(c *cobra.Command, list []string) error {
			if len(list) == 0 {
				return nil
			}
			return cobra.ExactArgs(2)(c, list)
		}),
		RunE: func(c *cobra.Command, list []string) error {
			if len(list) == 0 {
				return a.listCapacity(c)
			}
			q := url.Values{"type": {list[0]}, "zone": {list[1]}}
			switch {
			case spot && onDemand:
				return fmt.Errorf("%w: --spot and --on-demand are both, which is what is meant without them", errUsage)
			case spot:
				q.Set("lifecycle", "spot")
			case onDemand:
				q.Set("lifecycle", "on-demand")
			}
			method := http.MethodPut
			if heal {
				method = http.MethodDelete
			}
			return a.admin(c.Context(), method, "/faults/capacity?"+q.Encode(), nil)
		},
	}
	c.Flags().BoolVar(&heal, "heal", false, "give it back")
	c.Flags().BoolVar(&spot, "spot", false, "Spot capacity only")
	c.Flags().BoolVar(&onDemand, "on-demand", false, "on-demand capacity only")
	return c
}

func (a *app) listCapacity(c *cobra.Command) error {
	var list []daemon.CapacityStatus
	if err := a.admin(c.Context(), http.MethodGet, "/faults/capacity", &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TYPE\tZONE\tLIFECYCLE")
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Type, f.Zone, cmp.Or(f.Lifecycle, "both"))
	}
	return w.Flush()
}

func (a *app) faultSpot() *cobra.Command {
	var rebalance bool
	c := &cobra.Command{
		Use:   "spot INSTANCE [flags]",
		Short: "Take a Spot instance back, two minutes after telling it",
		Long: `Take a Spot instance back: its metadata service gives the interruption notice
(spot/instance-action, spot/termination-time) and the rebalance recommendation, and two
minutes later (ekster up --spot-notice) the instance ends.`,
		Example: "  ekster fault spot i-0123456789abcdef0\n  ekster fault spot i-0123456789abcdef0 --rebalance",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			path := "/faults/spot/"
			if rebalance {
				path = "/faults/rebalance/"
			}
			return a.admin(c.Context(), http.MethodPut, path+url.PathEscape(list[0]), nil)
		},
	}
	c.Flags().BoolVar(&rebalance, "rebalance", false, "only recommend to rebalance: the instance stays")
	return c
}
