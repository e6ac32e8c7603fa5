// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type listener struct{ heard int }

func (l *listener) Enqueue() { l.heard++ }

func TestServingHasACertificateFromTheBeginningThatNobodyVouchesFor(t *testing.T) {
	s, err := newServing(ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(s.CurrentCertKeyContent()); err != nil {
		t.Error(err)
	}
	if got := s.inUse(start); len(got) > 0 {
		t.Errorf("%d authorities count as in use", len(got))
	}
}

func TestServingTellsEveryListenerOfANewCertificate(t *testing.T) {
	s, err := newServing(ours)
	if err != nil {
		t.Fatal(err)
	}
	var one, two listener
	s.AddListener(&one)
	s.AddListener(&two)
	ca := mustAuthority(t, ours, time.Hour, start)
	l := mustLeaf(t, ca, ours, time.Hour, start)
	s.use(l, ca, start)
	if one.heard != 1 || two.heard != 1 {
		t.Errorf("the listeners were told %d and %d times, want once", one.heard, two.heard)
	}
	cert, key := s.CurrentCertKeyContent()
	if string(cert) != string(l.certPEM) || string(key) != string(l.keyPEM) {
		t.Error("another certificate is served")
	}
}

func TestAnAuthorityIsInUseUntilOthersHaveHadTimeToFollow(t *testing.T) {
	s, err := newServing(ours)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustAuthority(t, ours, time.Hour, start), mustAuthority(t, ours, time.Hour, start)
	s.use(mustLeaf(t, a, ours, time.Hour, start), a, start)
	s.use(mustLeaf(t, a, ours, time.Hour, start), a, start.Add(time.Minute))
	s.use(mustLeaf(t, b, ours, time.Hour, start), b, start.Add(2*time.Minute))
	for after, want := range map[time.Duration][]*x509.Certificate{
		2 * time.Minute: {b.certificate, a.certificate},
		3 * time.Minute: {b.certificate, a.certificate},
	} {
		if diff := cmp.Diff(string(encode(want...)), string(encode(s.inUse(start.Add(after))...))); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", after, diff)
		}
	}
	if diff := cmp.Diff(string(encode(b.certificate)), string(encode(s.inUse(start.Add(3*time.Minute+1))...))); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}
}
