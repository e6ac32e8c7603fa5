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

// authority is a certificate authority with its key. It does not change.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newAuthority makes an authority that can sign for the names of the service and nothing else: whoever steals its key
// can play this one server.
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
		return nil, fmt.Errorf("could not make the key of a certificate authority: %w", err)
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("could not make a certificate authority: %w", err)
	}
	return &authority{certificate: certificate, key: key}, nil
}

// parseAuthority reads an authority. That it can sign for a service is for check to say.
func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM) // which sees that the two belong together
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key can't sign")
	}
	return &authority{certificate: pair.Leaf, key: key}, nil
}

// check returns why a leaf of this authority would not be trusted now by whoever trusts the authority. It is tried: an
// authority that somebody else has made may be unfit in many ways.
func (a *authority) check(service Service, now time.Time) error {
	leaf, err := a.issue(service, time.Hour, now)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	_, err = leaf.certificate.Verify(x509.VerifyOptions{
		Roots: roots, DNSName: service.ServerName(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// equal reports whether two authorities, each of which may be nil, are the same.
func (a *authority) equal(b *authority) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.certificate.Equal(b.certificate)
}

// sign makes the certificate that the template describes.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	const serialBits = 127 // of the 159 that are allowed, as many as no two certificates share
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

// allAddresses are those of IPv4 and of IPv6.
func allAddresses() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}
