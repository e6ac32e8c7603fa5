// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/test/controlplane"
)

// samples are the objects that a page may assume.
var samples = []string{
	"artifacts/examples/gatewaysync.yaml",
	"artifacts/examples/application.yaml",
	"hack/local/samples/applications-of-images.yaml",
	"test/docs/testdata/image-updater.yaml",
}

// startTimeout allows for a machine that is busy with other tests.
const startTimeout = 3 * time.Minute

// sampleNamespace is the namespace of the samples.
const sampleNamespace = "demo"

// cluster is a control plane to run pages in.
type cluster struct {
	*controlplane.ControlPlane
	root     string
	postern  *controlplane.Postern
	replicas *controlplane.Replicas
	shims    *shims
	tidy     *tidier
}

// startCluster starts a control plane with the CRDs of Postern's targets and, unless it is to be empty, with Postern
// installed from the checkout at root.
func startCluster(ctx context.Context, root string, kind clusterKind) (_ *cluster, err error) {
	cp, err := controlplane.Start(ctx, controlplane.Options{Repository: root})
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: cp, root: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.populate(ctx, kind); err != nil {
		return nil, err
	}
	settler, err := newSettler(ctx, c.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("could not prepare to wait for changes: %w", err)
	}
	dir := filepath.Join(c.Dir(), "shims")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	kubectl := filepath.Join(root, controlplane.ProgramsDir(), "kubectl")
	c.shims, err = newShims(dir, map[string]string{"kubectl": kubectl},
		hooks{settle: settler.settle, rollOut: c.rollOut})
	if err != nil {
		return nil, err
	}
	c.tidy, err = newTidier(ctx, c.RESTConfig())
	return c, err
}

func (c *cluster) populate(ctx context.Context, kind clusterKind) (err error) {
	if kind != empty {
		if err := c.Install(ctx); err != nil {
			return err
		}
		c.postern, err = c.StartPostern(ctx, controlplane.PosternOptions{})
		return err
	}
	for _, args := range [][]string{{"apply", "--server-side"},
		{"wait", "--for=condition=Established", "--timeout=60s"}} {
		if _, err := c.Kubectl(ctx, "", append(args, "--filename=artifacts/crds")...); err != nil {
			return err
		}
	}
	return nil
}

// rollOut runs what a page has installed, as a node would.
func (c *cluster) rollOut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.endPostern(); err != nil {
		return err
	}
	if err := c.Provide(ctx); err != nil {
		return err
	}
	wanted, err := c.Kubectl(ctx, "", "get", "statefulset/postern", "--namespace="+controlplane.Namespace,
		"--output=jsonpath={.spec.replicas}")
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(wanted)
	if err != nil {
		return fmt.Errorf("could not read the number of replicas: %w", err)
	}
	if count > 1 {
		c.replicas, err = c.StartReplicas(ctx, count, controlplane.PosternOptions{})
		return err
	}
	c.postern, err = c.StartPostern(ctx, controlplane.PosternOptions{})
	return err
}

func (c *cluster) endPostern() error {
	var errs []error
	if c.postern != nil {
		errs = append(errs, c.postern.Kill())
	}
	if c.replicas != nil {
		errs = append(errs, c.replicas.Kill())
	}
	c.postern, c.replicas = nil, nil
	return errors.Join(errs...)
}

// applySamples creates the objects that a page may assume.
func (c *cluster) applySamples(ctx context.Context) error {
	if _, err := c.Kubectl(ctx, "", "create", "namespace", sampleNamespace); err != nil {
		return err
	}
	for _, file := range samples {
		if _, err := c.Kubectl(ctx, "", "apply", "--server-side", "--filename="+file); err != nil {
			return err
		}
	}
	return nil
}

// runner returns a runner that works in dir, which gets links to the files that pages use in a checkout.
func (c *cluster) runner(dir string) (runner, error) {
	for _, name := range []string{"artifacts", "charts", "hack", "manifests"} {
		err := os.Symlink(filepath.Join(c.root, name), filepath.Join(dir, name))
		if err != nil {
			return runner{}, err
		}
	}
	programs := []string{c.shims.dir, filepath.Join(c.root, "bin"), filepath.Join(c.root, "bin", "tools")}
	path := strings.Join(append(programs, os.Getenv("PATH")), ":")
	return runner{dir: dir, env: []string{"PATH=" + path, "HOME=" + dir, "KUBECONFIG=" + c.AdminKubeconfig()}}, nil
}

func (c *cluster) stop(ctx context.Context) error {
	var errs []error
	if c.shims != nil {
		errs = append(errs, c.shims.close())
	}
	errs = append(errs, c.endPostern())
	return errors.Join(append(errs, c.Stop(ctx))...)
}
