// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"

	certutil "k8s.io/client-go/util/cert"
)

// parse returns the certificates in a PEM text, and skips everything else.
func parse(text []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certificates
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
}

func encode(certificates ...*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, certificate := range certificates {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: certificate.Raw}))
	}
	return text.Bytes()
}

func contains(certificates []*x509.Certificate, certificate *x509.Certificate) bool {
	return slices.ContainsFunc(certificates, certificate.Equal)
}

// union joins lists without duplicates, in the order of first appearance.
func union(lists ...[]*x509.Certificate) []*x509.Certificate {
	var all []*x509.Certificate
	for _, certificate := range slices.Concat(lists...) {
		if !contains(all, certificate) {
			all = append(all, certificate)
		}
	}
	return all
}
