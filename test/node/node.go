// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Node is a machine with a kubelet, a container runtime and kube-proxy; the first one has the control plane, too.
// Methods are not safe for concurrent use unless documented.
type Node struct {
	cluster  *Cluster
	index    int // from 1
	machine  *machine
	programs []*program
}

func (c *Cluster) newNode(index int) (*Node, error) {
	name := "n" + strconv.Itoa(index)
	m := &machine{name: name, dir: filepath.Join(c.dir, name), address: address(index) + "/24"}
	if index > 1 {
		m.gateway = firstAddress
	}
	for _, cgroup := range c.cgroups {
		m.cgroups = append(m.cgroups, filepath.Join(cgroup, name))
	}
	n := &Node{cluster: c, index: index, machine: m}
	if index == 1 {
		control, err := c.controlPlane(m)
		if err != nil {
			return nil, err
		}
		n.programs = control
	}
	kubelet, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	proxy, err := n.proxy()
	if err != nil {
		return nil, err
	}
	n.programs = append(n.programs, n.runtime(), kubelet, proxy)
	return n, nil
}

// Boot starts the machine and its programs, at first or again after Halt. It returns when the container runtime has the
// images; it does not wait until the node is ready.
func (n *Node) Boot(ctx context.Context) error {
	if err := n.machine.boot(ctx); err != nil {
		return err
	}
	if err := n.connect(ctx); err != nil {
		return fmt.Errorf("could not connect %s to other nodes: %w", n.Name(), err)
	}
	if err := n.configure(); err != nil {
		return fmt.Errorf("could not configure %s: %w", n.Name(), err)
	}
	for _, p := range n.programs {
		if err := p.start(); err != nil {
			return err
		}
	}
	return n.importImages(ctx)
}

// Halt ends the machine at once, as a loss of power does.
func (n *Node) Halt(ctx context.Context) error { return n.machine.halt(ctx) }

// StartProgram runs another program on the node until Stop, and after a reboot again.
func (n *Node) StartProgram(name, path string, args ...string) error {
	p := &program{machine: n.machine, name: name, path: path, args: args}
	n.programs = append(n.programs, p)
	return p.start()
}

// Start starts a program again after Stop: one of etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
// containerd, kubelet and kube-proxy.
func (n *Node) Start(name string) error {
	p, err := n.program(name)
	if err != nil {
		return err
	}
	return p.start()
}

// Stop kills a program, which is not started again until Start. Containers keep running without the runtime.
func (n *Node) Stop(ctx context.Context, name string) error {
	p, err := n.program(name)
	if err != nil {
		return err
	}
	return p.stop(ctx)
}

func (n *Node) program(name string) (*program, error) {
	for _, p := range n.programs {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s runs no %s", n.Name(), name)
}

// Name returns the name of the node.
func (n *Node) Name() string { return n.machine.name }

// Command returns a command that runs on the node. It is safe for concurrent use.
func (n *Node) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return n.machine.command(ctx, program, args...)
}

// Run runs a command on the node and returns its output. It is safe for concurrent use.
func (n *Node) Run(ctx context.Context, program string, args ...string) (string, error) {
	return execute(n.machine.command(ctx, program, args...))
}

// inPod runs a command in the network of the Pod on this node that has an address. The arguments are the address, the
// command and its arguments.
const inPod = `
address=$1
shift
for network in /run/netns/*; do
    if nsenter --net="$network" ip -oneline address show to "$address/32" | grep -q .; then
        exec nsenter --net="$network" -- "$@"
    fi
done
echo "no Pod has the address $address" >&2
exit 1
`

// RunInPod runs a command of the node in the network of a Pod with an address, and returns its output. It is safe for
// concurrent use.
func (n *Node) RunInPod(ctx context.Context, address, program string, args ...string) (string, error) {
	return n.Run(ctx, bash, append([]string{"-euo", "pipefail", "-c", inPod, "inpod", address, program}, args...)...)
}

// connect plugs the machine into the bridge of the first one, and routes the Pods of all nodes. The first one, which is
// to be booted first, has nothing to connect to.
func (n *Node) connect(ctx context.Context) error {
	if n.index == 1 {
		return nil
	}
	first := n.cluster.nodes[0]
	port := "port" + strconv.Itoa(n.index)
	there := strconv.FormatInt(n.machine.pid.Load(), 10)
	commands := [][]string{
		{"link", "add", port, "type", "veth", "peer", "name", "lan", "netns", there},
		{"link", "set", port, "master", "lan", "up"},
	}
	for _, args := range commands {
		// In the network only, since the namespace is named by a number of the host.
		in := []string{first.machine.target(), "--net", "--", "ip"}
		if _, err := execute(exec.CommandContext(ctx, "nsenter", append(in, args...)...)); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"address", "add", n.machine.address, "dev", "lan"},
		{"link", "set", "lan", "up"},
		{"route", "add", "default", "via", firstAddress},
	} {
		if _, err := n.Run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	for _, other := range n.cluster.nodes[:n.index-1] {
		if err := errors.Join(n.route(ctx, other), other.route(ctx, n)); err != nil {
			return err
		}
	}
	return nil
}

// route sends packets for the Pods of another node there.
func (n *Node) route(ctx context.Context, other *Node) error {
	_, err := n.Run(ctx, "ip", "route", "replace", podSubnet(other.index), "via", address(other.index))
	return err
}

// importImages gives the images to the container runtime, once it responds.
func (n *Node) importImages(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		_, last = n.Run(ctx, "ctr", "version")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the container runtime of %s does not respond: %w", n.Name(), last)
	}
	for _, image := range n.cluster.images {
		if err := n.ImportImage(ctx, image); err != nil {
			return err
		}
	}
	return nil
}

// ImportImage gives an archive of an image to the container runtime.
func (n *Node) ImportImage(ctx context.Context, archive string) error {
	_, err := n.Run(ctx, "ctr", "--namespace=k8s.io", "images", "import", archive)
	return err
}

// Log returns the log of a program, of all its runs.
func (n *Node) Log(name string) string { return filepath.Join(n.machine.dir, name+".log") }

// tails returns the last lines of all logs.
func (n *Node) tails() string {
	var tails []string
	for _, p := range n.programs {
		tails = append(tails, p.tail())
	}
	return strings.Join(tails, "\n")
}
