package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) fault() *cobra.Command {
	c := &cobra.Command{
		Use:   "fault",
		Short: "Play an outage, and see how what runs on AWS takes it",
		Long: `Play an outage, to see how what runs on AWS takes it: a zone that goes away,
capacity that EC2 has run out of, a Spot instance that it takes back; and shift traffic away
from a zone.`,
		Example: "  ekster fault zone us-west-2b\n  ekster fault capacity m5.large us-west-2a\n  ekster fault spot i-0123456789abcdef0",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() }, // without it no argument is looked at
	}
	c.AddCommand(a.faultZone(), a.faultCapacity(), a.faultSpot(), a.faultShift())
	for _, sub := range c.Commands() {
		sub.DisableFlagsInUseLine = true
	}
	return c
}
