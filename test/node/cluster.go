// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Addresses. They are the same in each cluster, since the networks of clusters are not connected.
const (
	firstAddress  = "172.31.99.1"
	apiServerPort = "6443"
	firstService  = "10.96.0.1"
	serviceRange  = "10.96.0.0/16"
	podRange      = "10.244.0.0/16"
)

// address returns the address of the i-th node, podSubnet the subnet of its Pods.
func address(i int) string   { return "172.31.99." + strconv.Itoa(i) }
func podSubnet(i int) string { return fmt.Sprintf("10.244.%d.0/24", i) }

//go:embed keeper.sh
var keeperScript string

// Options configure a cluster.
type Options struct {
	// Repository is the absolute path of the checkout with bin/k8s.
	Repository string
	// Images are archives of images that each node has, besides that of the pause container.
	Images []string
}

// Cluster is a control plane and the nodes that it manages. Methods are not safe for concurrent use unless documented.
type Cluster struct {
	repository  string
	images      []string
	dir         string
	cgroups     []string
	credentials *credentials
	nodes       []*Node

	keeper io.Closer // ends the keeper
	gone   <-chan struct{}
}

// Start runs a control plane and one node, and returns when the node is ready. After an error nothing is left.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{repository: o.Repository, images: o.Images}
	if err := c.start(ctx); err != nil {
		for _, n := range c.nodes {
			err = fmt.Errorf("%w; %s", err, n.tails())
		}
		return nil, errors.Join(fmt.Errorf("could not start a cluster: %w", err), c.Stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp("", "postern-cluster-"); err != nil {
		return err
	}
	own, err := ownCgroups()
	if err != nil {
		return err
	}
	for _, cgroup := range own {
		c.cgroups = append(c.cgroups, filepath.Join(cgroup, filepath.Base(c.dir)))
	}
	if err := c.startKeeper(); err != nil {
		return err
	}
	for _, cgroup := range c.cgroups {
		if err := makeCgroup(cgroup); err != nil {
			return err
		}
	}
	if c.credentials, err = newCredentials(filepath.Join(c.dir, "pki")); err != nil {
		return err
	}
	pause, err := buildPause(ctx, c.repository, c.dir)
	if err != nil {
		return err
	}
	c.images = append([]string{pause}, c.images...)
	_, err = c.AddNode(ctx)
	return err
}

// startKeeper runs the script that removes everything when this process ends.
func (c *Cluster) startKeeper() error {
	cmd := exec.Command(bash, append([]string{"-c", keeperScript, "keeper", c.dir}, c.cgroups...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no signal from a terminal
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	c.gone, err = run(cmd)
	if err != nil {
		return fmt.Errorf("could not start the keeper: %w", err)
	}
	c.keeper = stdin
	return nil
}

// Stop removes all of the cluster at once. Nothing is shut down in order.
func (c *Cluster) Stop(ctx context.Context) error {
	if c.keeper == nil {
		return os.RemoveAll(c.dir)
	}
	if err := c.keeper.Close(); err != nil {
		return err
	}
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("could not remove the cluster in %s: %w", c.dir, ctx.Err())
	}
}

// AddNode adds a node and returns when it is ready. The first one has the control plane, too.
func (c *Cluster) AddNode(ctx context.Context) (*Node, error) {
	n, err := c.newNode(len(c.nodes) + 1)
	if err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, n)
	if err := n.Boot(ctx); err != nil {
		return nil, err
	}
	client, err := c.Kube()
	if err != nil {
		return nil, err
	}
	return n, wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		node, err := client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
		if err != nil {
			return false, nil //nolint:nilerr // it is not registered yet
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				return condition.Status == corev1.ConditionTrue, nil
			}
		}
		return false, nil
	})
}

// Nodes returns the nodes in the order in which they were added.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Dir returns the directory of the cluster, which is removed with it. Each node sees it under the same path.
func (c *Cluster) Dir() string { return c.dir }

// Admin returns the administrator's configuration, whose connections begin on the first node. Those of a client
// outside of the cluster do, too.
func (c *Cluster) Admin() (*rest.Config, error) {
	config, err := c.credentials.client("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	config.Dial = c.nodes[0].machine.dial
	return config, nil
}

// Anonymous returns a configuration without credentials.
func (c *Cluster) Anonymous() (*rest.Config, error) {
	config, err := c.credentials.anonymous()
	if err != nil {
		return nil, err
	}
	config.Dial = c.nodes[0].machine.dial
	return config, nil
}

// Kube returns the administrator's client.
func (c *Cluster) Kube() (kubernetes.Interface, error) {
	config, err := c.Admin()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// Kubeconfig returns the path of the administrator's kubeconfig. Its address is one of the first node's network.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "pki", "admin.kubeconfig") }

// Client returns a command that runs in the root of the checkout, as the administrator, in the network of the first
// node, and otherwise on the host: such as kubectl and helm. It is safe for concurrent use.
func (c *Cluster) Client(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{c.nodes[0].machine.target(), "--net", "--", program},
		args...)...)
	cmd.Dir = c.repository
	cmd.Env = []string{"KUBECONFIG=" + c.Kubeconfig(), "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// Kubectl runs kubectl with standard input and returns its output. The error includes its standard error.
func (c *Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := c.Client(ctx, c.k8s("kubectl"), args...)
	cmd.Stdin = stdin
	return execute(cmd)
}

func (c *Cluster) k8s(program string) string {
	return filepath.Join(c.repository, "bin", "k8s", program)
}
