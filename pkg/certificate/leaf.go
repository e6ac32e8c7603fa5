// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"k8s.io/client-go/util/keyutil"
)

// leaf is a serving certificate with its key.
type leaf struct {
	certificate     *x509.Certificate
	certPEM, keyPEM []byte
}

// issue returns a new leaf with a new key. It expires no later than the authority.
func (a *authority) issue(service Service, validity time.Duration, now time.Time) (*leaf, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "postern"},
		NotBefore:   now.Add(-backdate(validity)),
		NotAfter:    now.Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    service.dnsNames(),
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("could not generate the key of a serving certificate: %w", err)
	}
	certificate, err := sign(template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("could not sign a serving certificate: %w", err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, fmt.Errorf("could not encode the key of a serving certificate: %w", err)
	}
	return &leaf{certificate: certificate, certPEM: encode(certificate), keyPEM: keyPEM}, nil
}
