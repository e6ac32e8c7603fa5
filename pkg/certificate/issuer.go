// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"time"
)

// trustPropagationDelay is how long a caBundle must have been there before a leaf relies on what is new in it: every kube-apiserver
// learns of it by a watch of its own, and none may be left that has not.
const trustPropagationDelay = 5 * time.Second

// issuerCandidates are what a replica chooses from.
type issuerCandidates struct {
	// current has issued the leaf that is served, and latest is the one of the Secret that can sign. Both may be nil.
	current, latest *authority
	// trusted is the caBundle, which is nil if there is no APIService.
	trusted []*x509.Certificate
	// latestSince is when latest was first seen in it.
	latestSince time.Time
}

// choose returns the authority that is to issue the leaf; nil if there is none. A leaf that is trusted is kept until
// the next one is sure to be.
func (c issuerCandidates) choose(now time.Time) *authority {
	switch {
	case c.latest == nil || c.latest.equal(c.current):
		return c.current
	case c.current == nil, isExpired(c.current.certificate, now), !contains(c.trusted, c.current.certificate):
		return c.latest // nothing is lost
	case contains(c.trusted, c.latest.certificate) && now.Sub(c.latestSince) >= trustPropagationDelay:
		return c.latest
	}
	return c.current
}

// needsRenewal reports whether a leaf is to be issued anew by the authority that has issued it: not if that could last no longer. A
// leaf that is not valid yet was made when this machine's clock was ahead.
func needsRenewal(leaf *leaf, issuer *authority, now time.Time) bool {
	if now.Before(leaf.certificate.NotBefore) {
		return true
	}
	return !now.Before(renewAt(leaf.certificate)) && leaf.certificate.NotAfter.Before(issuer.certificate.NotAfter)
}
