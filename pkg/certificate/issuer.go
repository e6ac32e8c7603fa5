// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"time"
)

// trustPropagationDelay is how long an authority must be in the caBundle before a leaf relies on it: every
// kube-apiserver watches the caBundle independently, and all of them must have received it.
const trustPropagationDelay = 5 * time.Second

// issuerCandidates are the authorities that a replica chooses from.
type issuerCandidates struct {
	// current issued the leaf in use, and latest is the valid authority in the Secret. Both may be nil.
	current, latest *authority
	// trusted is the caBundle. It is nil without an APIService.
	trusted []*x509.Certificate
	// latestSince is when latest was first seen in trusted.
	latestSince time.Time
}

// choose returns the authority to issue the leaf with, or nil if there is none. It keeps a trusted leaf until the next
// one is certain to be trusted.
func (c issuerCandidates) choose(now time.Time) *authority {
	switch {
	case c.latest == nil || c.latest.equal(c.current):
		return c.current
	case c.current == nil, isExpired(c.current.certificate, now), !contains(c.trusted, c.current.certificate):
		return c.latest // the current leaf is not trusted anyway
	case contains(c.trusted, c.latest.certificate) && now.Sub(c.latestSince) >= trustPropagationDelay:
		return c.latest
	}
	return c.current
}

// needsRenewal reports whether issuer should issue a new leaf in place of leaf: when it is old, unless a new one would
// not last longer. A leaf that is not valid yet was issued when this machine's clock was ahead.
func needsRenewal(leaf *leaf, issuer *authority, now time.Time) bool {
	if now.Before(leaf.certificate.NotBefore) {
		return true
	}
	return !now.Before(renewAt(leaf.certificate)) && leaf.certificate.NotAfter.Before(issuer.certificate.NotAfter)
}
