// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"crypto/sha256"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

const (
	// How many credentials are remembered that were accepted, and how many addresses that sent others.
	maxKnownCredentials, maxAddresses = 256, 4096

	// A caller is given this part of all that is asked about.
	callerShare = 4
)

// credentialID stands for a token or a certificate without being one.
type credentialID [sha256.Size]byte

// directLimit bounds how many requests of direct callers are asked about. Who shows a credential that was accepted before
// has a rate apart from all others, so that Prometheus goes on to scrape while others try tokens; and no credential, and
// no address with others, gets more than its share of either. It is safe for concurrent use.
type directLimit struct {
	perSecond        int
	known, addresses *lru.Cache // of *rate.Limiter, by credentialID and by string
	ofKnown, ofNew   *rate.Limiter
}

// newDirectLimit returns a limit with the rate for credentials that were accepted before, and the same for others.
func newDirectLimit(perSecond int) *directLimit {
	return &directLimit{
		perSecond: perSecond,
		known:     lru.New(maxKnownCredentials), addresses: lru.New(maxAddresses),
		ofKnown: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond), ofNew: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
	}
}

// take reports whether a request with a credential, from an address, may be asked about now.
func (l *directLimit) take(credential credentialID, address string) bool {
	if own, found := l.known.Get(credential); found {
		return own.(*rate.Limiter).Allow() && l.ofKnown.Allow()
	}
	own, found := l.addresses.Get(address)
	if !found { // two at once may make two, of which one counts: a request more
		own = l.newShare()
		l.addresses.Add(address, own)
	}
	return own.(*rate.Limiter).Allow() && l.ofNew.Allow()
}

// accept remembers that a caller with this credential was authorized.
func (l *directLimit) accept(credential credentialID) {
	if _, found := l.known.Get(credential); !found {
		l.known.Add(credential, l.newShare())
	}
}

func (l *directLimit) newShare() *rate.Limiter {
	return rate.NewLimiter(max(1, rate.Limit(l.perSecond)/callerShare), l.perSecond)
}
