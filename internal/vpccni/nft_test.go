package vpccni

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens")

// The tables as nft shows them; each is written twice, as by a second agent or a
// repeated ADD.
func TestTables(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft on this host")
	}
	ns := newNamespace(t, "tables")
	inside := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("100.64.0.0/16")}
	node, pod := netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.1.20")
	ports := []portMapping{{HostPort: 80, ContainerPort: 8080, Protocol: "tcp"}, {HostPort: 53, ContainerPort: 5353, Protocol: "udp", HostIP: "10.0.1.10"}}
	for _, c := range []struct {
		name, table string
		do          func() error
	}{
		{"snat", "aws-cni", func() error { return setupTable("eth0", node, inside, false) }},
		{"external-snat", "aws-cni", func() error { return setupTable("eth0", node, inside, true) }},
		{"hostports", "aws-cni-hostports", func() error { return openHostPorts("eni0123456789a", pod, ports) }},
		{"closed", "aws-cni-hostports", func() error { return closeHostPorts("eni0123456789a") }}, // after the one above
	} {
		var got []byte
		in(t, ns, func() error {
			for range 2 {
				if err := c.do(); err != nil {
					return err
				}
			}
			out, err := exec.Command("nft", "list", "table", "ip", c.table).CombinedOutput()
			got = out
			return err
		})
		golden := filepath.Join("testdata", c.name+".nft")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", golden, d)
		}
	}
	in(t, ns, func() error {
		_, err := dnat(pod, portMapping{HostPort: 1, Protocol: "icmp"})
		if err == nil {
			t.Error("a host port of ICMP was accepted")
		}
		return nil
	})
}
