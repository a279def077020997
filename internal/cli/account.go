package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/region"
)

func (a *app) account() *cobra.Command {
	c := &cobra.Command{
		Use:   "account",
		Short: "Make, list and delete AWS accounts",
		Long: `Accounts are isolated from each other as on AWS. A new one costs nothing: make one
for each test or CI job, and delete it with everything in it.`,
		Example: "  eval \"$(ekster account create)\"\n  ekster account list\n  ekster account delete 123456789012",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() }, // without it no argument is looked at
	}
	c.AddCommand(a.accountCreate(), a.accountList(), a.accountDelete())
	for _, sub := range c.Commands() {
		sub.DisableFlagsInUseLine = true
	}
	return c
}

func (a *app) accountCreate() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:     "create [flags]",
		Short:   "Make an account and print the exports of its root user",
		Example: "  eval \"$(ekster account create)\"\n  ekster account create --id 123456789012",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := a.dir().Settings()
			if err != nil {
				return a.unreached(err)
			}
			path := "/accounts"
			if id != "" {
				path += "?id=" + url.QueryEscape(id)
			}
			var creds daemon.Credentials
			if err := a.admin(c.Context(), http.MethodPost, path, &creds); err != nil {
				return err
			}
			a.printExports(creds, fmt.Sprintf("http://127.0.0.1:%d", settings.Port))
			return nil
		},
	}
	c.Flags().StringVar(&id, "id", "", "the account's id, 12 digits; made up unless given")
	return c
}

func (a *app) accountList() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "list [flags]",
		Short:   "List accounts",
		Example: "  ekster account list -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "json" && output != "table" {
				return fmt.Errorf("%w: -o takes table or json, not %q", errUsage, output)
			}
			var list []daemon.AccountStatus
			if err := a.admin(c.Context(), http.MethodGet, "/accounts", &list); err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(a.out)
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "ACCOUNT\tALIAS\tCREATED\tCLUSTERS\tMACHINES\tSTATE")
			for _, s := range list {
				state, alias := "ACTIVE", s.Alias
				if s.Deleting {
					state = "DELETING"
				}
				if alias == "" {
					alias = "-"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", s.ID, alias, s.Created.Format(time.RFC3339), s.Clusters, s.Machines, state)
			}
			return w.Flush()
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func (a *app) accountDelete() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "delete ID [flags]",
		Short:   "Delete an account with everything in it: clusters, machines, networks",
		Example: "  ekster account delete 123456789012",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			id := list[0]
			if err := a.admin(c.Context(), http.MethodDelete, "/accounts/"+url.PathEscape(id), nil); err != nil {
				return err
			}
			if timeout == 0 {
				return nil
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return a.untilGone(ctx, id)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait until it is gone; 0 does not wait")
	return c
}

// untilGone waits until an account is no more.
func (a *app) untilGone(ctx context.Context, id string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := fmt.Errorf("account %s is not gone yet (ekster status)", id)
	for {
		var list []daemon.AccountStatus
		err := a.admin(ctx, http.MethodGet, "/accounts", &list)
		if ctx.Err() != nil { // which admin takes for a daemon that does not answer
			return late
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(s daemon.AccountStatus) bool { return s.ID == id })
		if i < 0 {
			return nil
		}
		late = fmt.Errorf("account %s still has %d clusters and %d machines (ekster status)", id, list[i].Clusters, list[i].Machines)
		select {
		case <-ctx.Done():
			return late
		case <-tick.C:
		}
	}
}

// unreached is what err means, which came of asking the daemon.
func (a *app) unreached(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the daemon on %s answers root only: %w", a.stateDir, errDenied)
	}
	return fmt.Errorf("%w: no daemon answers on %s (ekster up)", errNotFound, a.stateDir)
}

// admin asks the running daemon over its socket.
func (a *app) admin(ctx context.Context, method, path string, into any) error {
	var dialer net.Dialer
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", a.dir().Socket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return a.unreached(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		if into == nil {
			return nil
		}
		return json.NewDecoder(res.Body).Decode(into)
	}
	var answer struct{ Error string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("the daemon answers %s", res.Status)
	}
	switch res.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s", errNotFound, answer.Error)
	case http.StatusBadRequest:
		return fmt.Errorf("%w: %s", errUsage, answer.Error)
	}
	return fmt.Errorf("%s", answer.Error)
}

// printExports prints what points AWS's tools at Ekster as these credentials.
func (a *app) printExports(creds daemon.Credentials, endpoint string) {
	for _, kv := range [][2]string{
		{"AWS_ENDPOINT_URL", endpoint},
		{"AWS_ACCESS_KEY_ID", creds.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey},
		{"AWS_DEFAULT_REGION", region.Default},
		{"AWS_REGION", region.Default},
	} {
		fmt.Fprintf(a.out, "export %s=%s\n", kv[0], kv[1])
	}
	// A token left over from AWS would be sent along with our keys.
	fmt.Fprintln(a.out, "unset AWS_SESSION_TOKEN AWS_PROFILE")
}
