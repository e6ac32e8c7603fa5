// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// KubectlCommand returns a command that runs kubectl with the given kubeconfig. It ignores the caller's own kubectl
// configuration. It is safe for concurrent use.
func (c *ControlPlane) KubectlCommand(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.k8sBinary("kubectl"), args...)
	cmd.Dir = c.repository
	cmd.Env = []string{"KUBECONFIG=" + kubeconfig, "HOME=" + c.dir}
	return cmd
}

// Kubectl runs kubectl as the administrator in the root of the checkout and returns its standard output. The error
// includes its standard error. It is safe for concurrent use.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := c.KubectlCommand(ctx, c.AdminKubeconfig(), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
