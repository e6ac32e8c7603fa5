// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import "path/filepath"

// servingCertificate is what a Postern serves with.
type servingCertificate struct {
	flags  []string
	caFile string
	// othersRegister says that the kube-apiserver is told of the CA by somebody else, such as cert-manager.
	othersRegister bool
}

// certificateOf returns the certificate whose files the installation names, beside which that of its CA lies, as in the
// Secrets of cert-manager, or else one that was made for this control plane.
func (c *ControlPlane) certificateOf(l *launch) servingCertificate {
	if file, given := l.flag("tls-cert-file"); given {
		return servingCertificate{caFile: filepath.Join(filepath.Dir(file), "ca.crt"), othersRegister: true}
	}
	return servingCertificate{
		flags:  []string{"--tls-cert-file=" + c.pki.cert(posternCert), "--tls-private-key-file=" + c.pki.key(posternCert)},
		caFile: c.pki.cert(posternCA),
	}
}
