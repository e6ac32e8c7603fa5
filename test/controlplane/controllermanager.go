// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"strings"
)

// ControllerManager is a running kube-controller-manager, with some of its controllers. A control plane has none unless it
// is asked for: where there is no kubelet, most of what controllers wait for never happens.
type ControllerManager struct {
	process *process
}

// StartControllerManager runs the controllers named, such as "namespace-controller", and returns at once: what they do is
// waited for by what it leads to. The program must have been built by "make controller-manager". Stop it before the
// control plane.
func (c *ControlPlane) StartControllerManager(controllers ...string) (*ControllerManager, error) {
	path := c.k8sBinary("kube-controller-manager")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("run \"make controller-manager\" first: %w", err)
	}
	p := c.newProcess("kube-controller-manager", path, []string{
		"--kubeconfig=" + c.AdminKubeconfig(),
		"--controllers=" + strings.Join(controllers, ","),
		"--leader-elect=false",
		"--secure-port=0", // it is asked nothing
	})
	if err := p.start(); err != nil {
		return nil, err
	}
	return &ControllerManager{process: p}, nil
}

// Kill ends it at once, and returns when it is gone. What it has not done is left undone.
func (m *ControllerManager) Kill() error { return m.process.kill() }

// LogTail returns the last lines of the log, for the report of a failure.
func (m *ControllerManager) LogTail() string { return m.process.logTail() }
