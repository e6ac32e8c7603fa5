// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"postern.dev/postern/test/controlplane"
)

// samples are what a page may presume.
var samples = []string{"artifacts/examples/gatewaysync.yaml", "artifacts/examples/application.yaml"}

// sampleNamespace is where the samples are.
const sampleNamespace = "demo"

// cluster is a control plane for pages to work on.
type cluster struct {
	*controlplane.ControlPlane
	root    string
	postern *controlplane.Postern
	shims   *shims
	tidy    *tidier
}

// startCluster runs a control plane with Postern, installed from the checkout at root.
func startCluster(ctx context.Context, root string) (_ *cluster, err error) {
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
	if err := c.Install(ctx); err != nil {
		return nil, err
	}
	if c.postern, err = c.StartPostern(ctx, controlplane.PosternOptions{}); err != nil {
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
	kubectl := filepath.Join(root, "bin", "k8s", "kubectl")
	if c.shims, err = newShims(dir, map[string]string{"kubectl": kubectl}, settler.settle); err != nil {
		return nil, err
	}
	c.tidy, err = newTidier(ctx, c.RESTConfig())
	return c, err
}

// applySamples makes what a page may presume.
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

// runner returns one that works in dir, which gets links to what a page finds in a checkout.
func (c *cluster) runner(dir string) (runner, error) {
	for _, name := range []string{"artifacts", "charts", "hack", "manifests"} {
		err := os.Symlink(filepath.Join(c.root, name), filepath.Join(dir, name))
		if err != nil {
			return runner{}, err
		}
	}
	path := c.shims.dir + ":" + filepath.Join(c.root, "bin", "tools") + ":" + os.Getenv("PATH")
	return runner{dir: dir, env: []string{"PATH=" + path, "HOME=" + dir, "KUBECONFIG=" + c.AdminKubeconfig()}}, nil
}

func (c *cluster) stop(ctx context.Context) error {
	var errs []error
	if c.shims != nil {
		errs = append(errs, c.shims.close())
	}
	if c.postern != nil {
		errs = append(errs, c.postern.Kill())
	}
	return errors.Join(append(errs, c.Stop(ctx))...)
}
