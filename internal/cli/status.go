package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
)

func (a *app) status() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "status [flags]",
		Short:   "Show clusters, node groups and machines, and what each waits for",
		Example: "  ekster status\n  ekster status -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "" && output != "json" && output != "table" {
				return fmt.Errorf("%w: -o takes table or json, not %q", errUsage, output)
			}
			st, err := a.ask(c.Context(), a.dir())
			if err != nil {
				return a.unreached(err)
			}
			if output == "json" {
				e := json.NewEncoder(a.out)
				e.SetIndent("", "  ")
				return e.Encode(st)
			}
			return a.printStatus(st)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

// ask has the running daemon tell its status.
func (a *app) ask(ctx context.Context, dir daemon.Dir) (daemon.Status, error) {
	var st daemon.Status
	var dialer net.Dialer
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", dir.Socket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/status", nil)
	if err != nil {
		return st, err
	}
	res, err := client.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	return st, json.NewDecoder(res.Body).Decode(&st)
}

func (a *app) printStatus(st daemon.Status) error {
	fmt.Fprintf(a.out, "Ekster at %s, account %s, pid %d, Kubernetes %v\n", st.Endpoint, st.Account, st.PID, st.Versions)
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	row := func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	dash := func(s string) string { return cmp.Or(s, "-") }
	row("\nCLUSTER", "REGION", "VERSION", "STATUS", "ENDPOINT", "WAITS FOR")
	for _, c := range st.Clusters {
		row(c.Name, c.Region, c.Version, c.State, dash(c.Endpoint), dash(c.Waiting))
	}
	row("\nNODE GROUP", "CLUSTER", "STATUS", "READY", "WAITS FOR")
	for _, n := range st.Nodegroups {
		row(n.Name, n.Cluster, n.State, fmt.Sprintf("%d/%d", n.Ready, n.Desired), dash(n.Waiting))
	}
	row("\nMACHINE", "TYPE", "STATE", "ZONE", "ADDRESS", "NODE READY", "WAITS FOR")
	for _, m := range st.Machines {
		ready := "-"
		if m.Node != "" {
			ready = fmt.Sprint(m.Ready)
		}
		row(m.ID, m.Type, m.State, m.Zone, m.Address, ready, dash(m.Waiting))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(st.Errors)) {
		fmt.Fprintf(a.out, "\n%s: %s\n", key, st.Errors[key])
	}
	return nil
}
