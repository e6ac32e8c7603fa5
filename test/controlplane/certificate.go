// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

// servingCertificate is what a Postern serves with.
type servingCertificate struct {
	flags []string
	// caFile has the CA that the kube-apiserver is to be told of. It is empty if somebody else tells it: Postern, or
	// cert-manager.
	caFile string
}

// certificateOf returns a file that was made for this control plane if the options want one, or else what the installation
// has: files of others, or what Postern makes itself.
func (c *ControlPlane) certificateOf(o PosternOptions) servingCertificate {
	if !o.CertificateFiles {
		return servingCertificate{}
	}
	return servingCertificate{
		flags:  []string{"--tls-cert-file=" + c.pki.cert(posternCert), "--tls-private-key-file=" + c.pki.key(posternCert)},
		caFile: c.pki.cert(posternCA),
	}
}
