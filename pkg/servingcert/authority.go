// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// authority is a certificate authority with its key. It is immutable.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newAuthority returns an authority that is restricted to the names of the service, so that a stolen key can
// impersonate only this server.
func newAuthority(service Service, validity time.Duration, now time.Time) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "postern-ca"},
		NotBefore:             now.Add(-backdate(validity)),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         service.dnsNames(),
		ExcludedIPRanges:            allAddresses(),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("could not generate the key of a certificate authority: %w", err)
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("could not create a certificate authority: %w", err)
	}
	return &authority{certificate: certificate, key: key}, nil
}

// parseAuthority parses an authority. Use check to verify that it can sign for a service.
func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM) // verifies that the key matches
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key can't sign")
	}
	return &authority{certificate: pair.Leaf, key: key}, nil
}

// check returns an error if clients that trust this authority would not trust its leaves now. It issues a leaf and
// verifies it, because an authority from another source can be invalid in many ways.
func (a *authority) check(service Service, now time.Time) error {
	leaf, err := a.issue(service, time.Hour, now)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	_, err = leaf.certificate.Verify(x509.VerifyOptions{
		Roots: roots, DNSName: service.ServerName(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// equal reports whether two authorities are the same. Both may be nil.
func (a *authority) equal(b *authority) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.certificate.Equal(b.certificate)
}

// sign creates a certificate from template.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	const serialBits = 127 // unique in practice; 159 are allowed
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// allAddresses returns the IPv4 and IPv6 address ranges.
func allAddresses() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}
