// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"crypto/sha256"
	"slices"
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/lru"
)

const (
	// The number of authorized callers to remember, of credentials for each, and of addresses with other credentials.
	maxKnownCallers, maxCredentials, maxAddresses = 256, 32, 4096

	// Each caller gets 1/callerShare of the total rate, but at least one request per second.
	callerShare = 4
)

// credentialID is the hash of a token or a certificate.
type credentialID [sha256.Size]byte

// directLimit limits how many requests of direct callers are reviewed. Callers with a credential that was accepted
// before have a separate rate, so that Prometheus can scrape while other clients try tokens. No caller, and no address
// with other credentials, gets more than its share of either rate. It is safe for concurrent use.
type directLimit struct {
	perSecond                    int
	addresses                    *lru.Cache // of *rate.Limiter, by string
	knownLimiter, unknownLimiter *rate.Limiter

	mu          sync.Mutex
	callers     *lru.Cache // of *knownCaller, by string
	credentials map[credentialID]*knownCaller
}

// knownCaller is an authorized caller with its credentials, of which it can have many: ServiceAccount tokens are free.
type knownCaller struct {
	limit       *rate.Limiter
	credentials []credentialID // the newest last
}

// newDirectLimit returns a limit with the rate for credentials accepted before, and the same rate for others.
func newDirectLimit(perSecond int) *directLimit {
	l := &directLimit{
		perSecond: perSecond, addresses: lru.New(maxAddresses),
		knownLimiter:   rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
		unknownLimiter: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
		credentials:    map[credentialID]*knownCaller{},
	}
	l.callers = lru.NewWithEvictionFunc(maxKnownCallers, func(_ lru.Key, caller any) {
		for _, credential := range caller.(*knownCaller).credentials {
			delete(l.credentials, credential)
		}
	})
	return l
}

// allow reports whether a request with a credential from an address may be reviewed now.
func (l *directLimit) allow(credential credentialID, address string) bool {
	if limiter := l.limitOf(credential); limiter != nil {
		return limiter.Allow() && l.knownLimiter.Allow()
	}
	limiter, found := l.addresses.Get(address)
	if !found { // two concurrent requests may create two limiters; that allows one extra request
		limiter = l.newCallerLimiter()
		l.addresses.Add(address, limiter)
	}
	return limiter.(*rate.Limiter).Allow() && l.unknownLimiter.Allow()
}

// limitOf returns the limit of the caller with this credential, nil if it is unknown.
func (l *directLimit) limitOf(credential credentialID) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.credentials[credential]; known != nil {
		return known.limit
	}
	return nil
}

// markAuthorized remembers that a caller was authorized with this credential.
func (l *directLimit) markAuthorized(credential credentialID, caller user.Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := callerName(caller)
	var known *knownCaller
	if found, ok := l.callers.Get(name); ok {
		known = found.(*knownCaller)
	} else {
		known = &knownCaller{limit: l.newCallerLimiter()}
		l.callers.Add(name, known)
	}
	if l.credentials[credential] == known {
		return
	}
	known.credentials = append(known.credentials, credential)
	l.credentials[credential] = known
	if len(known.credentials) > maxCredentials {
		delete(l.credentials, known.credentials[0])
		known.credentials = slices.Delete(known.credentials, 0, 1)
	}
}

// callerName returns the key of a caller in the cache. All ServiceAccounts of a namespace share one key: a user who can
// create one there can create any number.
func callerName(caller user.Info) string {
	if namespace, _, err := serviceaccount.SplitUsername(caller.GetName()); err == nil {
		return serviceaccount.MakeNamespaceGroupName(namespace)
	}
	return caller.GetName()
}

func (l *directLimit) newCallerLimiter() *rate.Limiter {
	return rate.NewLimiter(max(1, rate.Limit(l.perSecond)/callerShare), l.perSecond)
}
