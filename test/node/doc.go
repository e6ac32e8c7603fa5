// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package node runs a Kubernetes cluster with real nodes on this machine: kubelet, containerd, runc, CNI, kube-proxy,
// scheduler and controller-manager. A node is a process tree in namespaces and cgroups of its own, so that clusters do
// not notice each other, and addresses need not differ between them. It can be rebooted, and its programs stopped.
//
// All of a cluster ends with the process that started it, however that ends; see keeper.sh. The package must not import
// Postern's packages, so that tests run what users run.
package node
