// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane on this machine: etcd and a kube-apiserver with aggregation
// switched on, and Postern behind it, installed with the manifests and the permissions that it is shipped with. The
// integration tests use it, and so do "make up" and "make demo".
//
// Every part of it can be ended and started again by itself, and Postern can run as several replicas that share an etcd
// of several members: what the chaos tests need.
//
// Everything listens on loopback and keeps its state below one directory. The package knows how to start, register and
// stop Postern as a program; it must not know its Go packages, so that what is tested is what users run.
package controlplane
