// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// selfSignedValidity is the same as in Argo CD Image Updater.
	selfSignedValidity = 365 * 24 * time.Hour
	// clockSkew is how far the clock of a client may be behind.
	clockSkew = time.Hour

	rsaBits = 2048
)

// selfSign returns new certificates for this process: one with an ECDSA key, and one with an RSA key if TLS 1.2 clients
// may need it for their cipher suites. Clients can't verify them.
func selfSign(now time.Time, withRSA bool) ([]tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("could not make a key: %w", err)
	}
	keys := []crypto.Signer{key}
	if withRSA {
		key, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, fmt.Errorf("could not make a key: %w", err)
		}
		keys = append(keys, key)
	}
	var certificates []tls.Certificate
	for _, key := range keys {
		certificate, err := selfSignWith(key, now)
		if err != nil {
			return nil, fmt.Errorf("could not make a self-signed certificate: %w", err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func selfSignWith(key crypto.Signer, now time.Time) (tls.Certificate, error) {
	const serialBits = 127 // positive, and no longer than RFC 5280 allows
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: "postern-receiver"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(selfSignedValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
