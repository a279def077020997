package vpccni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// conflist is the network configuration that makes the runtime call the plugin.
// It stays at CNI 1.0: with 1.1 the runtime would ask STATUS, and a node would
// turn NotReady whenever its agent restarts, which EKS's nodes do not.
func conflist(socket string) []byte {
	return fmt.Appendf(nil, `{
  "cniVersion": "1.0.0",
  "name": "aws-cni",
  "disableCheck": true,
  "plugins": [
    {
      "name": "aws-cni",
      "type": "aws-cni",
      "socket": %q,
      "capabilities": {"portMappings": true}
    }
  ]
}
`, socket)
}

// netConf is the plugin's part of the configuration.
type netConf struct {
	types.PluginConf
	Socket        string `json:"socket"`
	RuntimeConfig struct {
		PortMappings []portMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

// k8sArgs is what kubelet passes of the pod.
type k8sArgs struct {
	types.CommonArgs
	K8S_POD_NAME      types.UnmarshallableString // CNI_ARGS match by these names
	K8S_POD_NAMESPACE types.UnmarshallableString
}

// Plugin runs the CNI plugin: one command of the runtime, taken from the
// environment and stdin. It returns the process's exit code.
func Plugin() int {
	err := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: pluginAdd, Del: pluginDel, Check: pluginCheck, Status: pluginStatus,
	}, version.All, "aws-cni: addresses of the VPC for pods")
	if err == nil {
		return 0
	}
	if printErr := err.Print(); printErr != nil {
		return 2
	}
	return 1
}

func parseConf(args *skel.CmdArgs) (netConf, error) {
	var c netConf
	if err := json.Unmarshal(args.StdinData, &c); err != nil {
		return c, fmt.Errorf("network configuration: %w", err)
	}
	if c.Socket == "" {
		return c, errors.New("network configuration: no socket")
	}
	return c, nil
}

func pluginAdd(args *skel.CmdArgs) error {
	c, err := parseConf(args)
	if err != nil {
		return err
	}
	var pod k8sArgs
	if err := types.LoadArgs(strings.TrimSuffix("IgnoreUnknown=true;"+args.Args, ";"), &pod); err != nil {
		return fmt.Errorf("CNI_ARGS: %w", err)
	}
	veth := vethName(args.ContainerID, args.IfName)
	got, err := ask(c.Socket, request{Op: "add", Veth: veth, Pod: string(pod.K8S_POD_NAMESPACE) + "/" + string(pod.K8S_POD_NAME)})
	if err != nil {
		return fmt.Errorf("add cmd: %w", err)
	}
	w := wire{Netns: args.Netns, IfName: args.IfName, Veth: veth, Address: got.Address, Device: got.Device, MTU: got.MTU}
	podMAC, nodeMAC, err := connect(w)
	if err == nil {
		err = openHostPorts(veth, got.Address, c.RuntimeConfig.PortMappings)
	}
	if err != nil {
		return fmt.Errorf("add cmd: %w", errors.Join(err, undo(c.Socket, veth, got.Address)))
	}
	return types.PrintResult(result(w, podMAC, nodeMAC), c.CNIVersion)
}

func result(w wire, podMAC, nodeMAC net.HardwareAddr) *current.Result {
	inPod := 1
	return &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: w.Veth, Mac: nodeMAC.String(), Mtu: w.MTU},
			{Name: w.IfName, Mac: podMAC.String(), Mtu: w.MTU, Sandbox: w.Netns},
		},
		IPs: []*current.IPConfig{{Interface: &inPod, Address: *hostNet(w.Address)}},
	}
}

// undo gives everything of a pod back: first the wire, then the address, so that
// nobody gets the address while something here still uses it.
func undo(socket, veth string, a netip.Addr) error {
	if err := errors.Join(closeHostPorts(veth), disconnect(veth, a)); err != nil {
		return err
	}
	_, err := ask(socket, request{Op: "del", Veth: veth})
	return err
}

// pluginDel may come more than once and for pods that were never added. Without
// an agent it still disconnects; the next agent sees that the veth is gone.
func pluginDel(args *skel.CmdArgs) error {
	c, err := parseConf(args)
	if err != nil {
		return err
	}
	veth := vethName(args.ContainerID, args.IfName)
	var addr netip.Addr
	known, askErr := ask(c.Socket, request{Op: "get", Veth: veth})
	if askErr == nil {
		addr = known.Address
	} else {
		live, err := podVeths()
		if err != nil {
			return fmt.Errorf("del cmd: %w", err)
		}
		addr = live[veth]
	}
	if askErr != nil {
		if err := errors.Join(closeHostPorts(veth), disconnect(veth, addr)); err != nil {
			return fmt.Errorf("del cmd: %w", err)
		}
		return nil
	}
	if err := undo(c.Socket, veth, addr); err != nil {
		return fmt.Errorf("del cmd: %w", err)
	}
	return nil
}

func pluginCheck(args *skel.CmdArgs) error {
	c, err := parseConf(args)
	if err != nil {
		return err
	}
	veth := vethName(args.ContainerID, args.IfName)
	known, err := ask(c.Socket, request{Op: "get", Veth: veth})
	if err != nil {
		return fmt.Errorf("check cmd: %w", err)
	}
	if !known.Address.IsValid() {
		return fmt.Errorf("check cmd: no address was given to %s", veth)
	}
	if err := verify(wire{Netns: args.Netns, IfName: args.IfName, Veth: veth, Address: known.Address}); err != nil {
		return fmt.Errorf("check cmd: %w", err)
	}
	return nil
}

// errNotAvailable is the code that CNI 1.1 gives to a plugin that cannot serve an ADD now.
const errNotAvailable = 50

func pluginStatus(args *skel.CmdArgs) error {
	c, err := parseConf(args)
	if err != nil {
		return err
	}
	if _, err := ask(c.Socket, request{Op: "status"}); err != nil {
		return types.NewError(errNotAvailable, "the aws-node agent is not ready", err.Error())
	}
	return nil
}
