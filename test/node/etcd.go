// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net"
	"path/filepath"

	"postern.dev/postern/test/certs"
)

// Etcd is an etcd besides that of the control plane, which demands TLS of its clients.
type Etcd struct {
	// URL is its address for Pods.
	URL string
	// CA, Cert and Key are paths of a client's certificate.
	CA, Cert, Key string
}

// StartEtcd runs an etcd on the first node, where a reboot starts it again.
func (c *Cluster) StartEtcd() (*Etcd, error) {
	pki := c.credentials
	ca, err := pki.authority("etcd-ca")
	if err != nil {
		return nil, err
	}
	server := certs.ServingTemplate("etcd")
	server.IPAddresses = append(server.IPAddresses, net.ParseIP(firstAddress))
	if err := pki.issue(ca, "etcd", server); err != nil {
		return nil, err
	}
	if err := pki.issue(ca, "etcd-client", certs.ClientTemplate("postern")); err != nil {
		return nil, err
	}
	const peer, port = "http://127.0.0.1:12380", "12379"
	e := &Etcd{
		URL: "https://" + net.JoinHostPort(firstAddress, port),
		CA:  pki.cert("etcd-ca"), Cert: pki.cert("etcd-client"), Key: pki.key("etcd-client"),
	}
	first := c.nodes[0]
	return e, first.StartProgram("postern-etcd", c.k8s("etcd"),
		"--name=postern", "--data-dir="+filepath.Join(first.machine.dir, "postern-etcd"),
		"--listen-client-urls="+e.URL, "--advertise-client-urls="+e.URL,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=postern="+peer,
		"--cert-file="+pki.cert("etcd"), "--key-file="+pki.key("etcd"), "--trusted-ca-file="+e.CA,
		"--client-cert-auth", "--log-level=warn")
}
