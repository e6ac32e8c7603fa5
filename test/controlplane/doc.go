// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane on this machine: etcd and a kube-apiserver with aggregation
// enabled, and Postern behind it, installed with the manifests and the permissions that it ships with. The integration
// tests, "make up" and "make demo" use it.
//
// Each part can be stopped and started separately, and Postern can run as several replicas that share a multi-member
// etcd, as the chaos tests require.
//
// Everything listens on loopback and keeps its state below one directory. The package starts, registers and stops
// Postern as a program. It must not import Postern's packages, so that tests run what users run.
package controlplane
