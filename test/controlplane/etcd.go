// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

// etcdSocket is relative to the state directory, in which etcd and the kube-apiserver run: the path of a unix socket
// may not be longer than about 100 bytes, and a test's temporary directory easily is. No TCP port is opened, since
// whoever reaches etcd needs no other permission; the directory is its owner's alone.
const etcdSocket = "unix://etcd.sock"

// etcdFlags run a single member. It insists on a peer address, which nobody dials.
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
