// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type listener struct{ notified int }

func (l *listener) Enqueue() { l.notified++ }

func TestServing_StartsSelfSigned(t *testing.T) {
	s, err := newServing(testService)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(s.CurrentCertKeyContent()); err != nil {
		t.Error(err)
	}
	if got := s.inUse(start); len(got) > 0 {
		t.Errorf("got %d authorities in use, want none", len(got))
	}
}

func TestServing_NotifiesEveryListener(t *testing.T) {
	s, err := newServing(testService)
	if err != nil {
		t.Fatal(err)
	}
	var one, two listener
	s.AddListener(&one)
	s.AddListener(&two)
	ca := mustAuthority(t, testService, time.Hour, start)
	l := mustLeaf(t, ca, testService, time.Hour, start)
	s.use(l, ca, start)
	if one.notified != 1 || two.notified != 1 {
		t.Errorf("the listeners were notified %d and %d times, want once", one.notified, two.notified)
	}
	cert, key := s.CurrentCertKeyContent()
	if string(cert) != string(l.certPEM) || string(key) != string(l.keyPEM) {
		t.Error("another certificate is served")
	}
}

func TestServing_IssuerIsUsedUntilOthersFollow(t *testing.T) {
	s, err := newServing(testService)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustAuthority(t, testService, time.Hour, start), mustAuthority(t, testService, time.Hour, start)
	s.use(mustLeaf(t, a, testService, time.Hour, start), a, start)
	s.use(mustLeaf(t, a, testService, time.Hour, start), a, start.Add(time.Minute))
	s.use(mustLeaf(t, b, testService, time.Hour, start), b, start.Add(2*time.Minute))
	for after, want := range map[time.Duration][]*x509.Certificate{
		2 * time.Minute: {b.certificate, a.certificate},
		3 * time.Minute: {b.certificate, a.certificate},
	} {
		if diff := cmp.Diff(string(encode(want...)), string(encode(s.inUse(start.Add(after))...))); diff != "" {
			t.Errorf("in use after %s (-want +got):\n%s", after, diff)
		}
	}
	if diff := cmp.Diff(string(encode(b.certificate)),
		string(encode(s.inUse(start.Add(3*time.Minute+1))...))); diff != "" {
		t.Errorf("in use in the end (-want +got):\n%s", diff)
	}
}
