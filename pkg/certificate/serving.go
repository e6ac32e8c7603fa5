// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// issuerGracePeriod is how long others may take longer than this replica to serve with a leaf of the next authority.
const issuerGracePeriod = time.Minute

// Serving is the certificate that this replica serves with. It can be served with at any time: until there is an
// authority, it is one that nobody can verify. That is enough for a kubelet, which does not verify, to see that the
// process lives. It is safe for concurrent use.
//
// It is no ControllerRunner: several servers may serve with it, one after the other, and each would run it. The Follower
// does, and tells the servers of a change by their listeners.
type Serving struct {
	mu              sync.Mutex
	leaf            *leaf
	issuer          *authority // nil: nobody can verify the leaf
	previousIssuers []previousIssuer
	listeners       []dynamiccertificates.Listener
}

// previousIssuer is an authority whose leaf was served until some time.
type previousIssuer struct {
	certificate *x509.Certificate
	until       time.Time
}

var _ dynamiccertificates.CertKeyContentProvider = (*Serving)(nil)

// newServing returns a certificate for the service that nobody can verify yet.
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

// Name is what logs call the certificate.
func (s *Serving) Name() string { return "own serving certificate" }

// CurrentCertKeyContent returns the certificate and its key as PEM.
func (s *Serving) CurrentCertKeyContent() (cert, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaf.certPEM, s.leaf.keyPEM
}

// AddListener makes a listener learn of each change.
func (s *Serving) AddListener(listener dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}

// current returns the leaf and who issued it, nil if nobody can verify that.
func (s *Serving) current() (*leaf, *authority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaf, s.issuer
}

// use serves with a leaf of an authority from now on.
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

// inUse returns the authorities whose leaves are served: by this replica, or by others that are not so far yet.
func (s *Serving) inUse(now time.Time) []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previousIssuers = slices.DeleteFunc(s.previousIssuers, func(f previousIssuer) bool { return now.Sub(f.until) > issuerGracePeriod })
	var all []*x509.Certificate
	if s.issuer != nil {
		all = append(all, s.issuer.certificate)
	}
	for _, f := range s.previousIssuers {
		all = append(all, f.certificate)
	}
	return all
}
