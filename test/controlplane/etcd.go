// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

// etcdSocket is relative to the state directory, the working directory of etcd and the kube-apiserver: the path of a
// unix socket is limited to about 100 bytes, and a test's temporary directory is often longer. There is no TCP port,
// because access to etcd bypasses all permissions; only the owner can access the directory.
const etcdSocket = "unix://etcd.sock"

// etcdFlags run a single member. etcd requires a peer address, but nothing connects to it.
func etcdFlags() []string {
	const neverDialled = "http://127.0.0.1:0"
	return []string{
		"--name=postern",
		"--data-dir=etcd",
		"--listen-client-urls=" + etcdSocket,
		"--advertise-client-urls=" + neverDialled,
		"--listen-peer-urls=unix://etcd-peer.sock",
		"--initial-advertise-peer-urls=" + neverDialled,
		"--initial-cluster=postern=" + neverDialled,
		"--log-level=warn",
	}
}
