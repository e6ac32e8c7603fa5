// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"strings"
)

// ControllerManager is a kube-controller-manager with a subset of its controllers. A control plane starts none by
// default: without a kubelet most of what controllers wait for never happens.
type ControllerManager struct {
	process *process
}

// StartControllerManager runs the named controllers, such as "namespace-controller", and returns at once; callers wait
// for the effects. It needs the program from "make controller-manager". Stop it before the control plane.
func (c *ControlPlane) StartControllerManager(controllers ...string) (*ControllerManager, error) {
	path := c.k8sBinary("kube-controller-manager")
	if _, err := os.Stat(path); err != nil {
		return nil, runFirst("controller-manager", err)
	}
	p := c.newProcess("kube-controller-manager", path, []string{
		"--kubeconfig=" + c.AdminKubeconfig(),
		"--controllers=" + strings.Join(controllers, ","),
		"--leader-elect=false",
		"--secure-port=0", // nothing calls it
	})
	if err := p.start(); err != nil {
		return nil, err
	}
	return &ControllerManager{process: p}, nil
}

// Kill ends it with SIGKILL and returns when it is gone. Unfinished work is left undone.
func (m *ControllerManager) Kill() error { return m.process.kill() }

// LogTail returns the last lines of the log, for failure reports.
func (m *ControllerManager) LogTail() string { return m.process.logTail() }
