// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Offsets from now at which a certificate that is not valid now is created.
const (
	expired = -selfSignedValidity - time.Minute
	early   = clockSkew + time.Hour
)

func TestCertificates_InvalidPairIsError(t *testing.T) {
	other := pairFiles(t)
	writePair(t, other, time.Now())
	for _, test := range []struct {
		name  string
		spoil func(TLSOptions)
		want  []string
	}{
		{
			"no certificate", func(o TLSOptions) { replace(t, o.CertFile, []byte("a certificate\n")) },
			[]string{"tls.crt", "tls.key", "failed to find any PEM data in certificate input"},
		},
		{
			"the key of another", func(o TLSOptions) { replace(t, o.KeyFile, mustRead(t, other.KeyFile)) },
			[]string{"tls.crt", "tls.key", "private key does not match public key"},
		},
		{
			"a directory", func(o TLSOptions) { makeDirectory(t, o.KeyFile) },
			[]string{"tls.crt", "tls.key", "is a directory"},
		},
	} {
		options := pairFiles(t)
		writePair(t, options, time.Now())
		test.spoil(options)
		_, err := LoadCertificates(options)
		if err == nil {
			t.Errorf("%s: the pair was accepted", test.name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", test.name, want, err)
			}
		}
	}
}

func TestCertificates_SelfSignedIfMissing(t *testing.T) {
	for name, write := range map[string]func(TLSOptions){
		"no file":           func(TLSOptions) {},
		"empty files":       func(o TLSOptions) { replace(t, o.CertFile, nil); replace(t, o.KeyFile, nil) },
		"no key":            func(o TLSOptions) { writePair(t, o, time.Now()); remove(t, o.KeyFile) },
		"an empty key":      func(o TLSOptions) { writePair(t, o, time.Now()); replace(t, o.KeyFile, nil) },
		"no certificate":    func(o TLSOptions) { writePair(t, o, time.Now()); remove(t, o.CertFile) },
		"an expired half":   func(o TLSOptions) { writePair(t, o, time.Now().Add(expired)); remove(t, o.KeyFile) },
		"an empty half too": func(o TLSOptions) { replace(t, o.CertFile, nil) },
	} {
		options := pairFiles(t)
		write(options)
		if shown := startTLSServer(t, options).peerCertificate(t); shown.Subject.CommonName != "postern-receiver" ||
			shown.NotAfter.Before(time.Now().Add(selfSignedValidity-time.Hour)) {
			t.Errorf("%s: %s by %s is served", name, shown.Subject, shown.Issuer)
		}
	}
}

func TestCertificates_Renewed(t *testing.T) {
	options := pairFiles(t)
	first := writePair(t, options, time.Now())
	server := startTLSServer(t, options)
	if !server.peerCertificate(t).Equal(first) {
		t.Fatal("the mounted certificate is not served")
	}
	server.untilShown(t, writePair(t, options, time.Now()))
}

func TestCertificates_MountedLater(t *testing.T) {
	options := pairFiles(t)
	certificates, err := LoadCertificates(options)
	if err != nil {
		t.Fatal(err)
	}
	server := startServer(t, ServerConfig{TLS: options, Certificates: certificates})
	own := server.peerCertificate(t)

	replace(t, options.CertFile, []byte("half a certificate"))
	certificates.refresh(t.Context())
	replace(t, options.KeyFile, []byte("half a key"))
	certificates.refresh(t.Context())
	if !server.peerCertificate(t).Equal(own) {
		t.Error("a broken pair replaced the self-signed certificate")
	}
	mounted := writePair(t, options, time.Now())
	certificates.refresh(t.Context())
	if !server.peerCertificate(t).Equal(mounted) {
		t.Error("the mounted certificate is not served")
	}
	server.untilShown(t, writePair(t, options, time.Now()))
}

func TestCertificates_InvalidNeverReplaces(t *testing.T) {
	options := pairFiles(t)
	first := writePair(t, options, time.Now())
	certificate, key := mustRead(t, options.CertFile), mustRead(t, options.KeyFile)
	certificates, err := LoadCertificates(options)
	if err != nil {
		t.Fatal(err)
	}
	server := startServer(t, ServerConfig{TLS: options, Certificates: certificates})
	for name, spoil := range map[string]func(){
		"expired":       func() { writePair(t, options, time.Now().Add(expired)) },
		"not valid yet": func() { writePair(t, options, time.Now().Add(early)) },
		"broken":        func() { replace(t, options.CertFile, []byte("broken")) },
		"another's key": func() {
			other := pairFiles(t)
			writePair(t, other, time.Now())
			replace(t, options.KeyFile, mustRead(t, other.KeyFile))
		},
		"empty":          func() { replace(t, options.CertFile, nil); replace(t, options.KeyFile, nil) },
		"no certificate": func() { remove(t, options.CertFile) },
	} {
		replace(t, options.KeyFile, key)
		replace(t, options.CertFile, certificate)
		spoil()
		certificates.refresh(t.Context())
		if !server.peerCertificate(t).Equal(first) {
			t.Errorf("%s: another certificate is served", name)
		}
	}
	next := writePair(t, options, time.Now())
	certificates.refresh(t.Context())
	if !server.peerCertificate(t).Equal(next) {
		t.Error("a valid certificate is not served afterwards")
	}
}

func TestCertificates_NotYetValid(t *testing.T) {
	now := time.Now()
	options := pairFiles(t)
	first := writePair(t, options, now)
	certificates, err := loadCertificates(options, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	next := writePair(t, options, now.Add(early))
	certificates.refresh(t.Context())
	if got := certificates.current.Load().certificates[0].Leaf; !got.Equal(first) {
		t.Error("the certificate is served before it is valid")
	}
	now = now.Add(early)
	certificates.refresh(t.Context())
	if got := certificates.current.Load().certificates[0].Leaf; !got.Equal(next) {
		t.Error("the certificate is not served")
	}
}

func TestCertificates_SelfSignedIsRenewed(t *testing.T) {
	now := time.Now()
	certificates, err := loadCertificates(pairFiles(t), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	leaf := func() *x509.Certificate { return certificates.current.Load().certificates[0].Leaf }
	first := leaf()
	now = now.Add(selfSignedValidity*2/3 - time.Second)
	certificates.refresh(t.Context())
	if !leaf().Equal(first) {
		t.Error("the certificate was renewed before two thirds of its validity")
	}
	now = now.Add(time.Second)
	certificates.refresh(t.Context())
	if second := leaf(); second.Equal(first) || second.NotAfter.Sub(now) < selfSignedValidity-time.Second {
		t.Errorf("at %s, a certificate that expires on %s is served", now, second.NotAfter)
	}
}

// Flags may be empty, but not only one of the two.
func TestCertificates_SelfSignedWithoutPaths(t *testing.T) {
	certificates, err := LoadCertificates(TLSOptions{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	server := startServer(t, ServerConfig{TLS: certificates.options, Certificates: certificates})
	own := server.peerCertificate(t)
	certificates.refresh(t.Context())
	if again := server.peerCertificate(t); own.Subject.CommonName != "postern-receiver" || !again.Equal(own) ||
		certificates.lastReported() != "" {
		t.Errorf("%s is served, then %s, with the error %q", own.Subject, again.Subject, certificates.lastReported())
	}
}

// untilShown waits until the certificate is served.
func (s *testServer) untilShown(t *testing.T, want *x509.Certificate) {
	t.Helper()
	const interval, timeout = 10 * time.Millisecond, 30 * time.Second
	err := wait.PollUntilContextTimeout(t.Context(), interval, timeout, true, func(context.Context) (bool, error) {
		return s.peerCertificate(t).Equal(want), nil
	})
	if err != nil {
		t.Fatalf("the new certificate is not served: %v", err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func makeDirectory(t *testing.T, path string) {
	t.Helper()
	remove(t, path)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
