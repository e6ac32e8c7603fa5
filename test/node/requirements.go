// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages has the Debian package of each program that a node runs.
var packages = []struct{ program, name string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{cniDir + "/bridge", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"unshare", "util-linux"},
	{"nsenter", "util-linux"},
	{"sysctl", "procps"},
	{"buildah", "buildah"},
}

// programs of Kubernetes are in bin/k8s of the checkout.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// Requirements returns an error that says in one sentence why this machine can't run a cluster, if it can't.
func Requirements(repository string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a node needs root, for its namespaces, mounts and cgroups")
	}
	var missing []string
	for _, p := range packages {
		if _, err := exec.LookPath(p.program); err != nil {
			missing = append(missing, p.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a node needs Debian's %s, which hack/e2e-packages.sh installs", strings.Join(missing, ", "))
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(repository, "bin", "k8s", program)); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a node needs bin/k8s/%s, which \"make node\" builds", strings.Join(missing, ", bin/k8s/"))
	}
	if _, err := ownCgroups(); err != nil {
		return fmt.Errorf("a node needs other cgroups: %w", err)
	}
	return nil
}
