// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	certutil "k8s.io/client-go/util/cert"

	"postern.dev/postern/test/certs"
)

func TestPKI_ServingCertificateNames(t *testing.T) {
	p := newTestPKI(t)
	for _, tc := range []struct {
		ca, leaf string
		names    []string
	}{
		{clusterCA, apiServerCert, []string{"127.0.0.1", "localhost", "kubernetes.default.svc"}},
		{posternCA, posternCert, []string{"127.0.0.1", "localhost", "postern.postern-system.svc"}},
	} {
		roots, leaf := pool(t, p.cert(tc.ca)), certificate(t, p.cert(tc.leaf))
		for _, name := range tc.names {
			options := x509.VerifyOptions{Roots: roots, DNSName: name,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
			if _, err := leaf.Verify(options); err != nil {
				t.Errorf("%s is not valid for %s: %v", tc.leaf, name, err)
			}
		}
		if err := leaf.VerifyHostname("example.com"); err == nil {
			t.Errorf("%s is valid for example.com", tc.leaf)
		}
	}
}

func TestPKI_AuthoritiesAreSeparate(t *testing.T) {
	p := newTestPKI(t)
	leaves := map[string]string{clusterCA: apiServerCert, frontProxyCA: frontProxyCert, posternCA: posternCert}
	for ca := range leaves {
		roots := pool(t, p.cert(ca))
		for owner, leaf := range leaves {
			options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
			_, err := certificate(t, p.cert(leaf)).Verify(options)
			if got, want := err == nil, owner == ca; got != want {
				t.Errorf("%s verifies %s: %v, want %v", ca, leaf, got, want)
			}
		}
	}
}

func TestPKI_UserCertificate(t *testing.T) {
	p := newTestPKI(t)
	certPEM, keyPEM, err := p.cluster.Issue(certs.ClientTemplate("ada", "senders", "system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Errorf("certificate and key do not belong together: %v", err)
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := certs[0].Subject.CommonName, "ada"; got != want {
		t.Errorf("user is %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"senders", "system:masters"}, certs[0].Subject.Organization); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	options := x509.VerifyOptions{Roots: pool(t, p.cert(clusterCA)),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certs[0].Verify(options); err != nil {
		t.Error(err)
	}
}

func TestPKI_FilesAreReusedAndPrivate(t *testing.T) {
	p := newTestPKI(t)
	before, err := os.ReadFile(p.cert(posternCert))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadPKI(p.dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(p.cert(posternCert))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("loading made a new certificate (-before +after):\n%s", diff)
	}

	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", entry.Name(), got)
		}
	}
}

func newTestPKI(t *testing.T) *pki {
	t.Helper()
	p, err := loadPKI(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	p, err := certutil.NewPool(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	certs, err := certutil.CertsFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}
