// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	// start is the start time of the tests.
	start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

	testService = Service{Namespace: "postern-system", Name: "postern"}
)

func mustAuthority(t *testing.T, service Service, validity time.Duration, at time.Time) *authority {
	t.Helper()
	a, err := newAuthority(service, validity, at)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustLeaf(t *testing.T, a *authority, service Service, validity time.Duration, at time.Time) *leaf {
	t.Helper()
	l, err := a.issue(service, validity, at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// verify verifies a leaf as the kube-apiserver does, for a name and at a time.
func verify(ca, leaf *x509.Certificate, name string, at time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

func TestAuthority_LeafIsTrustedForServiceNamesOnly(t *testing.T) {
	ca := mustAuthority(t, testService, DefaultCAValidity, start)
	l := mustLeaf(t, ca, testService, DefaultLeafValidity, start)
	for name, want := range map[string]bool{
		"postern.postern-system.svc":               true,
		"postern.postern-system.svc.cluster.local": true,
		"localhost":                true,
		"other.postern-system.svc": false,
		"127.0.0.1":                false,
	} {
		if err := verify(ca.certificate, l.certificate, name, start); (err == nil) != want {
			t.Errorf("%s: got error %v, want trusted: %t", name, err, want)
		}
	}
	if err := verify(mustAuthority(t, testService, DefaultCAValidity, start).certificate, l.certificate,
		testService.ServerName(), start); err == nil {
		t.Error("another authority trusts the leaf")
	}
	if _, err := tls.X509KeyPair(l.certPEM, l.keyPEM); err != nil {
		t.Errorf("certificate and key do not match: %v", err)
	}
}

func TestAuthority_KeyIsConstrainedToService(t *testing.T) {
	ca := mustAuthority(t, testService, DefaultCAValidity, start)
	for _, template := range []*x509.Certificate{
		{DNSNames: []string{"kubernetes.default.svc"}},
		{DNSNames: []string{"example.com"}},
		{DNSNames: []string{"postern.example.com"}},
		{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		{IPAddresses: []net.IP{net.ParseIP("fd00::1")}},
	} {
		template.NotBefore, template.NotAfter = start, start.Add(time.Hour)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		forged, err := sign(template, ca.certificate, ca.key.Public(), ca.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(ca.certificate, forged, "", start); err == nil {
			t.Errorf("a certificate for %v %v is trusted", template.DNSNames, template.IPAddresses)
		}
	}
}

func TestAuthority_Validity(t *testing.T) {
	ca := mustAuthority(t, testService, 100*time.Hour, start)
	type validity struct{ NotBefore, NotAfter time.Time }
	validityOf := func(c *x509.Certificate) validity { return validity{c.NotBefore, c.NotAfter} }
	for _, test := range []struct {
		name string
		got  *x509.Certificate
		want validity
	}{
		{"authority", ca.certificate, validity{start.Add(-5 * time.Minute), start.Add(100 * time.Hour)}},
		{"leaf", mustLeaf(t, ca, testService, 24*time.Hour, start).certificate,
			validity{start.Add(-5 * time.Minute), start.Add(24 * time.Hour)}},
		{"short leaf", mustLeaf(t, ca, testService, 10*time.Second, start).certificate,
			validity{start.Add(-time.Second), start.Add(10 * time.Second)}},
		{"last leaf", mustLeaf(t, ca, testService, 24*time.Hour, start.Add(90*time.Hour)).certificate,
			validity{start.Add(90*time.Hour - 5*time.Minute), start.Add(100 * time.Hour)}},
	} {
		if diff := cmp.Diff(test.want, validityOf(test.got)); diff != "" {
			t.Errorf("%s: validity (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestAuthority_RenewalAtTwoThirds(t *testing.T) {
	c := &x509.Certificate{NotBefore: start, NotAfter: start.Add(90 * time.Hour)}
	if got, want := renewAt(c), start.Add(60*time.Hour); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLeaf_RenewedOnlyIfThatLastsLonger(t *testing.T) {
	ca := mustAuthority(t, testService, 100*time.Hour, start)
	l := mustLeaf(t, ca, testService, 24*time.Hour, start)
	last := mustLeaf(t, ca, testService, 24*time.Hour, start.Add(90*time.Hour))
	for _, test := range []struct {
		name string
		leaf *leaf
		at   time.Duration
		want bool
	}{
		{"young", l, 15 * time.Hour, false},
		{"old", l, 16 * time.Hour, true},
		{"as old as its authority will be", last, 99 * time.Hour, false},
		{"issued by a clock that was ahead", l, -time.Hour, true},
	} {
		if got := needsRenewal(test.leaf, ca, start.Add(test.at)); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestBundle_SkipsInvalidBlocks(t *testing.T) {
	a, b := mustAuthority(t, testService, time.Hour, start).certificate,
		mustAuthority(t, testService, time.Hour, start).certificate
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	text := "garbage\n" + string(encode(a)) + broken + "# comment\n" + string(encode(b)) + "-----BEGIN"
	if diff := cmp.Diff(encode(a, b), encode(parse([]byte(text))...)); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
	if got := parse(nil); got != nil {
		t.Errorf("got %d certificates in an empty text", len(got))
	}
}
