// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
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

// encode returns certificates as PEM.
func encode(certificates ...*x509.Certificate) []byte {
	text, _ := certutil.EncodeCertificates(certificates...) // into memory, which can't fail
	return text
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

// backdate returns how long before its creation a certificate becomes valid.
func backdate(validity time.Duration) time.Duration { return min(maxBackdate, validity/10) }

// renewAt returns the time at which two thirds of a certificate's lifetime are over.
func renewAt(certificate *x509.Certificate) time.Time {
	return certificate.NotAfter.Add(-certificate.NotAfter.Sub(certificate.NotBefore) / 3)
}

// isExpired reports whether a certificate has expired at the time now.
func isExpired(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotAfter)
}
