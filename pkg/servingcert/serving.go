// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// issuerGracePeriod is how much later than this replica others may switch to a leaf of the next authority.
const issuerGracePeriod = time.Minute

// Serving is the serving certificate of this replica. It is always usable: until there is an authority, it is issued by
// a temporary one that no client trusts, which suffices for kubelet probes because they do not verify it. It is safe
// for concurrent use.
//
// It is not a ControllerRunner, because several servers use it in turn and each would run it. The ServingController
// updates it and notifies the servers by their listeners.
type Serving struct {
	mu              sync.Mutex
	leaf            *leaf
	issuer          *authority // nil while the leaf is not trusted by any client
	previousIssuers []previousIssuer
	listeners       []dynamiccertificates.Listener
}

// previousIssuer is an authority whose leaf was served until a time.
type previousIssuer struct {
	certificate *x509.Certificate
	until       time.Time
}

var _ dynamiccertificates.CertKeyContentProvider = (*Serving)(nil)

// newServing returns a Serving with a certificate of a temporary authority.
func newServing(service Service) (*Serving, error) {
	now := time.Now()
	temporaryCA, err := newAuthority(service, DefaultCAValidity, now)
	if err != nil {
		return nil, err
	}
	first, err := temporaryCA.issue(service, DefaultCAValidity, now)
	if err != nil {
		return nil, err
	}
	return &Serving{leaf: first}, nil
}

// Name returns the name of the certificate in logs.
func (s *Serving) Name() string { return "managed serving certificate" }

// CurrentCertKeyContent returns the certificate and its key as PEM.
func (s *Serving) CurrentCertKeyContent() (cert, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaf.certPEM, s.leaf.keyPEM
}

// AddListener adds a listener that is notified of each change.
func (s *Serving) AddListener(listener dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}

// current returns the leaf and its issuer, which is nil if the issuer is temporary.
func (s *Serving) current() (*leaf, *authority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaf, s.issuer
}

// use replaces the leaf and its issuer, and notifies the listeners.
func (s *Serving) use(next *leaf, issuer *authority, now time.Time) {
	s.mu.Lock()
	if s.issuer != nil && !s.issuer.equal(issuer) {
		s.previousIssuers = append(s.previousIssuers, previousIssuer{certificate: s.issuer.certificate, until: now})
	}
	s.leaf, s.issuer = next, issuer
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, listener := range listeners {
		listener.Enqueue()
	}
}

// inUse returns the authorities whose leaves are served by this replica, or by replicas that have not rotated yet.
func (s *Serving) inUse(now time.Time) []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previousIssuers = slices.DeleteFunc(s.previousIssuers,
		func(f previousIssuer) bool { return now.Sub(f.until) > issuerGracePeriod })
	var all []*x509.Certificate
	if s.issuer != nil {
		all = append(all, s.issuer.certificate)
	}
	for _, f := range s.previousIssuers {
		all = append(all, f.certificate)
	}
	return all
}
